"""The one filter by which frames are made smaller, wherever they are decoded: the same bits here and in the worker."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image


def resize_frames(frames_THWC: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3) frames → uint8 (T, H', W', 3), bicubic.

    Pillow, not OpenCV: OpenCV's bicubic does not low-pass when shrinking, and the aliasing it leaves differs
    from slice to slice, which the pruning distance would read as change.
    """
    height, width = size
    out = []
    for frame in frames_THWC:
        if frame.shape[:2] == size:
            out.append(np.ascontiguousarray(frame))
            continue
        grey = np.array_equal(frame[..., 0], frame[..., 1]) and np.array_equal(frame[..., 1], frame[..., 2])
        image = Image.fromarray(frame[..., 0] if grey else frame)
        resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        out.append(np.repeat(resized[..., None], 3, axis=2) if grey else resized)
    return np.stack(out)
