"""Before and after of a changed picture, on one grid: the given picture and the heat of the change, as layers."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from omnivmed.provenance import enlarged

LEAST = 0.04
"""Share of the grey scale from which on a change is drawn; below it is what any encoding does to a picture."""
FULL = 0.35
"""Share of the grey scale at which the colour is fullest."""


def before_png(before_HW3: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    """PNG of the given picture, enlarged like the stamped one: (height, width) of that, its band's rows left grey."""
    from PIL import Image

    height, width = size
    large = enlarged(before_HW3)
    canvas = np.full((height, width, 3), 128, np.uint8)
    rows, columns = min(height, large.shape[0]), min(width, large.shape[1])
    canvas[:rows, :columns] = large[:rows, :columns]
    out = io.BytesIO()
    Image.fromarray(canvas).save(out, "PNG")
    return out.getvalue()


def heat_png(difference_map: NDArray[np.float32], size: tuple[int, int]) -> bytes:
    """RGBA PNG of where a picture changed: float32 (h, w), shares of the grey scale, laid over the stamped picture.

    Clear below `LEAST`; from there yellow to red. The rows of the band are clear.
    """
    import cv2
    from PIL import Image

    height, width = size
    rows, columns = difference_map.shape
    times = max(1, width // max(1, columns))
    large = cv2.resize(
        difference_map.astype(np.float32), (columns * times, rows * times), interpolation=cv2.INTER_LINEAR
    )
    strength = np.clip((large - LEAST) / (FULL - LEAST), 0.0, 1.0)
    rgba = np.zeros((height, width, 4), np.uint8)
    part = rgba[: large.shape[0], : large.shape[1]]
    strength = strength[: part.shape[0], : part.shape[1]]
    part[..., 0] = 255
    part[..., 1] = (220 * (1 - strength)).astype(np.uint8)
    part[..., 3] = np.where(strength > 0, 70 + 160 * strength, 0).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, "PNG")
    return out.getvalue()


def changed_share(difference_map: NDArray[np.float32]) -> float:
    """Share of the picture whose change is drawn, 0 to 1."""
    return float((difference_map >= LEAST).mean()) if difference_map.size else 0.0
