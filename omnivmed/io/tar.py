"""Tar archives, plain or gzip: the same promises as for zip. Nothing is ever written, followed or nested.

A packed one is unpacked to memory as a whole, up to the limit of an unpacked zip; members are views of it.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from omnivmed.errors import StudyError
from omnivmed.io.archive import is_clutter, is_outside
from omnivmed.io.handle import extension_of
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Upload, read_upto
from omnivmed.limits import Limits, size

_DAMAGED = "The tar archive is cut or damaged; make it again."


@contextmanager
def tar_members(upload: Upload, found: str, limits: Limits, desk: Desk) -> Iterator[list[Upload]]:
    """Uploads of the files inside, in order of name; system clutter left out. They can be opened inside the context.

    Raises UnsafeArchive (links, devices, escaping names, bombs), TooLarge, Corrupt.
    """
    with upload.open() as file:
        whole: BinaryIO = _unpacked(file, upload.size, limits, desk) if found == "tar-gz" else file
        try:
            with tarfile.open(fileobj=whole, mode="r:") as archive:
                infos = _listed(archive, limits)
        except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError):
            raise StudyError("Corrupt", _DAMAGED) from None
        files = sorted((i for i in infos if i.isreg() and not is_clutter(i.name)), key=lambda i: i.name)
        yield [Upload(extension_of(i.name), i.size, _opener(whole, i), _peeker(whole, i)) for i in files]


def _unpacked(file: BinaryIO, packed_bytes: int, limits: Limits, desk: Desk) -> BinaryIO:
    """The archive in memory; TooLarge above the limit, UnsafeArchive for an absurd ratio."""
    stream = Stream(file, "gzip")
    out = bytearray()
    room = limits.zip_bytes + tarfile.RECORDSIZE
    absurd = max(limits.zip_ratio_floor_bytes, limits.zip_ratio * packed_bytes)
    while part := stream.read(1 << 20):
        out += part
        if len(out) > absurd:
            raise StudyError("UnsafeArchive", "The archive unpacks to an absurd size; make it again.")
        if len(out) > room:
            raise StudyError(
                "TooLarge",
                f"The archive unpacks to more than {size(limits.zip_bytes)}, the limit; send a part of it.",
            )
        desk.progress("unpacking", len(out), room)
    if not stream.complete:
        raise StudyError("Corrupt", _DAMAGED)
    return io.BytesIO(out)


def _listed(archive: tarfile.TarFile, limits: Limits) -> list[tarfile.TarInfo]:
    """Every member, judged before any is opened: number, name, kind, size."""
    infos: list[tarfile.TarInfo] = []
    total = 0
    for info in archive:
        infos.append(info)
        total += info.size
        if len(infos) > limits.zip_members:
            raise StudyError(
                "TooLarge",
                f"The archive has over {limits.zip_members} files, the limit; send one study.",
            )
        if is_outside(info.name):
            raise StudyError(
                "UnsafeArchive", "The archive has file names that point outside of it; make it again."
            )
        if not (info.isreg() or info.isdir()) or info.issparse():
            raise StudyError(
                "UnsafeArchive", "The archive has links or devices in it; make it again from plain files."
            )
        if total > limits.zip_bytes:
            raise StudyError(
                "TooLarge",
                f"The archive unpacks to {size(total)} and the limit is {size(limits.zip_bytes)}; send a part of it.",
            )
    return infos


def _part(whole: BinaryIO, info: tarfile.TarInfo, n: int) -> bytes:
    whole.seek(info.offset_data)
    return read_upto(whole, min(n, info.size))


def _opener(whole: BinaryIO, info: tarfile.TarInfo) -> Callable[[], BinaryIO]:
    def open_member() -> BinaryIO:
        data = _part(whole, info, info.size)
        if len(data) != info.size:
            raise StudyError("Corrupt", _DAMAGED)
        return io.BytesIO(data)

    return open_member


def _peeker(whole: BinaryIO, info: tarfile.TarInfo) -> Callable[[int], bytes]:
    return lambda n: _part(whole, info, n)
