"""A question about a stretch of a clip: which frames are looked at, what is kept apart, what is said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from omnivmed.errors import QuestionError
from omnivmed.study import Study
from omnivmed.vision import sample_frames
from omnivmed.vision.budget import NANO_BUDGET
from tests.inference.mock import MockRuntime, assistant, mask_of
from tests.phantoms import clip_study, ct_study


def long_clip(frames: int = 2_000, fps: float = 5.0) -> Study:
    """400 s of one flat colour each frame: sampled every 12.9 s under nano's budget."""
    values = np.zeros((frames, 28, 28, 3), np.uint8) + (np.arange(frames) % 251)[:, None, None, None]
    return Study.from_array(values.astype(np.uint8), "video", times_s=np.arange(frames) / fps)


def test_a_stretch_takes_as_many_frames_closer_together() -> None:
    study = long_clip()
    whole = sample_frames(study, NANO_BUDGET)
    part = sample_frames(study, NANO_BUDGET, span_s=(80.0, 110.0))
    assert len(part) == len(whole) == 32
    times = np.asarray(study.times_s)[part]
    assert times[0] == pytest.approx(80.0)
    assert times[-1] == pytest.approx(110.0)
    assert np.diff(times).max() < 1.3


def test_a_stretch_of_few_frames_takes_them_all() -> None:
    assert sample_frames(long_clip(), NANO_BUDGET, span_s=(10.0, 11.0)).tolist() == list(range(50, 56))
    assert sample_frames(long_clip(), NANO_BUDGET, span_s=(10.01, 10.02)).tolist() == [50]
    assert sample_frames(long_clip(), NANO_BUDGET, span_s=(399.0, math.inf)).tolist() == list(
        range(1995, 2000)
    )


def test_a_stretch_has_a_mask_features_and_a_conversation_of_its_own() -> None:
    runtime = MockRuntime()
    model, study = assistant(runtime), long_clip()
    whole = model.answer(study, "What?")
    encoded = runtime.encoder_frames
    part = model.answer(study, "What?", span_s=(80.0, 110.0))
    assert part.usage["encoder_frames"] == runtime.encoder_frames - encoded > 0
    assert mask_of(part).span_s == (80.0, 110.0)
    assert mask_of(whole).span_s is None
    assert mask_of(part).frame_index.tolist() != mask_of(whole).frame_index.tolist()
    assert part.usage["cached_tokens"] < 20  # only the words before the study
    assert model.answer(study, "What?", span_s=(80.0, 110.0)).usage["encoder_frames"] == 0
    assert model.answer(study, "What?", span_s=(80.0, 111.0)).usage["encoder_frames"] > 0
    assert mask_of(model.answer(study, "What?")) is mask_of(whole)
    assert part.to_dict()["mask"]["span_s"] == [80.0, 110.0]  # type: ignore[index]


def test_the_end_of_a_stretch_is_the_end_of_the_clip_at_most() -> None:
    model, study = assistant(MockRuntime()), long_clip()
    mask = mask_of(model.answer(study, "What?", span_s=(390.0, math.inf)))
    assert mask.span_s == (390.0, 399.8)


@pytest.mark.parametrize("span", [(5.0, 5.0), (9.0, 2.0), (500.0, 600.0), (-5.0, -1.0), (math.nan, 3.0)])
def test_a_stretch_that_is_none_is_refused(span: tuple[float, float]) -> None:
    with pytest.raises(QuestionError, match=r"stretch|lasts"):
        assistant(MockRuntime()).answer(long_clip(), "What?", span_s=span)


def test_only_a_clip_has_a_stretch_and_only_without_a_place() -> None:
    with pytest.raises(QuestionError, match="clip"):
        assistant(MockRuntime()).answer(ct_study(), "What?", span_s=(0.0, 1.0))
    with pytest.raises(QuestionError, match="not both"):
        assistant(MockRuntime()).answer(clip_study(), "What?", span_s=(0.0, 1.0), place=2)


def test_an_answer_says_how_much_time_lies_between_the_frames() -> None:
    model = assistant(MockRuntime())
    notes = model.answer(long_clip(), "What?").notes
    assert any(note.startswith("Up to 13 s lie between two frames") for note in notes)
    assert model.answer(long_clip(), "What?", span_s=(80.0, 110.0)).notes == ()
    assert model.answer(clip_study(), "What?").notes == ()


def test_a_place_with_its_neighbours_is_a_small_volume_of_its_own() -> None:
    runtime = MockRuntime()
    model, study = assistant(runtime), ct_study()
    near = mask_of(model.answer(study, "What?", place=5, neighbours=1))
    assert near.frame_index.tolist() == [4, 5, 6]  # of the series, not of those that were sampled
    assert len(near.keep) == 3
    alone = mask_of(model.answer(study, "What?", place=5))
    assert alone.frame_index.tolist() == [5]
    assert alone.total != near.total
    assert mask_of(model.answer(study, "What?", place=0, neighbours=2)).frame_index.tolist() == [0, 1, 2]
    assert mask_of(model.answer(study, "What?", place=11, neighbours=9)).frame_index.tolist() == [9, 10, 11]
    assert mask_of(model.answer(study, "What?", neighbours=1)).frame_index.tolist() == list(range(12))
    clip = mask_of(model.answer(clip_study(), "What?", place=7, neighbours=1))
    assert clip.times_s is not None
    assert clip.times_s.tolist() == pytest.approx([0.6, 0.7, 0.8])
