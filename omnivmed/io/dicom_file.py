"""One DICOM file: its header parsed by pydicom under guards, and where its pixels begin.

Pixels are not parsed: their element is found behind the header (PS3.5 7.1.2) and read as bytes when they are wanted, so
a file is parsed once, and one that only lacks the last delimiter of its fragments (PS3.5 A.4) is whole.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from omnivmed.errors import StudyError
from omnivmed.io.inflate import inflate_raw
from omnivmed.io.job import Upload, read_upto
from omnivmed.limits import Limits

DAMAGED = "The DICOM file is damaged or cut; export it again."
NO_PIXELS = "The DICOM file names an image but holds none, so it is cut; export it again."
HEADER_BYTES = 32 * 1024  # nearly every header of a single picture is shorter
_DEFLATED = b"1.2.840.10008.1.2.1.99"
# A data set that grows to more than both of these is a bomb, whatever the limit: real images pack 2 to 50 times.
_HONEST_BYTES, _HONEST_RATIO = 64 * 1024 * 1024, 100
_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_LONG_VR = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN", b"UC", b"UR", b"UT", b"SQ")
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class PixelElement:
    """Where the pixels lie: `start` in the (inflated) file, `length` in bytes, None for fragments up to a delimiter."""

    keyword: str
    vr: str
    start: int
    length: int | None


@dataclass(frozen=True)
class DicomFile:
    """A header without its pixels, and the way to them."""

    header: Dataset
    element: PixelElement | None
    upload: Upload
    limits: Limits

    @property
    def big_endian(self) -> bool:
        """Byte order of the header's numbers and of native pixels."""
        return not _encoding(self.header)[1]

    def pixel_bytes(self) -> memoryview:
        """The value of the pixel element; fewer bytes than declared when the file ends before. Corrupt without one."""
        if self.element is None:
            raise StudyError("Corrupt", NO_PIXELS)
        start, length = self.element.start, self.element.length
        with self.upload.open() as file:
            if _DEFLATED in (head := file.read(4096)):
                data = memoryview(_inflated(head + file.read(), self.limits)[1])[start:]
                return data if length is None else data[:length]
            file.seek(start)
            rest = max(0, self.upload.size - start)
            return memoryview(read_upto(file, rest if length is None else min(length, rest)))


def open_file(upload: Upload, limits: Limits) -> DicomFile:
    """The header, and where the pixels begin. Corrupt when it cannot be parsed, TooLarge for a packed bomb."""
    try:
        head = upload.head(HEADER_BYTES)
        if _DEFLATED in head[:4096]:
            meta, plain = _inflated(upload.data(), limits)
            file = io.BytesIO(plain)
            header = read_dataset(file, False, True, stop_when=_at_pixels)
            header.file_meta = meta
            header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            header._read_implicit, header._read_little = False, True  # as dcmread sets them
            return DicomFile(header, _element(file, header, len(plain)), upload, limits)
        file = io.BytesIO(head)
        found = _parse(file, upload, limits)
        if found is not None and (found.element is not None or len(head) == upload.size):
            return found
        with upload.open() as whole:
            return _parse(_Bounded(whole, upload.size), upload, limits, strict=True)  # type: ignore[return-value]
    except (StudyError, MemoryError):
        raise
    except Exception:
        raise StudyError("Corrupt", DAMAGED) from None


def _parse(file: Any, upload: Upload, limits: Limits, strict: bool = False) -> DicomFile | None:
    """The header in this file; None when it does not end in it and that is no fault."""
    try:
        header = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    except Exception:
        if strict:
            raise
        return None
    element = _element(file, header, upload.size)
    header.buffer = None  # pydicom keeps what it read from: 32 kB of every file of a series
    return DicomFile(header, element, upload, limits)


def _at_pixels(tag: Any, vr: str | None, length: int) -> bool:
    return int(tag) in _KEYWORDS


def _encoding(header: Dataset) -> tuple[bool, bool]:
    """(implicit VR, little endian) as the header was read."""
    implicit, little = header.original_encoding
    return bool(implicit), True if little is None else bool(little)


def _element(file: Any, header: Dataset, size: int) -> PixelElement | None:
    """The pixel element that begins where parsing stopped, or None at the end of the data."""
    start = file.tell()
    raw = file.read(12)
    if len(raw) < 8:
        return None
    implicit, little = _encoding(header)
    order = "<" if little else ">"
    group, number = struct.unpack(order + "HH", raw[:4])
    keyword = _KEYWORDS.get((group << 16) + number)
    if keyword is None:
        return None
    vr = raw[4:6]
    if implicit or not vr.isalpha():
        return PixelElement(keyword, "OW", start + 8, _length(struct.unpack(order + "I", raw[4:8])[0]))
    if vr in _LONG_VR:
        if len(raw) < 12:
            return None
        return PixelElement(
            keyword, vr.decode("ascii"), start + 12, _length(struct.unpack(order + "I", raw[8:12])[0])
        )
    return PixelElement(
        keyword, vr.decode("ascii", "replace"), start + 8, struct.unpack(order + "H", raw[6:8])[0]
    )


def _length(declared: int) -> int | None:
    return None if declared == _UNDEFINED else declared


class _Bounded(io.RawIOBase):
    """A file that is never asked for more bytes than it has: a damaged length would allocate them all."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file = file
        self._size = size

    def read(self, n: int | None = -1) -> bytes:
        rest = max(0, self._size - self._file.tell())
        return self._file.read(rest if n is None or n < 0 else min(n, rest))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _inflated(data: bytes, limits: Limits) -> tuple[Any, bytes]:
    """(file meta group, data set): behind the group is one raw deflate stream (PS3.5 A.5), unpacked under a limit."""
    if data[128:132] != b"DICM" or data[132:138] != b"\x02\x00\x00\x00UL":
        raise StudyError("Corrupt", DAMAGED)
    start = 144 + struct.unpack("<I", data[140:144])[0]
    if not 144 < start < min(len(data), 1 << 16):
        raise StudyError("Corrupt", DAMAGED)
    meta = pydicom.dcmread(io.BytesIO(data[:start]), force=True).file_meta
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        raise StudyError("Corrupt", DAMAGED)
    packed = data[start:]
    plain = inflate_raw(packed, min(limits.inflate_bytes, max(_HONEST_BYTES, _HONEST_RATIO * len(packed))))
    return meta, plain


def transfer_syntax(header: Dataset) -> UID:
    """The declared transfer syntax; for bare data sets the one they were read with."""
    declared = getattr(header, "file_meta", None) and header.file_meta.get("TransferSyntaxUID")
    if declared:
        return UID(str(declared))
    return UID("1.2.840.10008.1.2") if _encoding(header)[0] else ExplicitVRLittleEndian
