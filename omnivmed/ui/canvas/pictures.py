"""Single pictures on their way to the browser: how they are compressed, and the small one that is sent first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study

PREVIEW_BYTES = 160 * 2**10  # one picture of this size and more is preceded by a small one: 1 s at 1.5 Mbit/s
PREVIEW_EDGE = 512  # longest edge of that small picture, pixels

# Full colour resolution: red on black in endoscopy, and thin coloured marks in ultrasound, would smear.
JPEG = [1, 90, 7, 0x111111]  # cv2.IMWRITE_JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR = 4:4:4
ENCODINGS = {
    "png": (".png", [16, 3]),
    "jpeg": (".jpg", JPEG),
    "small": (".jpg", [1, 80]),
}  # PNG_COMPRESSION is 16


def encode(frame: NDArray[np.uint8], size: tuple[int, int], kind: str) -> bytes:
    """One RGB frame as PNG or JPEG bytes (a key of ENCODINGS), without any metadata."""
    import cv2

    if (frame.shape[1], frame.shape[0]) != size:
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    ending, options = ENCODINGS[kind]
    done, data = cv2.imencode(ending, bgr, options)
    if not done:
        raise RuntimeError(f"could not encode a {size[0]} x {size[1]} picture as {kind}")
    return bytes(data)


def opening_frame(study: Study, mask: KeepMask | None) -> int:
    """The slice or frame a viewer opens on: of a volume the one nearest the middle that the model is given."""
    if study.kind != "volume":
        return 0
    middle = study.shape[0] // 2
    return middle if mask is None else int(min(mask.frame_index, key=lambda i: abs(int(i) - middle)))


def small_picture(study: Study, mask: KeepMask | None) -> tuple[int, NDArray[np.uint8]] | None:
    """(index, JPEG bytes) of the picture on which the viewer opens, small and windowed; None where the picture itself
    is small, or its colours are labels. On a slow line this is what one sees first."""
    _, rows, columns = study.shape
    size = rows * columns * study.channels * min(study.dtype.itemsize, 2)
    if study.is_label_map or size < PREVIEW_BYTES:
        return None
    index = opening_frame(study, mask)
    ratio = min(1.0, PREVIEW_EDGE / max(rows, columns))
    edges = (max(1, round(columns * ratio)), max(1, round(rows * ratio)))
    return index, np.frombuffer(encode(study.take([index])[0], edges, "small"), np.uint8)
