"""The arithmetic of the plan: published totals, the memory table, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from train.plan.__main__ import main
from train.plan.memory import GB, Load, activations, answering, predict, states, trainable
from train.plan.report import Cards, compared, patches_of, plan_stage, remedies
from train.plan.sizes import MODELS
from train.recipes import LoRA, Rates, recipe

ALIGN = Rates(None, 1e-3, 1e-5)
WHOLE = Rates(1e-5, 1e-5, 2e-6)


def test_parameter_counts_are_those_of_the_built_models() -> None:
    small, large = MODELS["1.5b"], MODELS["7b"]
    assert small.encoder.parameters == 412_147_440
    assert (small.projector_parameters, large.projector_parameters) == (4_131_840, 16_980_992)
    assert (small.parameters, large.parameters) == (1_959_993_584, 8_044_744_944)


@pytest.mark.parametrize(
    ("size", "rates", "sharding", "offload", "expected"),
    [  # weights, gradients, optimizer, buckets, sum in GB per card on eight cards
        ("1.5b", ALIGN, "zero2", False, (3.92, 0.10, 0.62, 0.8, 5.5)),
        ("1.5b", WHOLE, "zero2", False, (3.92, 0.49, 2.94, 0.8, 8.2)),
        ("1.5b", WHOLE, "zero3", False, (0.49, 0.49, 2.94, 1.3, 5.2)),
        ("7b", WHOLE, "zero2", False, (16.1, 2.0, 12.1, 0.8, 31.0)),
        ("7b", WHOLE, "zero3", False, (2.0, 2.0, 12.1, 1.3, 17.4)),
        ("7b", WHOLE, "zero3", True, (2.0, 2.0, 0.0, 1.3, 5.3)),
    ],
)
def test_the_published_memory_table(
    size: str, rates: Rates, sharding: str, offload: bool, expected: tuple[float, ...]
) -> None:
    model = MODELS[size]  # type: ignore[index]
    m = states(model.parameters, trainable(model, rates, None), sharding, 8, offload)  # type: ignore[arg-type]
    found = (m.weights, m.gradients, m.optimizer, m.buckets, m.states)
    assert [v / GB for v in found] == pytest.approx(expected, abs=0.06)


def test_the_largest_video_of_the_1p5b_model_takes_14_gb() -> None:
    config = recipe("omnivmed_1p5b_8x24gb")
    load = Load(positions=10_240 + 256, patches=40_960, visual_tokens=10_240, supervised=256)
    memory = predict(config, config.stages[1], MODELS["1.5b"], 8, load)
    assert memory.total / GB == pytest.approx(14, abs=0.6)


def test_logits_of_all_positions_would_not_fit() -> None:
    load = Load(10_240, 40_960, 10_240, supervised=10_240)
    live, logits = activations(MODELS["1.5b"], load, WHOLE)
    assert logits / GB == pytest.approx(18.7, abs=0.1)  # against 0.5 for 256 supervised positions
    assert (live + logits) / GB > 20


def test_fsdp_and_zero3_shard_alike_and_zero1_keeps_gradients() -> None:
    count = MODELS["1.5b"].parameters
    assert states(count, count, "fsdp2", 8) == states(count, count, "zero3", 8)
    assert states(count, count, "zero1", 8).gradients == 2 * count


def test_adapters_are_counted_layer_by_layer() -> None:
    language = MODELS["7b"].language
    lora = LoRA(r=64)
    # q, o: 3584+3584; k, v: 3584+512; gate, up, down: 3584+18944
    by_hand = 28 * 64 * (2 * 7168 + 2 * 4096 + 3 * 22528)
    assert language.lora_parameters(lora) == by_hand


def test_every_gpu_recipe_fits_the_cards_in_its_name() -> None:
    for name, cards in (
        ("omnivmed_1p5b_8x24gb", "8x24"),
        ("continue_1p5b_8x24gb", "8x24"),
        ("omnivmed_7b_8x80gb", "8x80"),
        ("omnivmed_7b_lora_1x24gb", "1x24"),
    ):
        config = recipe(name)
        for stage in config.stages:
            plan = plan_stage(config, stage, Cards.parse(cards))
            assert plan.fits, (name, stage.name, plan.memory.needed / GB)


def test_steps_and_positions() -> None:
    config = recipe("omnivmed_1p5b_8x24gb")
    plan = plan_stage(config, config.stages[2], Cards(8, 24))
    assert (plan.steps, plan.accumulation) == (1969, 3)
    assert plan.tokens_per_step == 128 * config.stages[2].mean_tokens
    once, twice = (plan_stage(config, config.stages[2], Cards(n, 24), link_gb_s=1e9) for n in (8, 16))
    assert twice.days == pytest.approx(once.days / 2)  # of computing; what is sent does not halve


def test_nodes_send_over_the_network_and_hold_the_model_once_a_process() -> None:
    config = recipe("omnivmed_7b_8x80gb")
    one, two = Cards.parse("16x40"), Cards.parse("2x8x40")
    assert (two.count, two.nodes, str(two)) == (16, 2, "2 nodes of 8 x 40 GB")
    alone, split = (plan_stage(config, config.stages[1], cards) for cards in (one, two))
    assert split.sending_s > 10 * alone.sending_s
    assert split.memory == alone.memory
    assert split.host / GB == pytest.approx(8 * 16.1, rel=0.01)
    assert plan_stage(config, config.stages[1], two, link_gb_s=1e6).days < split.days
    for wrong in ("8x24GB", "0x24", "8", "2x2x2x2"):
        with pytest.raises(ValueError, match="cards are written as"):
            Cards.parse(wrong)


def test_what_a_card_sends_by_hand() -> None:
    """ZeRO-2 reduces after every pass, ZeRO-1 once a step: 6.9 GB each time on eight cards."""
    config = recipe("omnivmed_1p5b_8x24gb")
    count = MODELS["1.5b"].parameters
    gathered = count * 2 * 7 / 8
    singly = replace(config, fill=False)  # a sample a pass, 16 of them
    zero2 = plan_stage(singly, config.stages[1], Cards(8, 24))
    zero1 = plan_stage(replace(singly, sharding="zero1"), config.stages[1], Cards(8, 24))
    filled = plan_stage(config, config.stages[1], Cards(8, 24))
    assert (zero2.accumulation, filled.accumulation) == (16, 2)
    assert filled.sent == pytest.approx(5 / 33 * zero2.sent)
    assert zero2.sent == pytest.approx(16 * 2 * gathered + gathered)
    assert zero1.sent == pytest.approx(2 * gathered + gathered)
    assert zero1.days < zero2.days
    assert compared(singly, zero2)[0].endswith("--sharding zero1")


def test_stills_are_encoded_once() -> None:
    """A still has a patch a position where nothing is merged; 2.65 PFLOP a step for instruct."""
    config = recipe("omnivmed_1p5b_8x24gb")
    assert patches_of(config.stages[1]) == config.stages[1].mean_tokens
    plan = plan_stage(config, config.stages[1], Cards(8, 24), tflops=25.0, link_gb_s=1e9)
    assert plan.days * 86_400 / plan.steps * 8 * 25e12 == pytest.approx(2.65e15, rel=0.03)
    assert patches_of(config.stages[2]) > config.stages[2].mean_tokens


def test_a_checkpoint_takes_what_was_measured() -> None:
    """16.3 bytes a parameter under ZeRO-2: DeepSpeed stores the module beside the model folder."""
    config = recipe("omnivmed_1p5b_8x24gb")
    align, instruct, _ = (plan_stage(config, stage, Cards(8, 24)) for stage in config.stages)
    assert instruct.disk / MODELS["1.5b"].parameters == pytest.approx(16.3, abs=0.1)
    assert align.disk / GB == pytest.approx(12.9, abs=0.4)


def test_the_optimizer_on_the_host_takes_memory_there(capsys: pytest.CaptureFixture[str]) -> None:
    config = recipe("omnivmed_7b_8x80gb")
    kept, moved = (
        plan_stage(replace(config, offload=o), config.stages[1], Cards(8, 80)) for o in (False, True)
    )
    assert (moved.host - kept.host) / GB == pytest.approx(96.5, abs=0.1)
    assert main(["omnivmed_1p5b_8x24gb", "--gpus", "8x24", "--offload"]) == 2
    assert "zero3 alone" in capsys.readouterr().err
    assert main(["omnivmed_1p5b_8x24gb", "--gpus", "8x16", "--sharding", "zero3", "--offload"]) == 0
    assert "no bf16" in capsys.readouterr().out


def test_a_run_that_cannot_fit_is_refused_with_what_would_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["omnivmed_7b_8x80gb", "--gpus", "8x24"]) == 1
    out = capsys.readouterr().out
    assert "DOES NOT FIT" in out
    assert "change one of:" in out
    assert main(["omnivmed_1p5b_8x24gb", "--gpus", "8x24"]) == 0
    assert "GB to spare" in capsys.readouterr().out


def test_each_remedy_does_fit() -> None:
    config = replace(recipe("omnivmed_1p5b_8x24gb"), sharding="none")
    found = remedies(config, config.stages[1], Cards(8, 24))
    assert {text for text, _ in found} >= {"sharding zero2", "sharding zero3"}
    assert all(need * GB <= Cards(8, 24).bytes for _, need in found)


@pytest.mark.parametrize(
    "call", [["tiny", "--gpus", "8"], ["nothing", "--gpus", "8x24"], ["tiny", "--gpus", "3x24"]]
)
def test_mistakes_in_the_call_are_named(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(call) == 2
    assert len(capsys.readouterr().err) > 20


def test_the_7b_model_answers_on_one_card_of_24_gb() -> None:
    """The longest prompt of the public checkpoints, 10,240 positions of a clip at merge 2 and 1,024 written."""
    found = answering(MODELS["7b"], positions=11_264, patches=40_960)
    assert found.weights == pytest.approx(16.1 * GB, rel=0.01)
    by_hand = 2 * 28 * 512 * 11_264 * 2  # keys and values: 28 layers, 4 heads of 128
    assert found.activations > by_hand
    assert found.needed < 24 * 1.0737 * GB
    assert answering(MODELS["7b"], 11_264, 40_960, half=False).needed > 24 * 1.0737 * GB
