"""The benchmark compares what it says it compares: small models, counts and agreement instead of seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import cases, report
from benchmarks.timing import Spread, interleave, ratios, spread
from benchmarks.weights import stock_twin
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.vision import Patches
from tests.model.tiny import tiny_model
from tests.phantoms import patches_of


@pytest.fixture(scope="module")
def model() -> OmniVMedForConditionalGeneration:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def patches() -> Patches:
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (1, 56, 84, 3), dtype=np.uint8), 4, axis=0)
    frames[2, :28, :28] = 255 - frames[2, :28, :28]
    return patches_of(frames)


def test_twin_shares_the_tensors(model: OmniVMedForConditionalGeneration) -> None:
    stock = stock_twin(model)
    for name, parameter in stock.named_parameters():
        assert parameter.data_ptr() == model.get_parameter(name).data_ptr(), name
    assert not any(t.is_meta for t in [*stock.parameters(), *stock.buffers()])


@torch.inference_mode()
def test_both_sides_of_every_case_agree(model: OmniVMedForConditionalGeneration, patches: Patches) -> None:
    stock = stock_twin(model)
    found = [
        cases.pruning_case(patches),
        *cases.encoder_cases(model, stock, [(3, 4, 4)]),
        *cases.prefill_cases(model, stock, [20]),
        cases.pruned_prefill_case(model, 20, 0.4),
        cases.decode_case(model, stock, 8, 5),
    ]
    assert [case.check for case in found if case.check] == [
        "masks equal: True",
        found[1].check,
        "same next token: True",
        "5 of 5 tokens equal",
    ]
    assert float(found[1].check.split()[-1]) <= 1e-5


@torch.inference_mode()
def test_answers_agree_with_stock_and_across_questions(
    model: OmniVMedForConditionalGeneration, patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The prompt of the case uses ids of nano's vocabulary; the tiny one is smaller.
    monkeypatch.setattr(cases, "PROMPT_START", [3, 4, 5])
    first, following = cases.answer_cases(model, stock_twin(model), patches, "phantom", 5)
    assert first.check == following.check == "5 of 5 tokens equal"
    calls = []
    handle = model.model.vision_model.register_forward_hook(lambda *_: calls.append(1))
    following.run_ours()
    assert not calls
    first.run_ours()
    assert len(calls) == 1
    handle.remove()


def test_rounds_turn_and_ratios_pair() -> None:
    order: list[str] = []
    samples = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, warmup=1)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert len(samples["a"].wall_s) == len(samples["b"].cpu_s) == 2
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(3.0, 2.0, 4.0)


@torch.inference_mode()
def test_report_is_json_and_a_table_without_folders(
    model: OmniVMedForConditionalGeneration, patches: Patches
) -> None:
    case = cases.pruning_case(patches)
    samples = interleave({"baseline": case.run_baseline, "ours": case.run_ours}, rounds=3)
    result = {
        "command": "python -m benchmarks.run",
        "weights": "random",
        "machine": report.machine(),
        "load_average": {"before": [0.0], "after": [0.0]},
        "rows": [report.row(case, "float32", samples)],
    }
    table = report.markdown(json.loads(json.dumps(result)))
    assert "keep mask with distances" in table
    assert "| 3 | masks equal: True |" in table
    assert str(Path.cwd()) not in json.dumps(result) + table


def test_long_video_arms_differ_in_tokens_alone() -> None:
    from benchmarks import long_video
    from omnivmed.pruning import prune
    from omnivmed.study import Study

    clip = long_video.draw(12)
    assert clip.shape == (12, long_video.SIDE, long_video.SIDE, 3)
    times = list(range(12))
    pruned = prune(Study.from_array(clip, "video", times_s=times), 0.1, budget="published")
    whole = prune(
        Study.from_array(long_video._never_alike(clip), "video", times_s=times), 0.0, budget="published"
    )
    assert whole.kept == whole.total == pruned.total
    assert pruned.kept < 0.25 * pruned.total
    row = {"frames": 12, "threshold": 0.1, "loaded_gb": 1.0, "peak_gb": 1.5}
    text = long_video.table(
        [
            {**row, "tokens_before": 100, "tokens_after": 20, "first_token_s": 0.5},
            {**row, "threshold": None, "error": "TooLong"},
        ]
    )
    assert "| 12 | 0.1 | 20 of 100 | 0.50 | 0.50 |" in text
    assert "| 12 | none | does not fit: TooLong | | 0.50 |" in text
