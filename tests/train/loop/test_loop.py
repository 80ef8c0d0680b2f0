"""The loop on a handful of steps: equal batches, exact resume, frozen parts, best checkpoint, nothing pickled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from omnivmed.eval.files import LayoutError
from omnivmed.records import Sample
from train.data import phantoms
from train.data.samples import held_out
from train.data.skips import TooManyBadSamples
from train.loop import checkpoint, metrics
from train.loop.parts import part_of
from train.loop.run import run
from train.loop.trainer import RecipeTrainer
from train.loop.world import NotFinite, ShardingError
from train.recipes import LoRA, ModelSpec, TrainConfig, recipe

STEPS = 6


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums in one order, so that runs compare bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    phantoms.write(root / "phantoms", stills=40, volumes=10, clips=10)
    return root


def short(stage: str = "mixed", **changes: object) -> TrainConfig:
    """One stage of the tiny recipe, a few steps long."""
    config = recipe("tiny")
    only = replace(config.stage(stage), steps=STEPS)
    values: dict[str, object] = {"stages": (only,), "validate_every": 3, "save_every": 3, **changes}
    return replace(config, **values)  # type: ignore[arg-type]


def quiet(text: str) -> None:
    """Progress of the run is not what is tested."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mixed stage, uninterrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole")
    run(short(), data, out, say=quiet)
    return out


def test_interrupted_twice_equals_uninterrupted_bit_for_bit(data: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said: list[str] = []
    assert run(short(), data, out, stop_after=2, say=said.append).name == "mixed"
    assert run(short(), data, out, stop_after=4, say=said.append).name == "mixed"
    final = run(short(), data, out, say=said.append)
    assert [line for line in said if "resuming" in line] == [
        "mixed: resuming from checkpoint-2",
        "mixed: resuming from checkpoint-4",
    ]
    one, other = weights(whole / "mixed" / "final"), weights(final)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    curves = [metrics.losses(folder / "mixed" / metrics.METRICS) for folder in (whole, out)]
    assert curves[0] == curves[1]
    assert [step for step, _ in curves[0]] == list(range(1, STEPS + 1))


def test_a_finished_run_is_not_run_again_and_another_recipe_is_refused(data: Path, whole: Path) -> None:
    said: list[str] = []
    assert run(short(), data, whole, say=said.append) == whole / "mixed" / "final"
    assert said == []
    with pytest.raises(ValueError, match="another recipe"):
        run(short(seed=7), data, whole, say=quiet)


def test_one_pass_of_eight_equals_four_of_two(data: Path, whole: Path, tmp_path: Path) -> None:
    """Loss per token over the whole step, however it is cut: the mean of means would differ here."""
    for micro in (8, 2):
        run(short(micro_batch=micro), data, tmp_path / str(micro), say=quiet)
    curves = [metrics.losses(tmp_path / str(micro) / "mixed" / metrics.METRICS) for micro in (8, 2)]
    base = metrics.losses(whole / "mixed" / metrics.METRICS)  # four of four
    for curve in curves:
        assert [loss for _, loss in curve] == pytest.approx([loss for _, loss in base], rel=1e-3)
    assert curves[0][0][1] == pytest.approx(curves[1][0][1], rel=1e-5)  # before any step: the same number


def test_filled_passes_train_alike_and_the_log_tells_how_full_they_are(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    run(short(fill=True), data, tmp_path, say=said.append)
    assert "6 steps of 1 passes" in said[0]
    base = metrics.losses(whole / "mixed" / metrics.METRICS)
    rows = [row for row in metrics.read(tmp_path / "mixed" / metrics.METRICS) if "loss" in row]
    assert [row["loss"] for row in rows] == pytest.approx([loss for _, loss in base], rel=1e-3)
    assert all(row["tokens_per_s"] > 0 and 0 <= row["padding"] < 1 for row in rows)


def test_a_part_without_a_rate_does_not_move(data: Path, tmp_path: Path) -> None:
    config = short("align")
    final = run(config, data, tmp_path, say=quiet)
    start = weights(tmp_path / "align" / "checkpoint-3")
    end = weights(final)
    moved = {part_of(name) for name in end if not torch.equal(start[name], end[name])}
    assert moved == {"projector", "encoder"}
    learning = json.loads((tmp_path / "align" / "run.json").read_text())["learning"]
    assert learning["llm"] == 0


def test_in_bf16_what_learns_stays_in_fp32(data: Path, tmp_path: Path) -> None:
    config = short("align", precision="bf16", validate=0.0)
    start = run(short("align", validate=0.0), data, tmp_path / "fp32", say=quiet)
    model = ModelSpec("tiny", "checkpoint", checkpoint=str(start))
    final = run(replace(config, model=model), data, tmp_path / "bf16", say=quiet)
    kinds = {part_of(n): v.dtype for n, v in weights(final).items()}
    assert kinds == {"llm": torch.bfloat16, "projector": torch.float32, "encoder": torch.float32}
    assert all(torch.isfinite(v).all() for v in weights(final).values())
    curve = [loss for _, loss in metrics.losses(tmp_path / "bf16" / "align" / metrics.METRICS)]
    assert len(curve) == STEPS


def test_checkpoints_are_safetensors_and_json_alone(whole: Path) -> None:
    suffixes = {p.suffix for p in whole.rglob("*") if p.is_file()}
    assert suffixes <= {".safetensors", ".json", ".jsonl", ".svg"}
    newest = checkpoint.latest(whole / "mixed")
    assert newest is not None
    assert {p.name for p in newest.iterdir()} >= {"optimizer.safetensors", "trainer.json", "rng-0.json"}
    saved = TrainConfig.load(whole / "config.json")
    assert saved == short()
    facts = json.loads((whole / "mixed" / "run.json").read_text())
    assert facts["fingerprint"] == saved.fingerprint
    assert len(facts["data"]) == 3
    assert "<svg" in (whole / "mixed" / "loss.svg").read_text()


def test_the_best_checkpoint_on_validation_is_known(whole: Path) -> None:
    newest = checkpoint.latest(whole / "mixed")
    assert newest is not None
    state = json.loads((newest / "trainer_state.json").read_text())
    rows = metrics.read(whole / "mixed" / metrics.METRICS)
    found = {int(row["step"]): row["eval_loss"] for row in rows if "eval_loss" in row}
    assert set(found) == {3, 6}
    assert state["best_metric"] == pytest.approx(min(found.values()))


def test_the_trained_folder_opens_as_a_model(whole: Path, data: Path) -> None:
    from train.loop.build import load

    built = load(whole / "mixed" / "final", torch.float32)
    state = dict(built.model.named_parameters())
    assert all(torch.equal(state[n], v) for n, v in weights(whole / "mixed" / "final").items())
    lines = (whole / "mixed" / "generations.jsonl").read_text().splitlines()
    assert all({"question", "reference", "answer"} <= json.loads(line).keys() for line in lines)


def test_adapters_train_resume_and_load_merged(data: Path, tmp_path: Path) -> None:
    from omnivmed.model.load import load_pretrained

    config = short(lora=LoRA(r=4, alpha=8, dropout=0.1), save_every=2)
    once, twice = tmp_path / "once", tmp_path / "twice"
    final = run(config, data, once, say=quiet)
    run(config, data, twice, stop_after=3, say=quiet)
    again = run(config, data, twice, say=quiet)
    for name in ("model.safetensors", "lora.safetensors"):
        one, other = load_file(final / name), load_file(again / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name  # dropout included
    start = weights(once / "mixed" / "checkpoint-4")
    moved = {part_of(n) for n, v in weights(final).items() if not torch.equal(v, start[n])}
    assert moved == {"projector", "encoder"}  # the language model learns in its adapters alone
    merged = dict(load_pretrained(final, torch.float32).named_parameters())
    key = "model.language_model.layers.0.mlp.up_proj.weight"
    lora = load_file(final / "lora.safetensors")
    delta = lora["layers.0.mlp.up_proj.lora_B"] @ lora["layers.0.mlp.up_proj.lora_A"]
    assert delta.abs().max() > 0
    assert torch.allclose(merged[key], weights(final)[key] + 2.0 * delta, atol=1e-6)


def test_a_loss_that_is_not_finite_names_its_samples(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: RecipeTrainer, *args: object, **kwargs: object) -> torch.Tensor:
        return torch.tensor(float("nan"))

    monkeypatch.setattr("transformers.Trainer.training_step", broken)
    with pytest.raises(NotFinite, match=r"step 0; samples: .*/\d+"):
        run(short(), data, tmp_path, say=quiet)


def test_the_command_line_names_stages_and_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from train.__main__ import main

    assert main(["omnivmed_1p5b_8x24gb", "--list-stages"]) == 0
    assert capsys.readouterr().out.split() == ["align", "instruct", "mixed"]
    assert main(["omnivmed_1p5b_8x24gb", "--show-config"]) == 0
    assert TrainConfig.from_json(capsys.readouterr().out) == recipe("omnivmed_1p5b_8x24gb")
    assert main(["omnivmed_1p5b_8x24gb"]) == 2
    assert "--data" in capsys.readouterr().err
    empty = ["--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(["omnivmed_1p5b_8x24gb", *empty]) == 2
    assert "PubMedVision_Alignment_VQA.json not found" in capsys.readouterr().err


def damaged(data: Path, root: Path) -> Path:
    """A copy of the phantoms of which three stills are gone and one is no picture."""
    copy = root / "data"
    shutil.copytree(data, copy)
    for number in (4, 5, 6):
        (copy / f"phantoms/images/{number:04d}.png").unlink()
    (copy / "phantoms/images/0007.png").write_bytes(b"no picture")
    return copy


def test_what_a_reader_drops_is_named_counted_and_part_of_the_limit(data: Path, tmp_path: Path) -> None:
    copy = damaged(data, tmp_path)
    config = short("align", max_skip_rate=0.2, validate=0.0)
    said: list[str] = []
    run(config, copy, tmp_path / "run", say=said.append)
    rows = [json.loads(line) for line in (tmp_path / "run/align/dropped.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in rows] == ["file missing"] * 3
    assert any("left out: file missing" in line for line in said)
    with pytest.raises(TooManyBadSamples, match="file missing"):
        run(short("align", max_skip_rate=0.0, validate=0.0), copy, tmp_path / "strict", say=quiet)


def test_a_source_without_a_usable_sample_is_refused(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    shutil.rmtree(copy / "phantoms/images")
    with pytest.raises(LayoutError, match=r"captions.jsonl .* gives no sample: 40 x file missing"):
        run(short("align"), copy, tmp_path / "run", say=quiet)


def test_bad_samples_that_are_held_out_are_named_and_the_run_ends_well(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    for path in (copy / "phantoms/images").iterdir():
        if held_out(f"captions/{int(path.stem)}", 0.3):
            path.write_bytes(b"no picture")
    config = short("align", validate=0.3, max_skip_rate=0.9)
    final = run(config, copy, tmp_path / "run", say=quiet)
    assert (final / "manifest.json").is_file()
    names = {json.loads(x)["id"] for x in (tmp_path / "run/align/skipped.jsonl").read_text().splitlines()}
    assert {name for name in names if held_out(name, 0.3)}


def test_an_overlong_sample_is_left_out_by_name_before_the_first_step(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    file = copy / "phantoms/captions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[3]["id"] = "long"
    rows[3]["conversations"][1]["value"] = "word " * 5000
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = short("align", max_skip_rate=0.1, validate=0.0)
    run(config, copy, tmp_path / "run", say=quiet)
    found = [json.loads(x) for x in (tmp_path / "run/align/skipped.jsonl").read_text().splitlines()]
    assert [(row["id"], row["seen"]) for row in found] == [("captions/long", 0)]
    assert found[0]["reason"].endswith("a pass takes 4096 and 16384")


def test_a_stage_whose_start_is_missing_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from train.__main__ import main

    call = ["tiny", "--data", str(data), "--out", str(tmp_path / "run")]
    assert main([*call, "--stage", "mixed"]) == 2
    assert "mixed starts from what instruct leaves" in capsys.readouterr().err
    assert main([*call, "--stage", "mixd"]) == 2
    assert "choose from align, instruct, mixed" in capsys.readouterr().err


def test_a_sharded_recipe_in_one_process_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardingError, match="several processes"):
        run(short(sharding="fsdp2"), data, tmp_path, say=quiet)


def test_held_out_samples_stay_held_out() -> None:
    names = [f"set/{i}" for i in range(4000)]
    share = sum(held_out(name, 0.1) for name in names) / len(names)
    assert share == pytest.approx(0.1, abs=0.02)
    assert all(held_out(name, 0.2) for name in names if held_out(name, 0.1))  # growing keeps the old ones
    assert not any(held_out(name, 0.0) for name in names)


def test_samples_need_words() -> None:
    from omnivmed.records import Media

    with pytest.raises(ValueError, match="empty"):
        Sample("x", Media("text"), (("Q", " "),))


def test_a_damaged_or_cut_off_checkpoint_is_left_alone(data: Path, whole: Path, tmp_path: Path) -> None:
    """Named in one line; the run goes on from an older one and ends where the uninterrupted one does."""
    for stop in (2, 4):
        run(short(), data, tmp_path, stop_after=stop, say=quiet)
    folder = tmp_path / "mixed"
    newest, older = checkpoint.newest(folder)
    assert checkpoint.latest(folder) == newest
    optimizer = newest / "optimizer.safetensors"
    optimizer.write_bytes(optimizer.read_bytes()[:-1] + b"\x7f")
    assert checkpoint.latest(folder) == older
    (folder / "checkpoint-99").mkdir()  # killed while it was written
    said: list[str] = []
    final = run(short(), data, tmp_path, say=said.append)
    assert f"mixed: {newest.name} is left alone, optimizer.safetensors is not what was written" in said
    assert "mixed: checkpoint-99 is left alone, it was not written to its end" in said
    assert f"mixed: resuming from {older.name}" in said
    one, other = weights(whole / "mixed" / "final"), weights(final)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_every_process_reads_its_share_of_a_checkpoint(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    checkpoint.seal(tmp_path, 0, 2)
    assert (
        checkpoint.damage(tmp_path, 0, 1) == "it was not written to its end"
    )  # the second process is missing
    checkpoint.seal(tmp_path, 1, 2)
    assert [checkpoint.damage(tmp_path, rank, 2) for rank in (0, 1)] == [None, None]
    (tmp_path / "b").write_text("x")
    assert [checkpoint.damage(tmp_path, rank, 2) for rank in (0, 1)] == [None, "b is not what was written"]
    assert checkpoint.damage(tmp_path, 0, 1) == "b is not what was written"
    (tmp_path / "b").unlink()
    assert checkpoint.damage(tmp_path, 1, 2) == "b cannot be read"


def test_two_runs_do_not_share_a_folder(data: Path, whole: Path) -> None:
    import fcntl

    with (whole / "config.json").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process trains in"):
            run(short(), data, whole)
