"""Slices by millimetres, frames by seconds."""

from __future__ import annotations

import numpy as np
import pytest

from omnivmed.study import Study
from omnivmed.vision import VisionBudget, sample_frames
from tests.phantoms import clip_study


def volume(slices: int, step_mm: float | None) -> Study:
    spacing = None if step_mm is None else (step_mm, 1.0, 1.0)
    return Study.from_array(np.zeros((slices, 8, 8), np.int16), kind="volume", spacing_mm=spacing)


def test_an_image_is_one_frame() -> None:
    study = Study.from_array(np.zeros((1, 8, 8), np.uint8), kind="image")
    assert sample_frames(study).tolist() == [0]


def test_thin_slices_are_taken_by_millimetres() -> None:
    index = sample_frames(volume(181, 1.0))
    assert np.unique(np.diff(index)).tolist() == [2]
    assert index[0] == 0
    assert index[-1] == 180


def test_thick_slices_are_all_taken() -> None:
    assert sample_frames(volume(30, 5.0)).tolist() == list(range(30))
    assert sample_frames(volume(30, 1.9999999)).tolist() == list(range(30))


def test_unknown_spacing_takes_all_up_to_the_cap() -> None:
    assert len(sample_frames(volume(100, None))) == 100
    assert len(sample_frames(volume(500, None))) == 128


def test_the_cap_spreads_over_the_whole_volume() -> None:
    index = sample_frames(volume(300, 2.5), max_frames=8)
    assert len(index) == 8
    assert index[0] == 0
    assert index[-1] == 299


def test_a_clip_is_taken_by_seconds() -> None:
    # 30 s at 10 fps: one frame each second.
    assert sample_frames(clip_study(300)).tolist() == list(range(0, 300, 10))


def test_a_short_clip_is_taken_more_densely() -> None:
    assert len(sample_frames(clip_study(20))) == 8


def test_variable_rate_takes_the_frame_on_screen() -> None:
    times = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 10.0])
    study = Study.from_array(np.zeros((6, 8, 8, 3), np.uint8), kind="video", times_s=times)
    # On screen at 0, 1, 2 … 10 s: frame 2 until 5 s, frame 4 until 10 s.
    assert sample_frames(study, VisionBudget(min_frames=1)).tolist() == [0, 2, 3, 4, 5]


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_frames"):
        sample_frames(volume(5, 1.0), max_frames=0)
