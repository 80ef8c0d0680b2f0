"""The container of a payload: one gzip stream with a JSON header and little-endian arrays, written and read.

    offset  bytes  what
    0       8      magic  b"OMNIVIEW"
    8       4      format version, uint32 little endian (1)
    12      4      n, length of the header in bytes, uint32 little endian
    16      n      JSON header, UTF-8, padded with spaces so that the data start on a 16-byte boundary
    16+n    …      data: little-endian arrays, each starting on a 16-byte boundary

Header, always: ``format`` ("study" | "mask" | "pixels"), ``version``, ``nonce`` (128 random bits: Gradio's
cache address is a hash of the content, so the nonce makes it unguessable), ``content_id`` (which study),
``data_bytes`` and ``arrays`` {name: {dtype, shape, offset, bytes}}.
"""

from __future__ import annotations

import gzip
import json
import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"OMNIVIEW"
VERSION = 1
ALIGN = 16


@dataclass(frozen=True)
class PayloadInfo:
    """What was written: where, how large, and what had to be reduced to fit the display."""

    path: Path
    bytes: int
    header: dict[str, Any]


def payload_path(folder: str | Path, kind: str) -> Path:
    """A new file name nobody can guess: ``<kind>-<32 hex digits>.omv`` in `folder`."""
    return Path(folder) / f"{kind}-{secrets.token_hex(16)}.omv"


# ---------------------------------------------------------------------------------------- container


def aligned(n: int) -> int:
    """`n` rounded up to the next boundary of ALIGN bytes."""
    return -(-n // ALIGN) * ALIGN


class Layout:
    """Collects arrays and says where in the data section each will lie."""

    def __init__(self) -> None:
        self.arrays: dict[str, dict[str, Any]] = {}
        self.end = 0

    def add(self, name: str, dtype: np.dtype[Any] | str, shape: Sequence[int]) -> None:
        """Reserve room for an array, little-endian; `name` is how the script finds it."""
        dtype = np.dtype(dtype).newbyteorder("<")
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        kind = {"b": "uint8"}.get(dtype.kind, dtype.name)
        self.arrays[name] = {"dtype": kind, "shape": list(shape), "offset": self.end, "bytes": size}
        self.end = aligned(self.end + size)


def write(
    path: Path, header: dict[str, Any], layout: Layout, parts: Iterator[bytes], level: int
) -> PayloadInfo:
    """Write a container; `parts` yields the arrays' bytes in the order of the layout, without padding
    between the chunks of one array."""
    header = {
        **header,
        "version": VERSION,
        "nonce": secrets.token_hex(16),
        "data_bytes": layout.end,
        "arrays": layout.arrays,
    }
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (aligned(ALIGN + len(text)) - ALIGN - len(text))
    ends = {a["offset"] + a["bytes"] for a in layout.arrays.values()}
    with gzip.GzipFile(path, "wb", compresslevel=level, mtime=0) as file:
        file.write(MAGIC + struct.pack("<II", VERSION, len(text)) + text)
        at = 0
        for part in parts:
            file.write(part)
            at += len(part)
            if at in ends:
                file.write(b"\0" * (aligned(at) - at))
                at = aligned(at)
        if at != layout.end:
            raise ValueError(f"payload is {at} bytes long, expected {layout.end}")
    return PayloadInfo(path, path.stat().st_size, header)


def unpack(path: str | Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a payload back: (header, arrays). Raises ValueError when it is not one of ours."""
    with gzip.open(path, "rb") as file:
        raw = file.read()
    if raw[:8] != MAGIC:
        raise ValueError("not a viewer payload: the magic bytes are missing")
    version, size = struct.unpack("<II", raw[8:16])
    if version != VERSION:
        raise ValueError(f"payload version {version}; this program reads version {VERSION}")
    header = json.loads(raw[16 : 16 + size])
    data = memoryview(raw)[16 + size :]
    if len(data) != header["data_bytes"]:
        raise ValueError(f"payload holds {len(data)} data bytes, its header says {header['data_bytes']}")
    arrays = {
        name: np.frombuffer(data[a["offset"] : a["offset"] + a["bytes"]], a["dtype"]).reshape(a["shape"])
        for name, a in header["arrays"].items()
    }
    return header, arrays


# ------------------------------------------------------------------------------------------- study
