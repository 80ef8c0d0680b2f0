"""What is different between a picture and its changed self: the map, the words, and whether there is any change.

The words say what the map shows, never what was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

VISIBLE = 8.0
"""Grey levels of 255 by which a pixel, smoothed over its neighbours, must differ to count as changed."""
LEAST_PIXELS = 16
"""Changed pixels below which it is said that nothing changed."""


@dataclass(frozen=True)
class Change:
    """after: uint8 (H, W, 3). difference_map: float32 (H, W), 0 to 1 of the grey scale.

    mask: bool (H, W), where what changed is: of every changed part the pixels that moved by at least half of its most,
    the width at half maximum, as a soft edge has no other place.
    """

    after: np.ndarray
    difference_map: np.ndarray
    mask: np.ndarray
    sentence: str
    no_change: bool


def change_of(before: np.ndarray, levels: np.ndarray) -> Change:
    """A picture uint8 (H, W, 3) and what the model adds to it, float (H, W) in grey levels, negative = darker.

    Changes that nobody would see are left out, so that the rest of the picture comes back to the bit.
    """
    smooth = np.abs(cv2.GaussianBlur(levels.astype(np.float32), (0, 0), 1.0))
    seen = largest_parts(smooth > VISIBLE)
    if int(seen.sum()) < LEAST_PIXELS:
        nothing = np.zeros(levels.shape, np.float32)
        return Change(before.copy(), nothing, nothing > 0, "The picture came back without a change.", True)
    near = cv2.GaussianBlur(cv2.dilate(seen.astype(np.float32), np.ones((5, 5))), (0, 0), 1.0)
    applied = levels.astype(np.float32) * near
    after = np.clip(before.astype(np.float32) + applied[..., None], 0, 255).round().astype(np.uint8)
    moved = np.abs(after.astype(np.float32) - before).mean(-1) / 255
    mask = at_half_maximum(smooth, seen)
    return Change(after, moved.astype(np.float32), mask, _sentence(levels, mask, float(seen.mean())), False)


def at_half_maximum(size: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Of every connected part of a mask the pixels of at least half of its largest size."""
    count, labels = cv2.connectedComponents(parts.astype(np.uint8), connectivity=8)
    out = np.zeros(parts.shape, bool)
    for number in range(1, count):
        inside = labels == number
        out |= inside & (size >= size[inside].max() / 2)
    return out


def largest_parts(mask: np.ndarray, least: int = LEAST_PIXELS) -> np.ndarray:
    """The mask without its specks: connected parts of fewer than ``least`` pixels."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= least]
    return np.isin(labels, keep)


def _sentence(levels: np.ndarray, mask: np.ndarray, share: float) -> str:
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    third = ("upper", "middle", "lower")[min(2, int(rows.mean() * 3 / height))]
    half, side = ("right", "left") if columns.mean() > width / 2 else ("left", "right")
    mean = float(levels[mask].mean())
    how = "brighter" if mean > 0 else "darker"
    return (
        f"A region in the {third} third, in the {half} half of the picture (the patient's {side}, if the patient "
        f"faces you), became {how} "
        f"by {abs(mean):.0f} grey levels on average; {100 * share:.1f} % of the picture changed, the rest did not."
    )
