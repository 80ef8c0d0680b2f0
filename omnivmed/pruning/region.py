"""Regions of a study, as a mask file or as outlines that somebody drew, and the tokens that they touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnivmed.vision.patches import Patches

MOST_OUTLINES = 32
MOST_POINTS = 512


@dataclass(frozen=True)
class Outline:
    """A closed outline on frames `first` to `last` of the study, both included, counted from 0.

    points: (x, y) in 0..1 of the frame's width and height, at least three.
    """

    first: int
    last: int
    points: tuple[tuple[float, float], ...]


def region_tokens(marked: np.ndarray, patches: Patches) -> np.ndarray:
    """bool (t, h, w): the tokens that a marked region touches.

    marked: bool (T, H, W) over all frames of the study. A token is touched by a marked pixel whose middle lies in its
    rectangle. Raises ValueError for another size of frames, or fewer frames.
    """
    height, width = patches.source_size
    if (
        marked.ndim != 3
        or marked.shape[1:] != (height, width)
        or len(marked) <= int(patches.frame_index.max())
    ):
        raise ValueError(f"the region is {marked.shape}, the study's frames are {height} x {width}")
    return np.stack([_touched(marked[int(frame)], patches) for frame in patches.frame_index])


def outlined_tokens(outlines: Sequence[Outline], patches: Patches) -> np.ndarray:
    """bool (t, h, w): the tokens that drawn outlines touch, in the frames that are taken.

    Raises ValueError for more outlines or points than `MOST_OUTLINES` and `MOST_POINTS`, fewer than three points,
    points that are no numbers, or frames in the wrong order.
    """
    if len(outlines) > MOST_OUTLINES:
        raise ValueError(f"at most {MOST_OUTLINES} outlines, got {len(outlines)}")
    height, width = patches.source_size
    drawn = []
    for one in outlines:
        points = np.asarray(one.points, dtype=np.float64)
        if points.ndim != 2 or not 3 <= len(points) <= MOST_POINTS or not np.isfinite(points).all():
            raise ValueError(f"an outline has 3 to {MOST_POINTS} points, got {len(one.points)}")
        if one.first > one.last:
            raise ValueError(f"an outline goes from a frame to a later one, got {one.first} to {one.last}")
        inside = _filled(np.clip(points, 0, 1) * (width, height), height, width)
        drawn.append((one.first, one.last, _touched(inside, patches)))
    out = np.zeros(patches.token_grid, dtype=bool)
    for k, frame in enumerate(patches.frame_index.tolist()):
        for first, last, touched in drawn:
            if first <= frame <= last:
                out[k] |= touched
    return out


def _filled(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool (height, width): the pixels whose middle lies inside a closed outline of (x, y) in pixels, by even-odd rule.

    Row by row and exact, where drawing libraries also mark the pixels on the outline itself.
    """
    out = np.zeros((height, width), dtype=bool)
    x0, y0 = points.T
    x1, y1 = np.roll(points, -1, axis=0).T
    for row in range(max(0, int(y0.min()) - 1), min(height, int(np.ceil(y0.max())) + 1)):
        middle = row + 0.5
        crosses = (y0 <= middle) != (y1 <= middle)
        at = x0[crosses] + (middle - y0[crosses]) / (y1[crosses] - y0[crosses]) * (x1[crosses] - x0[crosses])
        edges = np.ceil(np.sort(at) - 0.5).astype(int)
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            out[row, left:right] = True
    return out


def _touched(marked: np.ndarray, patches: Patches) -> np.ndarray:
    """bool (h, w) of one frame, bool (H, W): the tokens in which the middle of a marked pixel lies."""
    _, h, w = patches.token_grid
    height, width = patches.source_size
    out = np.zeros((h, w), dtype=bool)
    rows = np.searchsorted(patches.rects[:, 0, 3], np.arange(height) + 0.5)
    columns = np.searchsorted(patches.rects[0, :, 2], np.arange(width) + 0.5)
    y, x = np.nonzero(marked)
    out[np.minimum(rows[y], h - 1), np.minimum(columns[x], w - 1)] = True
    return out
