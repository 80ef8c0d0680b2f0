"""What a reader gets and what it gives back. The same in a worker and in-process.

A reader is a function of (`Upload`s, `Limits`, chosen series, `Desk`) that returns a `Reading`. It asks the desk for
memory once it knows the size, so that limits are checked before anything is allocated, and reports progress to it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from omnivmed.errors import WARNING_CODES, StudyError, WarningCode
from omnivmed.limits import Limits, size
from omnivmed.study_info import StudyInfo


@dataclass
class Upload:
    """One file: its size, how to open it, and the ending of its name (".nii.gz", ".dcm" or ""), never the name."""

    extension: str
    size: int
    open: Callable[[], BinaryIO]
    peek: Callable[[int], bytes] | None = None  # a cheaper way to the first bytes than opening the whole

    def head(self, n: int) -> bytes:
        """The first n bytes."""
        if self.peek is not None:
            return self.peek(n)
        with self.open() as file:
            return read_upto(file, n)

    def data(self) -> bytes:
        """All bytes; the door has checked the size."""
        with self.open() as file:
            return read_upto(file, self.size + 1)

    @classmethod
    def of_bytes(cls, data: bytes, extension: str = "") -> Upload:
        """A file in memory."""
        return cls(extension, len(data), lambda: io.BytesIO(data))


def read_upto(file: BinaryIO, n: int) -> bytes:
    """Up to n bytes; fewer only at the end of the file."""
    parts: list[bytes] = []
    while n > 0:
        part = file.read(min(n, 1 << 24))
        if not part:
            break
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


class Desk(Protocol):
    """Where a reader asks for memory and says how far it is."""

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Zeroed array that will be handed to the study; raises StudyError over a limit."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Sign of life; renews the worker's allowance of time."""

    @property
    def wants_glimpse(self) -> bool:
        """Whether anybody wants to look at one slice while the rest is read."""

    def glimpse(self, reading: Reading) -> None:
        """That slice, as a volume of one, turned and windowed as the whole will be. Its array comes from this desk."""


class LocalDesk:
    """In-process: plain arrays."""

    def __init__(self, limits: Limits, progress: Callable[[str, int, int], None] | None = None) -> None:
        self._limits = limits
        self._progress = progress

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        check_bytes(shape, dtype, self._limits)
        return np.zeros(shape, dtype)

    def progress(self, stage: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, total)

    @property
    def wants_glimpse(self) -> bool:
        return False

    def glimpse(self, reading: Reading) -> None:
        """Nobody waits in-process."""


class Clip(Protocol):
    """Frames that are decoded when they are asked for; lives in the worker."""

    shape: tuple[int, int, int]
    channels: int
    dtype: np.dtype[Any]

    def frame(self, index: int) -> NDArray[Any]:
        """Stored values (H,W) or (H,W,3). Raises StudyError."""

    def problems(self) -> list[tuple[str, str]]:
        """(code, sentence) met so far."""

    def close(self) -> None:
        """Free the decoder."""


@dataclass
class Reading:
    """The result of a reader: facts, and either an array from the desk or a clip.

    `array`: as allocated; `view`: how the study looks at it without copying: axes order and, per axis, reversal.
    """

    info: StudyInfo
    array: NDArray[Any] | None = None
    axes: tuple[int, ...] | None = None
    flips: tuple[bool, ...] | None = None
    clip: Clip | None = None
    playable: str | None = None  # media type under which browsers may play the very file this was read from


def look(array: NDArray[Any], axes: tuple[int, ...] | None, flips: tuple[bool, ...] | None) -> NDArray[Any]:
    """The array as the study shows it: transposed, then reversed per axis; a view, nothing is copied."""
    if axes is not None:
        array = array.transpose([*axes, *range(len(axes), array.ndim)])
    if flips is not None:
        array = array[tuple(slice(None, None, -1) if f else slice(None) for f in flips)]
    return array


@dataclass
class Findings:
    """Warnings and notes gathered while reading, in order, each once."""

    codes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def warn(self, code: WarningCode, sentence: str) -> None:
        """A code of the closed list and its sentence."""
        if code not in WARNING_CODES:
            raise ValueError(f"unknown warning code {code!r}")
        if code not in self.codes:
            self.codes.append(code)
        self.note(sentence)

    def note(self, sentence: str) -> None:
        """A sentence without a code."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def into(self, info: StudyInfo) -> StudyInfo:
        """Info with these warnings and notes after its own."""
        return replace(
            info,
            warnings=tuple(dict.fromkeys([*info.warnings, *self.codes])),
            notes=tuple(dict.fromkeys([*info.notes, *self.notes])),
        )


def check_bytes(shape: tuple[int, ...], dtype: DTypeLike, limits: Limits) -> int:
    """Bytes of an array (T,H,W[,3]) or of another shape; TooLarge over a limit, Corrupt for sizes below one."""
    if any(n <= 0 for n in shape):
        raise StudyError("Corrupt", "The file declares a picture without rows or columns; export it again.")
    voxels = math.prod(shape[:3])
    if len(shape) >= 3 and voxels > limits.volume_voxels:
        raise StudyError(
            "TooLarge",
            f"The study has {voxels / 1e6:.0f} million voxels and the limit is {limits.volume_voxels / 1e6:.0f}; "
            "send a part of it or a coarser one.",
        )
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    if nbytes > limits.raw_voxel_bytes:
        raise StudyError(
            "TooLarge",
            f"The study unpacks to {size(nbytes)} and the limit is {size(limits.raw_voxel_bytes)}; "
            "send a part of it or a smaller version.",
        )
    return nbytes


def check_plane(rows: int, columns: int, limits: Limits) -> None:
    """Rows and columns of one picture are above zero and within the limit."""
    if rows <= 0 or columns <= 0:
        raise StudyError("Corrupt", "The file declares a picture without rows or columns; export it again.")
    if rows * columns > limits.image_pixels:
        raise StudyError(
            "TooLarge",
            f"The picture has {columns} x {rows} pixels and the limit is {limits.image_pixels / 1e6:.0f} million; "
            "send a smaller version.",
        )
