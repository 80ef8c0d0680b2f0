"""The embedded model as shipped, on the samples as shipped: every path of the product with real weights (slow)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

pytest.importorskip("torch")

from omnivmed import open_study, weights
from omnivmed.cli import main
from omnivmed.inference import load_model
from omnivmed.inference.engine import Assistant
from omnivmed.registry import nano_folder

SAMPLES = Path(__file__).resolve().parents[2] / "assets" / "samples"
#: A word that a right answer to "What kind of image is this?" must hold.
EXPECTED = {
    "chest_xray.dcm": ("x-ray", "radiograph"),
    "ct_abdomen.nii.gz": ("ct",),
    "mr_head.nii.gz": ("mr",),
    "echo_cine.dcm": ("ultrasound", "echo"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not (nano_folder() / "config.json").is_file(), reason="nano has no trained weights here"
    ),
    pytest.mark.skipif(not weights.is_cached(), reason="run first: python -m omnivmed weights fetch"),
]


@pytest.fixture(scope="module")
def nano() -> Assistant:
    return load_model("nano", offline=True)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_kind_of_image(nano: Assistant, name: str):
    with open_study(SAMPLES / name) as study:
        answer = nano.answer(study, "What kind of image is this?", max_new_tokens=40)
        assert any(word in answer.text.lower() for word in EXPECTED[name]), answer.text
        assert answer.stopped == "end"
        again = nano.answer(study, "Which part of the body is shown?", max_new_tokens=40)
        assert again.usage["encoder_frames"] == 0
        assert again.text
        nano.forget(study)


@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_extreme_thresholds_still_answer(nano: Assistant, threshold: float):
    with open_study(SAMPLES / "echo_cine.dcm") as study:
        answer = nano.answer(study, "What kind of recording is this?", threshold=threshold, max_new_tokens=40)
        t, h, w = answer.mask.keep.shape
        if threshold == 2:
            assert answer.mask.kept == h * w + t - 1
        else:
            assert answer.mask.kept >= t * h * w - int((answer.mask.distance == 0).sum())
        assert answer.text


def test_ask_from_a_dicom_zip_and_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(SAMPLES / "chest_xray.dcm", "IM0001")
    for file in (path, SAMPLES / "endoscopy_phantom.mp4"):
        assert main(["ask", str(file), "What is shown here?", "--offline", "--max-new-tokens", "40"]) == 0
        out, err = capsys.readouterr()
        assert len(out.split()) >= 3
        assert "Not for clinical use." in err
