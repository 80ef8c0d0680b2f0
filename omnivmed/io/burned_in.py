"""Text that is written into pixels: where it is, never what it says. Runs in the worker, with the extra `text`.

A detector (PP-OCR, run by rapidocr on onnxruntime; both models are inside the package, nothing is fetched) proposes
places on a picture that is scaled up where it is small. Alone it takes rulers, calipers and highlights for text, so its
recogniser reads each place, and one that does not read as letters or digits is dropped. What was read is dropped as
well: only boxes leave this module. What it finds and misses is measured by `python -m benchmarks.burned_in`.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.frames import Box

NEEDED = ("rapidocr", "onnxruntime")
SHORT_SIDE = (
    736  # pictures with a shorter side are scaled up to it: letters of 8 pixels are found from there on
)
LONG_SIDE = 2000  # longer ones are scaled down: the time grows with the area
MAP_THRESHOLD, BOX_THRESHOLD = 0.2, 0.3  # low: the recogniser decides
READ_SCORE = 0.5  # of a place with two characters or more
LETTER_SCORE = 0.8  # of a place with one
MOST_HEIGHT = 0.2  # of the picture's shorter side; higher "lines" were cells and bones in every case seen
MOST_BOXES = 200
PARAMS = {
    "Global.use_cls": False,  # lines that stand on their head are found as well
    "Global.text_score": READ_SCORE,
    "Global.log_level": "critical",
    "Global.max_side_len": LONG_SIDE,
    "Det.limit_side_len": SHORT_SIDE,
    "Det.limit_type": "min",
    "Det.thresh": MAP_THRESHOLD,
    "Det.box_thresh": BOX_THRESHOLD,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


def installed() -> bool:
    """Whether the extra `text` is there."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED)


def find(pictures: Iterable[NDArray[np.uint8]], tell: Callable[[int], None] = lambda done: None) -> list[Box]:
    """Boxes of text in uint8 (H, W, 3) RGB pictures of one size, taken together, a margin around each.

    `tell(done)` is called after each picture. Raises ImportError without the extra.
    """
    from rapidocr import RapidOCR

    engine = RapidOCR(params=PARAMS)
    boxes: list[Box] = []
    size = (0, 0)
    for done, picture in enumerate(pictures, 1):
        size = picture.shape[:2]
        boxes.extend(_found(engine, picture))
        tell(done)
    return merged([widened(box, size) for box in boxes])[:MOST_BOXES]


def _found(engine: Any, picture: NDArray[np.uint8]) -> list[Box]:
    # 8-bit BGR: 16 bits are not refused by the library but give nothing (findings/rapidocr_16_bit_pictures.sh).
    result = engine(np.ascontiguousarray(picture[..., ::-1]))
    if result.boxes is None or result.txts is None:
        return []
    boxes: list[Box] = []
    for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
        if reads_as_text(text, float(score)):
            left, top = np.floor(np.asarray(corners).min(axis=0)).astype(int)
            right, bottom = np.ceil(np.asarray(corners).max(axis=0)).astype(int)
            if min(bottom - top, right - left) <= MOST_HEIGHT * min(picture.shape[:2]):
                boxes.append((int(top), int(left), int(bottom) + 1, int(right) + 1))
    return boxes


def reads_as_text(text: str, score: float) -> bool:
    """Two letters or digits, or one capital that is sure. Signs, strokes and single digits are rulers and calipers."""
    signs = [c for c in text if unicodedata.category(c)[0] in "LN"]
    if len(signs) >= 2:
        return score >= READ_SCORE
    return len(signs) == 1 and signs[0].isascii() and signs[0].isupper() and score >= LETTER_SCORE


def widened(box: Box, size: Sequence[int]) -> Box:
    """With a margin of a sixth of its shorter side, two pixels at least, inside the picture."""
    top, left, bottom, right = box
    margin = max(2, round(min(bottom - top, right - left) / 6))
    return (
        max(0, top - margin),
        max(0, left - margin),
        min(int(size[0]), bottom + margin),
        min(int(size[1]), right + margin),
    )


def merged(boxes: Sequence[Box]) -> list[Box]:
    """From top to bottom, with boxes of which half lies in another joined to it: one line, found on several frames."""
    rest = sorted(set(boxes))
    done: list[Box] = []
    while rest:
        one = rest.pop(0)
        same = [other for other in rest if _overlap(one, other) >= 0.5]
        if not same:
            done.append(one)
            continue
        group = [one, *same]
        joined = (
            min(b[0] for b in group),
            min(b[1] for b in group),
            max(b[2] for b in group),
            max(b[3] for b in group),
        )
        rest = [joined, *(b for b in rest if b not in same)]
    return sorted(done)


def _overlap(one: Box, other: Box) -> float:
    """Shared area by that of the smaller box."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return max(0, height) * max(0, width) / smaller
