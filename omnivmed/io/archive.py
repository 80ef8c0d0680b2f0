"""Zip archives: members go to memory one at a time; nothing is ever written, followed or nested.

The whole directory is judged before any member is opened, and every declared size is checked again while unpacking.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from omnivmed.errors import StudyError
from omnivmed.io.handle import extension_of
from omnivmed.io.job import Upload, read_upto
from omnivmed.limits import Limits, size

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BAD_MEMBER = "A file in the archive is damaged; make the archive again."
_DAMAGED = "The zip archive is cut or damaged; make it again."


@contextmanager
def members(upload: Upload, limits: Limits) -> Iterator[list[Upload]]:
    """Uploads of the files inside, in order of name; system clutter left out. They can be opened inside the context.

    Raises UnsafeArchive (links, escaping names, encryption, overlaps, bombs), TooLarge, Corrupt.
    """
    with upload.open() as file:
        try:
            archive = zipfile.ZipFile(file)
            infos = archive.infolist()
        except (zipfile.BadZipFile, struct.error, OSError, ValueError, NotImplementedError, IndexError):
            raise StudyError("Corrupt", _DAMAGED) from None
        with archive:
            _check_members(infos, upload.size, limits)
            files = [i for i in infos if not i.is_dir() and not is_clutter(i.filename)]
            files.sort(key=lambda i: i.filename)
            yield [
                Upload(extension_of(i.filename), i.file_size, _opener(archive, i), _peeker(archive, i))
                for i in files
            ]


def _check_members(infos: list[zipfile.ZipInfo], archive_bytes: int, limits: Limits) -> None:
    """The whole directory: number, names, kinds, declared sizes, overlaps."""
    if len(infos) > limits.zip_members:
        raise StudyError(
            "TooLarge",
            f"The archive has {len(infos)} files and the limit is {limits.zip_members}; send one study.",
        )
    for info in infos:
        _check_member(info, limits)
    total = sum(i.file_size for i in infos)
    if total > limits.zip_bytes:
        raise StudyError(
            "TooLarge",
            f"The archive unpacks to {size(total)} and the limit is {size(limits.zip_bytes)}; send a part of it.",
        )
    if infos:
        _check_overlap(infos, archive_bytes)


def _check_member(info: zipfile.ZipInfo, limits: Limits) -> None:
    if is_outside(info.filename) or "\x00" in info.orig_filename:
        raise StudyError(
            "UnsafeArchive", "The archive has file names that point outside of it; make it again."
        )
    mode = info.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise StudyError("UnsafeArchive", "The archive has links in it; make it again from plain files.")
    if info.flag_bits & 0x1 or info.flag_bits & 0x40:
        raise StudyError("UnsafeArchive", "The archive is encrypted; make it again without a password.")
    if info.compress_type not in _PACKINGS:
        raise StudyError(
            "Unsupported", "The archive is packed in an unusual way; make it again as a plain zip."
        )
    over_floor = info.file_size > limits.zip_ratio_floor_bytes
    if over_floor and info.file_size > limits.zip_ratio * max(1, info.compress_size):
        raise StudyError("UnsafeArchive", "The archive unpacks to an absurd size; make it again.")


def _check_overlap(infos: list[zipfile.ZipInfo], archive_bytes: int) -> None:
    """No two members share bytes, and none reaches behind the end of the archive."""
    spans = sorted(
        (
            i.header_offset,
            i.header_offset + 30 + len(i.orig_filename.encode("utf-8", "replace")) + i.compress_size,
        )
        for i in infos
    )
    for (_, end), (start, _) in zip(spans, [*spans[1:], (archive_bytes, 0)], strict=True):
        if end > max(start, 0) + 512 and end > archive_bytes:
            raise StudyError("Corrupt", _DAMAGED)
        if end > start + 2:  # names are re-encoded for the estimate: a byte or two of slack
            raise StudyError("UnsafeArchive", "Files in the archive overlap; make it again.")


def is_outside(name: str) -> bool:
    """A member name that would leave the folder it is unpacked in."""
    name = name.replace("\\", "/")
    return name.startswith("/") or ".." in name.split("/") or (len(name) > 1 and name[1] == ":")


def is_clutter(name: str) -> bool:
    """Files that systems leave behind."""
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or any(p.startswith(".") for p in parts) or parts[-1].lower() == "thumbs.db"


def _opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def open_member() -> BinaryIO:
        data = _unpack(archive, info, info.file_size + 1)  # one more, so that a longer member is noticed
        if len(data) != info.file_size:
            raise StudyError("Corrupt", _BAD_MEMBER)
        return io.BytesIO(data)

    return open_member


def _peeker(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    return lambda n: _unpack(archive, info, n)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, n: int) -> bytes:
    """Up to n bytes of a member; the check sum is verified when they reach its end."""
    try:
        with archive.open(info) as member:
            return read_upto(member, n)  # type: ignore[arg-type]
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        struct.error,
    ):
        raise StudyError("Corrupt", _BAD_MEMBER) from None
