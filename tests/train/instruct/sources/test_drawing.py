"""Drawing records: the published format, pictures that exist, and nothing that is not true of them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from train.instruct.rows.record import Record
from train.instruct.sources import drawing


def chest(path: Path) -> None:
    """A bright chest with two dark lungs."""
    y, x = np.mgrid[:256, :256]
    grey = np.where(np.hypot(x - 128, (y - 120) * 0.9) < 110, 150, 5)
    for centre in (75, 181):
        grey = np.where(np.hypot((x - centre) * 1.5, y - 120) < 55, 40, grey)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)).save(path)


def volume(path: Path, seed: int, shape: tuple[int, int, int] = (40, 36, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).random(shape, dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def row(**values: object) -> Record:
    given = {
        "id": "r",
        "kind": "image",
        "paths": ("a.png",),
        "question": "Describe it.",
        "answer": "A chest radiograph.",
        "modality": "x-ray",
        "task": "report",
        "source": "MIMIC-CXR",
        "licence": "L",
    }
    return Record(**{**given, **values})  # type: ignore[arg-type]


def test_every_task_in_the_published_format(tmp_path: Path) -> None:
    chest(tmp_path / "a.png")
    for n, kind in enumerate(("t1n", "t2w", "t2f")):
        volume(tmp_path / "BraTS2023" / "BraTS-GLI-00005-000" / f"BraTS-GLI-00005-000-{kind}.nii.gz", n)
    volume(tmp_path / "SynthRAD2023" / "brain" / "1BA001" / "mr.nii.gz", 7)
    volume(tmp_path / "SynthRAD2023" / "brain" / "1BA001" / "ct.nii.gz", 8, (40, 36, 12))
    for stain in ("HE", "IHC"):
        chest(tmp_path / "BCI" / stain / "test" / "00001_test_2+.png")
    rows = [row(), row(id="two", paths=("a.png", "a.png")), row(id="small", kind="text", paths=())]
    out = tmp_path / "out"
    counts = drawing.write(drawing.everything(rows, tmp_path, out / "media"), out)
    # BraTS: 6 ordered pairs x 3 slices; SynthRAD's two are not of one shape; one section under two stains
    assert counts == {
        "text_to_image": 1,
        "super_resolution": 1,
        "translation": 19,
        "counterfactual": 2,
        "interleaved": 1,
    }
    made = [json.loads(line) for line in (out / "drawing.jsonl").read_text().splitlines()]
    assert len({r["id"] for r in made}) == len(made)
    for r in made:
        assert list(r)[:7] == [
            "main_task_type",
            "sub_task_type",
            "modality",
            "dataset",
            "input_img",
            "output_img",
            "message",
        ]
        for name in (*r["input_img"], *r["output_img"]):
            assert (tmp_path / name).is_file() or (out / name).is_file()
    fair = [r for r in made if r["dataset"] == "BraTS 2023"]
    assert len({r["patient"] for r in fair}) == 1
    assert {r["split"] for r in made if r["dataset"] == "BCI"} == {"test"}


def test_a_counterfactual_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    chest(tmp_path / "a.png")
    made = [
        r
        for r in drawing.of_row(row(), tmp_path, tmp_path / "media", 3)
        if r["sub_task_type"] == "counterfactual"
    ]
    add, remove = made
    assert add["input_img"] == remove["output_img"]
    before, after = (
        np.asarray(Image.open(tmp_path / n), int) for n in (*add["input_img"], *add["output_img"])
    )
    changed = np.abs(after - before).max(-1) > 8
    assert 0 < changed.mean() < 0.2
    side = "left" if np.argwhere(changed)[:, 1].mean() > before.shape[1] / 2 else "right"
    assert side in add["message"][0]["value"]
    assert "drawn by code" in add["message"][1]["value"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sub_task_type": "magic"}, "no drawing task"),
        ({"input_img": ["a"]}, "1 pictures"),
        ({"output_img": []}, "0 pictures in output_img"),
        ({"message": []}, "one question"),
    ],
)
def test_what_is_no_record(tmp_path: Path, change: dict[str, object], message: str) -> None:
    chest(tmp_path / "a.png")
    good = next(iter(drawing.of_row(row(), tmp_path, tmp_path / "media", 0)))
    drawing.check(good)
    with pytest.raises(ValueError, match=message):
        drawing.check({**good, **change})
    with pytest.raises(ValueError, match="lacks"):
        drawing.check({k: v for k, v in good.items() if k != "dataset"})
