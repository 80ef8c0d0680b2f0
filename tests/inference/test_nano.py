"""The embedded model as shipped, on the samples as shipped: every path of the product with real weights (slow)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from omnivmed import open_study, weights
from omnivmed.cli import main
from omnivmed.inference import load_model
from omnivmed.inference.engine import LocalAssistant
from omnivmed.spoken.attributes import named
from omnivmed.study import Study
from omnivmed.weights.names import nano_folder
from tests.inference.mock import mask_of

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
def nano() -> LocalAssistant:
    return load_model("nano", offline=True)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_kind_of_image(nano: LocalAssistant, name: str) -> None:
    with open_study(SAMPLES / name) as study:
        answer = nano.answer(study, "What kind of image is this?", max_new_tokens=40, alone=True)
        if "modality" in nano.silent.get(study.kind, ()):
            assert answer.text.startswith("I cannot tell"), answer.text
        else:
            assert any(word in answer.text.lower() for word in EXPECTED[name]), answer.text
        assert answer.stopped == "end"
        again = nano.answer(study, "Which part of the body is shown?", max_new_tokens=40, alone=True)
        assert again.usage["encoder_frames"] == 0
        assert again.text
        nano.forget(study)


def mr_slice() -> Study:
    """The middle axial slice of the MR sample, as a still."""
    with open_study(SAMPLES / "mr_head.nii.gz") as volume:
        middle = volume.shape[0] // 2
        return Study.from_array(volume.frames(middle, middle + 1)[0], modality="MR")


@pytest.mark.parametrize(
    "question", ["Which MRI sequence is this?", "T1, T2 or FLAIR?", "Sequence? Answer in one word."]
)
def test_what_failed_the_ship_rule_is_not_said(nano: LocalAssistant, question: str) -> None:
    if "sequence" not in nano.silent.get("image", ()):
        pytest.skip("this nano may speak of the sequence of one slice")
    answer = nano.answer(mr_slice(), question, max_new_tokens=40, alone=True)
    assert "I cannot tell the MR sequence of one slice reliably." in answer.text
    assert not named("sequence", answer.text)
    assert any("measured to guess" in note for note in answer.notes)


@pytest.mark.parametrize("question", ["Is this T1?", "Is this a FLAIR sequence?", "Describe this image."])
def test_neither_by_yes_or_no_nor_in_a_description(nano: LocalAssistant, question: str) -> None:
    if "sequence" not in nano.silent.get("image", ()):
        pytest.skip("this nano may speak of the sequence of one slice")
    text = nano.answer(mr_slice(), question, max_new_tokens=40, alone=True).text
    assert text
    assert not named("sequence", text)
    assert not text.lower().startswith(("yes", "no,", "no."))


def test_plain_questions_are_answered_as_without_the_rule(
    nano: LocalAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_study(SAMPLES / "mr_head.nii.gz") as study:
        question = "What does the heart do?"
        ruled = nano.answer(study, question, max_new_tokens=40, alone=True)
        nano.forget(study)  # a reused beginning rounds otherwise, which free text may show
        monkeypatch.setattr(nano, "silent", {})
        assert nano.answer(study, question, max_new_tokens=40, alone=True).text == ruled.text
        nano.forget(study)


@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_extreme_thresholds_still_answer(nano: LocalAssistant, threshold: float) -> None:
    with open_study(SAMPLES / "echo_cine.dcm") as study:
        how = {"threshold": threshold, "max_new_tokens": 40, "alone": True}
        answer = nano.answer(study, "What kind of recording is this?", **how)  # type: ignore[arg-type]
        t, h, w = mask_of(answer).keep.shape
        if threshold == 2:
            assert mask_of(answer).kept == h * w + t - 1
        else:
            assert mask_of(answer).kept >= t * h * w - int((mask_of(answer).distance == 0).sum())
        assert answer.text


def test_ask_from_a_dicom_zip_and_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(SAMPLES / "chest_xray.dcm", "IM0001")
    for file in (path, SAMPLES / "endoscopy_phantom.mp4"):
        assert main(["ask", str(file), "What is shown here?", "--offline", "--max-new-tokens", "40"]) == 0
        out, err = capsys.readouterr()
        assert len(out.split()) >= 3
        assert "Not for clinical use." in err
