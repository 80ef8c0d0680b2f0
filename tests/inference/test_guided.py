"""The engine past the file: what needs no model runs none, what differs is said, a strange picture is not described."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnivmed.errors import QuestionError
from omnivmed.inference import AskOptions, Done, MaskReady, Text
from omnivmed.inference.cards import card_of
from omnivmed.inference.guided import immediate
from omnivmed.spoken.familiar import Familiar, Line, load_familiar
from omnivmed.study import Study
from omnivmed.weights.names import nano_folder
from tests.inference.mock import MockRuntime, assistant

KNOWS = card_of("nano").knows


class Runtime(MockRuntime):
    """With features to look at: `strangeness` of every frame."""

    strangeness = 0.0

    def pooled(self, features: Any, frames: int) -> NDArray[np.float32]:
        return np.full((frames, 2), self.strangeness, np.float32)


def familiar() -> Familiar:
    """Known pictures lie at 0, other things at 10."""
    ones = np.ones(2, np.float32)
    line = Line(
        0 * ones,
        ones,
        np.eye(2, dtype=np.float32),
        np.zeros((3, 2), np.float32),
        np.full((3, 2), 10, np.float32),
        0.1,
    )
    return Familiar(line, line, "X-rays")


def volume(modality: str | None = "CT") -> Study:
    values = np.random.default_rng(0).integers(-1000, 1000, (6, 200, 200)).astype(np.int16)
    return Study.from_array(values, modality=modality, spacing_mm=(2.0, 1.0, 1.0))


def photo() -> Study:
    return Study.from_array(np.random.default_rng(1).integers(0, 255, (40, 40, 3), dtype=np.uint8), "image")


def test_a_file_answer_runs_nothing_of_the_model() -> None:
    runtime = Runtime()
    answer = assistant(runtime, knows=KNOWS).answer(volume(), "How many slices are there?")
    assert answer.text == "6 slices (from the file)."
    assert (answer.source, answer.mask, answer.usage.prompt_tokens) == ("file", None, 0)
    assert (runtime.encoder_frames, runtime.calls) == (0, {})
    assert answer.to_dict()["source"] == "file"


def test_alone_the_model_answers_everything_as_before() -> None:
    runtime = Runtime("A chest.")
    model = assistant(runtime, knows=KNOWS, familiar=familiar())
    runtime.strangeness = 10.0
    for question in ("How many slices are there?", "Hello", "What kind of scan is this?"):
        answer = model.answer(volume(None), question, alone=True)
        assert (answer.text, answer.source) == ("A chest.", "model")


@pytest.mark.parametrize(
    ("says", "source", "end"),
    [
        ("It is a CT.", "file", "(from the file)."),
        ("It is an MRI.", "both", "The file says CT; nano alone would have said MRI."),
    ],
)
def test_file_and_model_are_compared_and_a_difference_is_said(says: str, source: str, end: str) -> None:
    runtime = Runtime(says)
    events = list(assistant(runtime, knows=KNOWS).stream(volume(), "What kind of scan is this?"))
    assert isinstance(events[0], Text)  # before anything is read or encoded
    assert events[0].piece == "This is a CT (from the file)."
    done = events[-1]
    assert isinstance(done, Done)
    assert done.answer.source == source
    assert done.answer.text.endswith(end)
    assert any(isinstance(event, MaskReady) for event in events)
    pieces = "".join(event.piece for event in events if isinstance(event, Text))
    assert pieces.strip() == done.answer.text


def test_a_strange_picture_is_not_described_and_a_known_one_is() -> None:
    runtime = Runtime("It is an X-ray.")
    model = assistant(runtime, knows=KNOWS, familiar=familiar())
    assert model.answer(photo(), "What kind of image is this?").text == "It is an X-ray."
    strange = Runtime("It is an X-ray.")
    strange.strangeness = 10.0
    model = assistant(strange, knows=KNOWS, familiar=familiar())
    answer = model.answer(photo(), "What kind of image is this?")
    assert "unlike what it was trained on (X-rays)" in answer.text
    assert (answer.source, strange.calls.get("step", 0)) == ("fixed", 0)
    assert answer.offers
    assert "X-ray." not in answer.text
    described = model.answer(photo(), "Describe this image.")
    assert described.source == "file"
    assert described.text.startswith("This is a picture of 40 × 40 pixels (from the file")
    assert described.text.count("unlike") == 1
    assert strange.calls["encode"] == 1  # looked at once
    told = model.answer(
        volume("CT"), "What kind of scan is this?"
    )  # whose kind the file tells is not looked at
    assert told.source == "both"


def test_stopping_and_errors_leave_what_the_file_said() -> None:
    model = assistant(Runtime(), knows=KNOWS)
    with pytest.raises(QuestionError):
        model.answer(volume(), " ")
    with pytest.raises(QuestionError, match="There is no slice 7: this study has 6"):
        model.answer(volume(), "Which organ?", place=6)


def test_one_slice_is_shown_as_a_still_at_the_whole_budget_of_one() -> None:
    runtime = Runtime("An X-ray.")
    model = assistant(runtime)
    whole = model.answer(volume(), "What?")
    one = model.answer(volume(), "What?", place=4)
    assert whole.mask is not None
    assert one.mask is not None
    assert one.mask.frame_index.tolist() == [4]
    assert one.mask.keep.shape[0] == 1
    assert one.usage.visual_tokens_after == 36
    assert whole.mask.keep[0].size == 16
    assert one.window == whole.window
    again = model.answer(volume(), "What?", place=4)
    assert again.usage.encoder_frames == 0
    assert model.answer(volume(), "What?", place=3).usage.encoder_frames == 1


def test_without_a_model_the_file_still_answers() -> None:
    at_once = immediate(volume(), "How many slices?", "", KNOWS, AskOptions())
    assert at_once is not None
    assert at_once.text == "6 slices (from the file)."
    kind = immediate(volume(), "What kind of scan is this?", "", KNOWS, AskOptions())
    assert kind is not None
    assert kind.text == "This is a CT (from the file)."
    assert immediate(volume(), "How many slices?", "", KNOWS, AskOptions(alone=True)) is None
    assert immediate(photo(), "What kind of image is this?", "", KNOWS, AskOptions()) is None


def test_the_shipped_statistics_load_and_fit_the_model() -> None:
    found = load_familiar(nano_folder() / "familiar.safetensors")
    for line in (found.still, found.frame):
        assert line.mean.shape == (2 * 576,)
        assert len(line.known) > len(line.other) > 1000
        inside = line.mean[None] + line.deviation * 0
        assert np.isfinite(line.scores(inside)).all()
    assert "CT" in found.words
