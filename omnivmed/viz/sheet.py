"""All sampled frames side by side, with the strip of kept shares below."""

from __future__ import annotations

import math

import cv2
import numpy as np

from omnivmed.pruning import KeepMask
from omnivmed.study import Study
from omnivmed.viz.overlay import KEPT_RGB, Mode, legend, overlay

BACKGROUND_RGB = (16, 18, 22)
TEXT_RGB = (225, 228, 232)
FAINT_RGB = (70, 75, 84)


def contact_sheet(
    study: Study,
    mask: KeepMask,
    *,
    mode: Mode = "kept",
    alpha: float = 0.55,
    tile: int = 192,
    columns: int = 8,
) -> np.ndarray:
    """uint8 (H, W, 3): one tile per sampled frame, the strip of kept shares, and the legend line.

    Frames are read a row at a time, so memory is bounded by ``columns``.
    """
    count = len(mask.frame_index)
    columns = min(columns, count)
    scale = tile / max(mask.source_size)
    th, tw = (max(1, round(side * scale)) for side in mask.source_size)
    gap = 4
    rows = []
    for start in range(0, count, columns):
        line = np.full((th + 18 + gap, columns * (tw + gap) + gap, 3), BACKGROUND_RGB, dtype=np.uint8)
        chosen = range(start, min(start + columns, count))
        for column, (i, frame) in enumerate(
            zip(chosen, study.take(mask.frame_index[list(chosen)]), strict=True)
        ):
            x = gap + column * (tw + gap)
            picture = overlay(frame, mask, i, mode=mode, alpha=alpha)
            line[gap : gap + th, x : x + tw] = cv2.resize(picture, (tw, th), interpolation=cv2.INTER_AREA)
            share = mask.kept_per_frame[i] / mask.keep[i].size
            _text(line, f"{_frame_label(mask, i)}  {share:.0%}", (x, gap + th + 13), 0.36)
        rows.append(line)
    width = max(rows[0].shape[1], 640)
    sheet = [_pad(row, width) for row in rows]
    sheet.append(kept_strip(mask, width))
    caption = np.full((26, width, 3), BACKGROUND_RGB, dtype=np.uint8)
    _text(caption, legend(mask), (gap, 17), 0.4)
    return np.concatenate([*sheet, caption])


def kept_strip(mask: KeepMask, width: int = 640, height: int = 48) -> np.ndarray:
    """uint8 (height, width, 3): one bar per sampled frame, as high as its kept share."""
    strip = np.full((height, width, 3), BACKGROUND_RGB, dtype=np.uint8)
    share = mask.kept_per_frame / mask.keep[0].size
    edges = np.round(np.linspace(0, width, len(share) + 1)).astype(int)
    for i, part in enumerate(share):
        x0, x1 = edges[i], max(edges[i + 1] - 1, edges[i] + 1)
        strip[2 : height - 2, x0:x1] = FAINT_RGB
        strip[height - 2 - math.ceil(part * (height - 4)) : height - 2, x0:x1] = KEPT_RGB
    return strip


def _frame_label(mask: KeepMask, i: int) -> str:
    return f"{mask.times_s[i]:.1f} s" if mask.times_s is not None else f"#{mask.frame_index[i] + 1}"


def _pad(row: np.ndarray, width: int) -> np.ndarray:
    if row.shape[1] >= width:
        return row
    out = np.full((row.shape[0], width, 3), BACKGROUND_RGB, dtype=np.uint8)
    out[:, : row.shape[1]] = row
    return out


def _text(picture: np.ndarray, words: str, at: tuple[int, int], size: float) -> None:
    # OpenCV's built-in fonts know ASCII only.
    ascii_words = words.encode("ascii", "replace").decode()
    cv2.putText(picture, ascii_words, at, cv2.FONT_HERSHEY_SIMPLEX, size, TEXT_RGB, 1, cv2.LINE_AA)
