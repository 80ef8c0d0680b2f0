"""The public resize rule against the table of known targets, and at its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnivmed.vision import resize_frames, target_size


@pytest.mark.parametrize(
    ("height", "width", "frames", "merge", "budget", "expected"),
    [
        (600, 800, 1, 1, 16384, (602, 798)),
        (2544, 3056, 1, 1, 16384, (1624, 1960)),
        (2544, 3056, 1, 1, 4096, (812, 980)),
        (512, 512, 120, 2, 10240, (252, 252)),
        (720, 1280, 60, 2, 16384, (336, 616)),
        (40, 40, 1, 1, 16384, (56, 56)),
    ],
)
def test_known_targets(
    height: int, width: int, frames: int, merge: int, budget: int, expected: tuple[int, int]
) -> None:
    assert target_size(height, width, frames=frames, merge_size=merge, max_tokens=budget) == expected


@given(
    height=st.integers(1, 40_000),
    width=st.integers(1, 40_000),
    frames=st.integers(1, 400),
    merge=st.sampled_from([1, 2]),
    budget=st.integers(16, 20_000),
)
def test_any_shape_stays_within_the_budget(
    height: int, width: int, frames: int, merge: int, budget: int
) -> None:
    new_h, new_w = target_size(height, width, frames=frames, merge_size=merge, max_tokens=budget)
    factor = 14 * merge
    assert new_h % factor == new_w % factor == 0
    assert new_h >= factor
    assert new_w >= factor
    tokens = new_h * new_w // factor**2
    assert tokens <= max(1, budget // frames)


def test_a_strip_is_clamped_not_refused() -> None:
    assert target_size(30_000, 2, max_tokens=1000) == (14_000, 14)


@pytest.mark.parametrize(("height", "width", "frames", "budget"), [(0, 5, 1, 9), (5, 5, 0, 9), (5, 5, 1, 0)])
def test_impossible_sizes_are_refused(height: int, width: int, frames: int, budget: int) -> None:
    with pytest.raises(ValueError, match="cannot resize"):
        target_size(height, width, frames=frames, max_tokens=budget)


def test_grey_frames_take_the_short_way_with_the_same_result() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (50, 70), dtype=np.uint8)
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    tinted = as_rgb.copy()
    tinted[0, 0, 2] ^= 1  # no longer grey: takes the colour path
    short = resize_frames([as_rgb], (28, 28))[0]
    long = resize_frames([tinted], (28, 28))[0]
    assert np.array_equal(short[..., :2], long[..., :2])


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(91, 109, (84, 112)), (60, 80, (84, 112)), (64, 64, (112, 112))]
)
def test_a_budget_as_small_as_the_minimum_keeps_the_shape(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    """Nano's slices: at least and at most 16 tokens each."""
    assert target_size(height, width, frames=8, merge_size=2, max_tokens=8 * 16) == expected
