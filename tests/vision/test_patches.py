"""Row order, values, positions and rectangles of patches."""

from __future__ import annotations

import numpy as np
import pytest

from omnivmed.study import Study
from omnivmed.vision import VisionBudget, patchify, prepare, token_rects
from tests.phantoms import clip_study, ct_study


def naive_patchify(frame: np.ndarray, m: int) -> np.ndarray:
    """One frame by plain loops, as the published description reads."""
    rows = []
    for block_y in range(0, frame.shape[0], 14 * m):
        for block_x in range(0, frame.shape[1], 14 * m):
            for y in range(block_y, block_y + 14 * m, 14):
                for x in range(block_x, block_x + 14 * m, 14):
                    cut = frame[y : y + 14, x : x + 14].astype(np.float32) / 127.5 - 1
                    rows.append(cut.transpose(2, 0, 1).ravel())
    return np.stack(rows)


@pytest.mark.parametrize("merge", [1, 2])
def test_row_order_and_values(merge: int) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 56, 84, 3), dtype=np.uint8)
    rows, grid = patchify(frames, merge)
    assert grid == (3, 4, 6)
    assert rows.dtype == np.float32
    expected = np.concatenate([naive_patchify(f, merge) for f in frames])
    assert np.abs(rows - expected).max() < 1e-6
    assert rows.min() >= -1
    assert rows.max() <= 1


def test_rects_tile_the_source() -> None:
    rects = token_rects((3, 5), (100, 333))
    assert rects[0, 0].tolist() == pytest.approx([0, 0, 66.6, 33.333], abs=1e-2)
    assert rects[-1, -1, 2:].tolist() == [333, 100]
    area = (rects[..., 2] - rects[..., 0]) * (rects[..., 3] - rects[..., 1])
    assert area.sum() == pytest.approx(33_300, rel=1e-5)
    assert np.array_equal(rects[:, 1:, 0], rects[:, :-1, 2])


@pytest.mark.parametrize("shape", [(1, 56, 84), (1, 56, 84, 4), (1, 50, 84, 3)])
def test_frames_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected|multiple"):
        patchify(np.zeros(shape, dtype=np.uint8), 2)


def test_prepare_a_volume() -> None:
    steps: list[tuple[str, int, int]] = []
    patches = prepare(ct_study(20), progress=lambda *step: steps.append(step))
    assert patches.grid_thw[0] == 20
    assert patches.merge_size == 2
    assert patches.window == (40, 400)
    assert patches.tokens <= 10_240
    assert len(patches.patches) == np.prod(patches.grid_thw)
    assert steps[-1] == ("reading", 20, 20)


def test_prepare_a_clip_carries_its_times() -> None:
    patches = prepare(clip_study(40, fps=10), VisionBudget(fps=2.0))
    assert patches.times_s is not None
    assert patches.times_s.tolist() == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5])


def test_anisotropic_pixels_are_shown_square() -> None:
    image = np.zeros((1, 100, 100), dtype=np.uint8)
    study = Study.from_array(image, kind="image", spacing_mm=(1.0, 3.0, 1.0), window=(128, 256))
    new_h, new_w = prepare(study).resized_size
    assert 2.8 < new_h / new_w < 3.2
