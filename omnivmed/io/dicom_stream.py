"""What a compressed frame says of itself, which decides wherever the DICOM header says something else.

JPEG and lossless JPEG (ITU-T T.81 B.2.2, APP14 and component ids as T.872 6.5.3), JPEG-LS (T.87 C.1.1) and JPEG 2000
(T.800 A.5.1, A.6.1). Sizes are read before any decoder allocates for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

Coding = Literal["baseline", "extended", "lossless", "jpeg-ls", "jpeg2000"]

# Transfer syntax that names a coding to the decoders, where the declared one names another family.
_SYNTAX: dict[Coding, str] = {
    "baseline": "1.2.840.10008.1.2.4.50",
    "extended": "1.2.840.10008.1.2.4.51",
    "lossless": "1.2.840.10008.1.2.4.57",
    "jpeg-ls": "1.2.840.10008.1.2.4.81",
    "jpeg2000": "1.2.840.10008.1.2.4.91",
}
_FAMILY: dict[str, tuple[Coding, ...]] = {
    **dict.fromkeys(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"), ("baseline", "extended")),
    **dict.fromkeys(("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"), ("lossless",)),
    **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), ("jpeg-ls",)),
    **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203)], ("jpeg2000",)),
}


@dataclass(frozen=True)
class StreamFacts:
    """Sizes and meaning of one code stream. `colour`: RGB or YBR where the stream says so, None where it does not."""

    coding: Coding
    rows: int
    columns: int
    components: int
    precision: int
    colour: Literal["RGB", "YBR"] | None = None

    @property
    def size(self) -> tuple[int, int, int]:
        """(rows, columns, components)."""
        return (self.rows, self.columns, self.components)


def stream_facts(data: bytes) -> StreamFacts | None:
    """Facts of a code stream, or None when it is none of these or its header is damaged."""
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    return _jpeg2000(data)


def syntax_for(facts: StreamFacts, declared: str) -> UID:
    """The declared transfer syntax, or the one of the family the stream really belongs to."""
    return UID(declared if facts.coding in _FAMILY.get(declared, ()) else _SYNTAX[facts.coding])


def photometric_for(facts: StreamFacts, declared: str) -> str:
    """What the decoder should be told of the colours (PS3.5 8.2.1: they are those of the stream)."""
    if facts.components != 3:
        return declared
    if facts.colour == "RGB" and declared.startswith("YBR"):
        return "YBR_RCT" if facts.coding == "jpeg2000" else "RGB"
    if facts.colour == "YBR" and declared == "RGB":
        return "YBR_FULL_422"
    return declared


def _jpeg(data: bytes) -> StreamFacts | None:
    position = 2
    adobe: int | None = None
    jfif = False
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        jfif = jfif or (marker == 0xE0 and body[:4] == b"JFIF")
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            if len(body) < 6 + 3 * max(0, body[5] if len(body) > 5 else 0):
                return None
            rows, columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            ids = tuple(body[6 + 3 * k] for k in range(body[5]))
            coding = _coding(marker)
            return StreamFacts(
                coding, rows, columns, body[5], body[0], _jpeg_colour(coding, ids, adobe, jfif)
            )
        if marker in (0xD9, 0xDA):
            return None
        position += 2 + length
    return None


def _coding(marker: int) -> Coding:
    if marker == 0xF7:
        return "jpeg-ls"
    if marker in (0xC3, 0xC7, 0xCB, 0xCF):
        return "lossless"
    return "baseline" if marker == 0xC0 else "extended"


def _jpeg_colour(
    coding: Coding, ids: tuple[int, ...], adobe: int | None, jfif: bool
) -> Literal["RGB", "YBR"] | None:
    """Colours of three components: by APP14, JFIF, or ids; a lossless one without a marker does not say."""
    if len(ids) != 3:
        return None
    if adobe is not None:
        return "YBR" if adobe == 1 else "RGB"
    if jfif:
        return "YBR"
    if ids == (82, 71, 66):  # 'R', 'G', 'B'
        return "RGB"
    return None if coding in ("lossless", "jpeg-ls") else "YBR"


def _jpeg2000(data: bytes) -> StreamFacts | None:
    """From the SIZ segment, also inside JP2 boxes; the multiple component transform makes the result RGB."""
    start = 0 if data[:4] == b"\xff\x4f\xff\x51" else data.find(b"\xff\x4f\xff\x51", 0, 4096)
    siz = data[start + 6 : start + 45] if start >= 0 else b""
    if len(siz) < 37:
        return None
    x1, y1, x0, y0 = (int.from_bytes(siz[2 + 4 * i : 6 + 4 * i], "big") for i in range(4))
    components = int.from_bytes(siz[34:36], "big")
    position = start + 4 + int.from_bytes(data[start + 4 : start + 6], "big")
    transformed = False
    while position + 9 <= len(data) and data[position] == 0xFF and data[position + 1] not in (0x90, 0x93):
        if data[position + 1] == 0x52:  # COD: Scod, progression, layers (2), transform
            transformed = data[position + 8] == 1
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return StreamFacts(
        "jpeg2000", y1 - y0, x1 - x0, components, (siz[36] & 0x7F) + 1, "RGB" if transformed else None
    )


def lossless_again(
    data: bytes, facts: StreamFacts, first: NDArray[np.generic] | None
) -> NDArray[np.generic] | None:
    """Grey lossless JPEG by a second decoder, where the first cannot be trusted; None where it can, or fails as well.

    Differences are modulo 2**16 (T.81 H.1.2.1): an encoder may go the long way round. libjpeg (pylibjpeg-libjpeg 2.5)
    limits the sum to the range instead, so that its samples stand at either end, or refuses the stream. FFmpeg adds as
    the standard says.
    """
    if facts.coding != "lossless" or facts.components != 1 or not 2 <= facts.precision <= 16:
        return None
    top = 2**facts.precision - 1
    if first is not None:
        unsigned = first.view(f"u{first.dtype.itemsize}") & top
        if not ((unsigned == 0) | (unsigned == top)).any():
            return None
    context = av.CodecContext.create("mjpeg", "r")
    context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    except Exception:
        return None
    if len(frames) != 1 or frames[0].format.name not in ("gray", "gray16le", "gray16be"):
        return None
    second: NDArray[Any] = frames[0].to_ndarray()
    if second.shape != (facts.rows, facts.columns):
        return None
    if 8 < facts.precision < 16:
        second = second >> (16 - facts.precision)  # FFmpeg fills the sample from the top
    if facts.precision < 8:
        return None
    if first is None:
        return second.astype(np.uint8 if facts.precision <= 8 else np.uint16)
    differ = unsigned != second
    if not differ.any() or not np.isin(unsigned[differ], (0, top)).all():
        return None
    return second.astype(f"u{first.dtype.itemsize}").view(first.dtype)
