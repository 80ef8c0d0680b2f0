"""Unpacking with a known end: never more than was declared, and the check sum is looked at."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError

CHUNK = 1 << 20
TAIL_BYTES = 1 << 20  # tolerated behind the declared end, to reach the check sum


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Stream:
    """Bytes of a packed or plain file, in order, no more than asked for."""

    def __init__(self, file: BinaryIO, packing: str = "raw", start: bytes = b"") -> None:
        """`packing`: raw, gzip, zlib or bzip2; `start`: packed bytes that were already read from the file."""
        self._file = file
        self._packing = packing
        self._pending = start
        self._unpacker = self._fresh()

    def _fresh(self) -> Any:
        if self._packing == "gzip":
            return zlib.decompressobj(wbits=31)
        if self._packing == "zlib":
            return zlib.decompressobj(wbits=15)
        if self._packing == "bzip2":
            return bz2.BZ2Decompressor()
        return None

    def read(self, n: int) -> bytes:
        """Up to n bytes; fewer at the end. Corrupt for damaged packing."""
        if n <= 0:
            return b""
        if self._unpacker is None:
            part, self._pending = self._pending[:n], self._pending[n:]
            return part + (self._file.read(n - len(part)) if len(part) < n else b"")
        try:
            return self._unpacked(n)
        except (zlib.error, OSError, EOFError, ValueError):
            raise StudyError(
                "Corrupt", "The packed image data are damaged; export the volume again."
            ) from None

    def _unpacked(self, n: int) -> bytes:
        while True:
            if self._unpacker.eof:
                rest = self._unpacker.unused_data + self._pending
                rest = rest or self._file.read(CHUNK)
                if self._packing != "gzip" or not rest.startswith(b"\x1f\x8b"):
                    return b""
                # gzip members may follow one another (RFC 1952 section 2.2)
                self._unpacker, self._pending = self._fresh(), rest
            data = self._pending or self._file.read(min(CHUNK, max(n, 4096)))
            self._pending = b""
            needs_input = not data
            out: bytes = self._unpacker.decompress(data, n)
            if self._packing != "bzip2":
                self._pending = self._unpacker.unconsumed_tail
            if out or self._unpacker.eof:
                if out:
                    return out
                continue
            if needs_input:
                return b""

    def fill(self, target: NDArray[np.uint8], progress: Callable[[int], None] | None = None) -> int:
        """Fill a flat byte array; how many bytes there were."""
        done = 0
        while done < target.size:
            part = self.read(min(CHUNK, target.size - done))
            if not part:
                break
            target[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
            if progress is not None:
                progress(done)
        return done

    def skip(self, n: int, progress: Callable[[int], None] | None = None) -> int:
        """Read n bytes and drop them; how many there were."""
        done = 0
        while done < n:
            part = self.read(min(CHUNK, n - done))
            if not part:
                break
            done += len(part)
            if progress is not None:
                progress(done)
        return done

    def finish(self) -> bool:
        """Read on to the end, at most TAIL_BYTES, so that the check sum is verified; False when more follows."""
        return self.skip(TAIL_BYTES + 1) <= TAIL_BYTES

    @property
    def complete(self) -> bool:
        """The packed stream ended as it should (True for raw data)."""
        return self._unpacker is None or bool(self._unpacker.eof)


def inflate_raw(data: bytes, limit: int) -> bytes:
    """A raw deflate stream whole, up to `limit` bytes; TooLarge above, Corrupt when damaged or cut."""
    unpacker = zlib.decompressobj(wbits=-15)
    try:
        out = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise StudyError("Corrupt", "The packed file is damaged; export it again.") from None
    if len(out) > limit:
        raise StudyError(
            "TooLarge",
            f"The packed file grows over the limit of {limit >> 20} MB; send it unpacked or smaller.",
        )
    if not unpacker.eof:
        raise StudyError("Corrupt", "The packed file is cut; export it again.")
    return out
