"""Drawn outlines: which pixels they hold and which tokens they touch, to the pixel and the token."""

from __future__ import annotations

import numpy as np
import pytest

from omnivmed.pruning.region import MOST_OUTLINES, Outline, outlined_tokens, region_tokens
from omnivmed.study import Study
from omnivmed.vision import Patches, prepare
from omnivmed.vision.budget import NANO_BUDGET

EDGE = 112  # 4 x 4 tokens of 28 pixels under nano's budget, no resizing


@pytest.fixture
def patches() -> Patches:
    """Six slices of 4 x 4 tokens."""
    values = np.zeros((6, EDGE, EDGE), np.float32)
    return prepare(
        Study.from_array(values, "volume", window=(40.0, 400.0), spacing_mm=(3.0, 1.0, 1.0)), NANO_BUDGET
    )


def box(x0: float, y0: float, x1: float, y1: float, first: int = 0, last: int = 0) -> Outline:
    return Outline(first, last, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


def found(patches: Patches, *outlines: Outline) -> list[list[int]]:
    return [list(map(int, place)) for place in np.argwhere(outlined_tokens(outlines, patches))]


def test_a_box_on_the_lines_between_tokens_touches_what_lies_inside(patches: Patches) -> None:
    assert found(patches, box(0.25, 0.25, 0.5, 0.5)) == [[0, 1, 1]]
    assert found(patches, box(0.25, 0.25, 0.5 + 1 / EDGE, 0.5)) == [[0, 1, 1], [0, 1, 2]], "one pixel further"
    assert found(patches, box(0, 0, 1, 1, 2, 2)) == [[2, r, c] for r in range(4) for c in range(4)]


def test_an_outline_holds_for_its_frames(patches: Patches) -> None:
    assert found(patches, box(0.3, 0.3, 0.4, 0.4, 1, 3)) == [[1, 1, 1], [2, 1, 1], [3, 1, 1]]
    assert found(patches, box(0.3, 0.3, 0.4, 0.4, 7, 9)) == []


def test_outlines_that_overlap_add_up_and_one_that_crosses_itself_has_a_hole(patches: Patches) -> None:
    both = found(patches, box(0.0, 0.0, 0.5, 0.25), box(0.25, 0.0, 0.75, 0.25))
    assert both == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    low, high = 0.25, 0.75
    inner = ((low, low), (low, high), (high, high), (high, low), (low, low))
    ring = Outline(0, 0, ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0), *inner))
    assert len(found(patches, ring)) == 12, "the four tokens in the middle are outside"


def test_an_ellipse_touches_the_tokens_of_its_pixels(patches: Patches) -> None:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    points = tuple((0.5 + 0.3 * float(np.cos(a)), 0.5 + 0.2 * float(np.sin(a))) for a in angles)
    marked = np.zeros((6, EDGE, EDGE), bool)
    y, x = np.mgrid[:EDGE, :EDGE] + 0.5
    marked[0] = ((x / EDGE - 0.5) / 0.3) ** 2 + ((y / EDGE - 0.5) / 0.2) ** 2 < 0.995
    assert np.array_equal(outlined_tokens([Outline(0, 0, points)], patches), region_tokens(marked, patches))


@pytest.mark.parametrize(
    ("outlines", "said"),
    [
        ([Outline(0, 0, ((0, 0), (1, 1)))], "3 to 512 points"),
        ([Outline(0, 0, ((0, 0), (1, 1), (float("nan"), 0)))], "3 to 512 points"),
        ([Outline(3, 1, ((0, 0), (1, 1), (0, 1)))], "to a later one"),
        ([box(0, 0, 1, 1)] * (MOST_OUTLINES + 1), "at most 32"),
    ],
)
def test_nonsense_is_refused(patches: Patches, outlines: list[Outline], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        outlined_tokens(outlines, patches)


def test_points_beyond_the_picture_are_brought_to_its_edge(patches: Patches) -> None:
    assert found(patches, box(-5, -5, 0.1, 0.1)) == [[0, 0, 0]]
