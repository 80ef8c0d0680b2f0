"""Rows of one's own: three studies, one call, from random weights and with adapters; wrong rows are told by place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from train import own
from train.loop import metrics
from train.recipes import TrainConfig


def said(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One volume, one clip, one still, and their three rows."""
    import nibabel

    from tests.io.clip_makers import encoded

    folder = tmp_path_factory.mktemp("mine")
    z, y, x = np.mgrid[0:12, 0:56, 0:56]
    ball = 400 * ((z - 6) ** 2 * 16 + (y - 28) ** 2 + (x - 28) ** 2 < 300) - 100
    nibabel.save(
        nibabel.Nifti1Image(ball.T.astype(np.int16), np.diag([2.0, 2.0, 4.0, 1.0])), folder / "ct.nii.gz"
    )
    (folder / "clip.mp4").write_bytes(encoded(range(12)))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)).save(
        folder / "film.png"
    )
    media: list[dict[str, object]] = [
        {"volume": {"path": "ct.nii.gz", "window": [40, 400]}},
        {"video": "clip.mp4"},
        {"image": "film.png"},
    ]
    talk = [said("What is it?", "A ball."), said("What moves?", "A square."), said("What is seen?", "Noise.")]
    lines = [json.dumps({**m, "conversations": t}) for m, t in zip(media, talk, strict=True)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "rows.jsonl"


@pytest.fixture(scope="module")
def random(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[own.Told], Path]:
    """A run from random weights."""
    return own.fine_tune(rows, tmp_path_factory.mktemp("random"), "random", steps=12, say=lambda _: None)


def test_random_weights_learn_from_three_rows(random: tuple[list[own.Told], Path], rows: Path) -> None:
    told, model = random
    losses = [loss for _, loss in metrics.losses(model.parent / metrics.METRICS)]
    assert len(losses) == 12
    assert losses[-1] < 0.8 * losses[0]
    assert [one.question for one in told] == ["What is it?", "What moves?", "What is seen?"]
    config = TrainConfig.load(model.parents[1] / "config.json")
    assert config.stages[0].threshold == 0.1, "pruning is on"
    assert config.stages[0].sources[0].path == rows.name


def test_adapters_start_from_a_folder_and_change_its_answers(
    random: tuple[list[own.Told], Path], rows: Path, tmp_path: Path
) -> None:
    start = random[1]
    lines: list[str] = []
    told, model = own.fine_tune(rows, tmp_path, str(start), steps=6, threshold=0.2, rank=4, say=lines.append)
    assert "3 rows, 2 of volumes and clips, pruned at 0.2" in lines
    adapters = load_file(model / "lora.safetensors")
    assert {tensor.shape[0] for name, tensor in adapters.items() if name.endswith("lora_A")} == {4}
    before, after = load_file(start / "model.safetensors"), load_file(model / "model.safetensors")
    frozen = [name for name in before if "vision_model" in name]
    assert frozen
    assert all(bool((before[name] == after[name]).all()) for name in frozen), "the encoder stays as it was"
    kept = [
        json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert (
        [row["wanted"] for row in kept] == [one.wanted for one in told] == ["A ball.", "A square.", "Noise."]
    )
    assert (
        own.fine_tune(rows, tmp_path, str(start), steps=6, threshold=0.2, rank=4, say=lines.append)[1]
        == model
    )
    with pytest.raises(ValueError, match="another recipe"):
        own.fine_tune(rows, tmp_path, str(start), steps=7, threshold=0.2, rank=4, say=lines.append)


def test_a_row_that_cannot_be_used_is_told_before_anything_is_trained(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "rows.jsonl"
    wrong.write_text(json.dumps({"image": "none.png", "conversations": said("What?", "That.")}) + "\n")
    assert own.main([str(wrong), "--out", str(tmp_path / "run"), "--start", "random"]) == 2
    assert "file missing" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert own.main([str(tmp_path / "nothing.jsonl"), "--out", str(tmp_path / "run")]) == 2
    assert own.main([str(rows), "--out", str(tmp_path / "run"), "--threshold", "3"]) == 2
    assert "between 0 and 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "batch", "steps", "held_out"), [(3, 3, 12, 0.0), (50, 8, 21, 0.1), (9000, 8, 2000, 0.1)]
)
def test_steps_and_batches_follow_the_number_of_rows(
    count: int, batch: int, steps: int, held_out: float
) -> None:
    config = own.own_recipe(Path("rows.jsonl"), count, None, None, 0.1, 16)
    assert (config.stages[0].global_batch, config.stages[0].steps, config.validate) == (
        batch,
        steps,
        held_out,
    )
    assert own.own_recipe(Path("rows.jsonl"), count, None, None, 0.0, 16).stages[0].threshold is None
