"""A NIfTI in two files, header (.hdr) and numbers (.img), read as the one file (.nii) that it stands for."""

from __future__ import annotations

import gzip
import io
import struct
from typing import BinaryIO

from omnivmed.io.job import Upload, read_upto

_ONE_FILE = 352  # where the numbers begin: header, four bytes of extension flags
UNKNOWN_SIZE = 1 << 62


def pair(header: Upload, numbers: Upload) -> Upload:
    """One upload of both: the header says n+1 and where the numbers begin; they follow as they are, unpacked."""
    head = bytearray(header.head(348))
    order = "<" if head[:4] == b"\x5c\x01\x00\x00" else ">"
    (offset,) = struct.unpack(order + "f", head[108:112])
    start = float(offset) if offset == offset and 0 <= offset < 1e9 else 0.0
    head[108:112] = struct.pack(order + "f", _ONE_FILE + start)
    head[344:348] = b"n+1\x00"
    packed = numbers.head(2) == b"\x1f\x8b"

    def open_both() -> BinaryIO:
        file = numbers.open()
        # GzipFile unpacks only what is asked for, and looks at the check sum at its end.
        inner = gzip.GzipFile(fileobj=file) if packed else file
        return _Both(bytes(head) + bytes(4), inner)  # type: ignore[arg-type,return-value]

    size = UNKNOWN_SIZE if packed else _ONE_FILE + numbers.size
    return Upload(".nii", size, open_both)


def is_header(head: bytes) -> bool:
    """The header of a NIfTI-1 pair, in either byte order."""
    return head[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c") and head[344:348] == b"ni1\x00"


class _Both(io.RawIOBase):
    """Bytes in memory, then a file; read once from the start."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def read(self, n: int = -1) -> bytes:
        if self._start:
            part, self._start = self._start[:n], self._start[n:]
            return part
        return read_upto(self._rest, n)

    def close(self) -> None:
        self._rest.close()
        super().close()
