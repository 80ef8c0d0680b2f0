"""A decoded frame as it is meant to be seen: fields woven apart, colours by their matrix, turned and mirrored.

Order: de-interlace, stretch to square pixels and convert to RGB in one step, then the display matrix.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import av
import av.filter
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from omnivmed.errors import StudyError

# ISO/IEC 23091-2 (H.273) MatrixCoefficients -> libswscale's tables.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_HIGH_RANGE = {16: "PQ", 18: "HLG"}  # H.273 TransferCharacteristics


@dataclass(frozen=True)
class Turn:
    """A display matrix as array operations: transpose first, then reverse rows and columns."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    exact: bool = True  # False: turned by an angle between; the nearest right angle is taken

    @property
    def nothing(self) -> bool:
        """Whether the picture stays as it is."""
        return not (self.transpose or self.flip_rows or self.flip_columns)

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H,W,3) as it is to be shown."""
        if self.nothing:
            return picture
        turned = picture.transpose(1, 0, 2) if self.transpose else picture
        turned = turned[::-1] if self.flip_rows else turned
        return np.ascontiguousarray(turned[:, ::-1] if self.flip_columns else turned)


def turn_of(frame: Any) -> Turn:
    """From the display matrix that travels with a frame (ISO 14496-12, 8.3.2; H.264 D.2.27); nothing without one.

    (x', y') = (a x + c y, b x + d y), x to the right and y downwards: a and d keep the axes, b and c swap them.
    """
    try:
        held = frame.side_data.get("DISPLAYMATRIX")
    except (KeyError, ValueError):
        held = None
    if held is None:
        return Turn()
    data = bytes(held)
    if len(data) < 36:
        return Turn()
    a, b, _, c, d = (float(v) for v in struct.unpack("=9i", data[:36])[:5])
    kept, swapped = abs(a) + abs(d), abs(b) + abs(c)
    if kept == swapped:  # nothing, or just between two right angles
        return Turn(exact=kept == 0)
    exact = min(kept, swapped) < 0.02 * max(kept, swapped)
    if kept > swapped:
        return Turn(False, d < 0, a < 0, exact)
    # x' grows with y by c, y' with x by b: after the transpose rows are x and columns are y.
    return Turn(True, b < 0, c < 0, exact)


def matrix_of(frame: Any) -> Any | None:
    """The table from luma and colour difference to RGB; None for frames that are RGB or grey already.

    Without a tag: JPEG frames by BT.601 (JFIF), others by size as players do: BT.709 above standard definition.
    """
    name = str(frame.format.name)
    if not name.startswith(("yuv", "nv", "p01", "p21", "p41", "y21", "v", "uyvy", "yvyu", "xyz")):
        return None
    tagged = _MATRICES.get(int(frame.colorspace))
    if tagged is not None:
        return tagged
    high = not name.startswith("yuvj") and (frame.width >= 1280 or frame.height > 576)
    return Colorspace.ITU709 if high else Colorspace.ITU601


def sentences_of(frame: Any, turn: Turn) -> list[str]:
    """What the person should know about how this clip is shown; empty for the usual."""
    said = []
    if frame.interlaced_frame:
        said.append("The clip is interlaced; every frame is shown de-interlaced, from one of its two fields.")
    curve = _HIGH_RANGE.get(int(frame.color_trc))
    if curve is not None:
        said.append(f"The clip has high dynamic range ({curve}); it is shown without its tone curve.")
    if not turn.exact:
        said.append("The clip asks to be turned by an odd angle; it is shown at the nearest right angle.")
    return said


def rgb_of(frame: Any, rows: int, columns: int) -> NDArray[np.uint8]:
    """RGB (rows, columns, 3) of a decoded frame, fields apart. Raises StudyError Corrupt."""
    try:
        whole = _apart(frame) if frame.interlaced_frame else frame
        matrix = matrix_of(whole)
        more = {} if matrix is None else {"src_colorspace": matrix}
        return np.asarray(whole.to_ndarray(format="rgb24", width=columns, height=rows, **more))
    except (FFmpegError, ValueError):
        raise StudyError("Corrupt", "This part of the clip is damaged and cannot be decoded.") from None


def _apart(frame: Any) -> Any:
    """One field whole, the lines of the other traced along edges (FFmpeg's estdif: looks at this frame alone)."""
    if frame.height < 8 or frame.width < 8:
        return frame
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    lines = graph.add("estdif", "mode=frame:parity=auto:deint=all:rslope=1:redge=1:interp=2p")
    sink = graph.add("buffersink")
    source.link_to(lines)
    lines.link_to(sink)
    graph.configure()
    graph.push(frame)
    graph.push(None)
    return graph.pull()
