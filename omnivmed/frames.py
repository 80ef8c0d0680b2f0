"""Where the stored numbers of a study come from: an array, a worker that decodes on request, or a part of either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]  # first and one past the last, in pixels
Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two one past the last pixel
LEAST_SIDE = 16  # pixels that a part keeps of each side at least (or the whole side when it is shorter)


class FrameSource(Protocol):
    """Where the stored numbers come from: an array, or a worker that decodes frames when they are asked for."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""

    @property
    def channels(self) -> int:
        """1 grey or 3 RGB."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type; uint8 for RGB."""

    def read(self, indices: Sequence[int]) -> NDArray[Any]:
        """Stored values (n, H, W) or (n, H, W, 3) of these frames, in this order. Raises StudyError."""

    def read_resized(self, indices: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """uint8 (n, h, w, 3) of RGB frames as `resize_frames` makes them, where it is cheaper to do that at the source;
        None where it is not. Raises StudyError."""

    def problems(self) -> list[tuple[str, str]]:
        """(warning code, sentence) met while reading since it was opened."""

    def close(self) -> None:
        """Free memory and processes; reading afterwards raises StudyError."""


class Shaped:
    """What a source that knows its frames beforehand says of them (see :class:`FrameSource`)."""

    _shape: tuple[int, int, int]
    _channels: int
    _dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        return self._shape

    @property
    def channels(self) -> int:
        """1 grey or 3 RGB."""
        return self._channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type; uint8 for RGB."""
        return self._dtype


class ArraySource(Shaped):
    """Frames that are already in memory (shared memory of the worker, or any array)."""

    def __init__(self, array: NDArray[Any]) -> None:
        if array.ndim == 4 and array.shape[3] == 3:
            if array.dtype != np.uint8:
                raise ValueError(f"RGB frames are uint8 (T,H,W,3), got {array.dtype}")
        elif array.ndim != 3:
            raise ValueError(f"frames are (T,H,W) or (T,H,W,3), got shape {array.shape}")
        if array.size == 0:
            raise ValueError(f"a study holds at least one pixel, got shape {array.shape}")
        self._array: NDArray[Any] | None = array
        self._shape = (int(array.shape[0]), int(array.shape[1]), int(array.shape[2]))
        self._channels = 3 if array.ndim == 4 else 1
        self._dtype = array.dtype

    @property
    def array(self) -> NDArray[Any]:
        """The whole array (T,H,W[,3]) in its stored type, not copied."""
        if self._array is None:
            raise ValueError("this study was closed; open it again")
        return self._array

    def read(self, indices: Sequence[int]) -> NDArray[Any]:
        """Frames in the order asked, (t, H, W[, 3]): a view where they are neighbours, else a copy."""
        idx = list(indices)
        if idx and idx == list(range(idx[0], idx[0] + len(idx))):
            return self.array[idx[0] : idx[0] + len(idx)]
        return self.array[np.asarray(idx, dtype=np.int64)]

    def read_resized(self, indices: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """None: the frames are here already."""
        return None

    def problems(self) -> list[tuple[str, str]]:
        """None: what is in memory was read whole."""
        return []

    def close(self) -> None:
        """Let go of the memory."""
        self._array = None


class CroppedSource:
    """The same rows and columns of every frame of another source; shares its memory, closes it when closed."""

    def __init__(self, whole: FrameSource, rows: Span, columns: Span) -> None:
        self._whole = whole
        self._rows = slice(*rows)
        self._columns = slice(*columns)
        self._shape = (whole.shape[0], rows[1] - rows[0], columns[1] - columns[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._shape

    @property
    def channels(self) -> int:
        return self._whole.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._whole.dtype

    def read(self, indices: Sequence[int]) -> NDArray[Any]:
        return self._whole.read(indices)[:, self._rows, self._columns]

    def read_resized(self, indices: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8] | None:
        return None  # a part is cut out before it is made smaller

    def problems(self) -> list[tuple[str, str]]:
        return self._whole.problems()

    def close(self) -> None:
        self._whole.close()


class PaintedSource:
    """Another source with boxes of every frame replaced by one stored number (or colour); shares it, closes it."""

    def __init__(self, whole: FrameSource, boxes: Sequence[Box], fill: float | int) -> None:
        self._whole = whole
        self._boxes = tuple(boxes)
        self._fill = fill

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._whole.shape

    @property
    def channels(self) -> int:
        return self._whole.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._whole.dtype

    def read(self, indices: Sequence[int]) -> NDArray[Any]:
        frames = np.array(self._whole.read(indices))  # a copy: other studies share the memory
        for top, left, bottom, right in self._boxes:
            frames[:, top:bottom, left:right] = self._fill
        return frames

    def read_resized(self, indices: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8] | None:
        return None  # boxes are painted before anything of them can spread

    def problems(self) -> list[tuple[str, str]]:
        return self._whole.problems()

    def close(self) -> None:
        self._whole.close()


def part_of_box(box: Box, rows: Span, columns: Span) -> Box | None:
    """The box as it lies in a part of the frame, or None where nothing of it does."""
    top, left = max(box[0], rows[0]) - rows[0], max(box[1], columns[0]) - columns[0]
    bottom, right = min(box[2], rows[1]) - rows[0], min(box[3], columns[1]) - columns[0]
    return (top, left, bottom, right) if top < bottom and left < right else None


def inside_margins(
    height: int, width: int, top: float, bottom: float, left: float, right: float
) -> tuple[Span, Span]:
    """(rows, columns) that are left when so many per cent of height and width are cut off each side.

    A margin always takes the pixel it touches. Raises ValueError when fewer than `LEAST_SIDE` pixels of a side
    would be left, or when a margin is no number from 0 to 100.
    """
    if not all(0 <= margin <= 100 for margin in (top, bottom, left, right)):
        raise ValueError("margins are per cent from 0 to 100")

    def span(size: int, before: float, after: float) -> Span:
        first, last = math.ceil(size * before / 100), size - math.ceil(size * after / 100)
        if last - first < min(LEAST_SIDE, size):
            raise ValueError(f"{max(0, last - first)} of {size} pixels would be left")
        return first, last

    return span(height, top, bottom), span(width, left, right)
