"""One DICOM file: parsed by pydicom under guards, its declared sizes checked against its data before decoding.

What leaves this module are numbers and words of closed lists; header text stays inside.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from omnivmed.errors import StudyError
from omnivmed.io.facts import allowed_body_part, allowed_modality, finite, scale
from omnivmed.io.inflate import inflate_raw
from omnivmed.io.job import Findings, Upload, check_plane
from omnivmed.limits import Limits
from omnivmed.window import Window

# Values that break the rules of their type are common; each one that is used is checked where it is used.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

DAMAGED = "The DICOM file is damaged or cut; export it again."
_DEFLATED = b"1.2.840.10008.1.2.1.99"
# A data set that grows to more than both of these is a bomb, whatever the limit: real images pack 2 to 50 times.
_HONEST_BYTES, _HONEST_RATIO = 64 * 1024 * 1024, 100
HEADER_BYTES = 32 * 1024
_PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")  # tag (7FE0,0010), little and big endian
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NO_IMAGE_NAMES = (
    "Structured Report", " SR ", "Plan Storage", "Structure Set", "Waveform", "Encapsulated", "Directory",
    "Key Object", "Presentation State", "Treatment Record", "Registration", "Fiducials", "Measurement", "Surface",
    "Raw Data", "Real World", "Stereometric", "Tractography", "Instance Storage",
)  # fmt: skip


def open_dataset(upload: Upload, limits: Limits, *, pixels: bool) -> Dataset:
    """The data set, whole or up to the pixels. Corrupt when it cannot be parsed, TooLarge for a packed bomb."""
    try:
        if not pixels and upload.peek is not None and (header := _first_bytes(upload.peek(HEADER_BYTES))):
            return header
        with upload.open() as file:
            head = file.read(8192)
            if _DEFLATED in head[:4096]:
                return _open_deflated(head + file.read(), limits)
            file.seek(0)
            return pydicom.dcmread(_Bounded(file, upload.size), force=True, stop_before_pixels=not pixels)
    except (StudyError, MemoryError):
        raise
    except Exception:
        raise StudyError("Corrupt", DAMAGED) from None


def _first_bytes(head: bytes) -> Dataset | None:
    """The header of an archive's member from its first bytes, so that its pixels need not be unpacked for it; None when
    it does not end with the beginning of the pixels among them, and then the whole has to be read."""
    if _DEFLATED in head[:4096]:
        return None
    file = io.BytesIO(head)
    try:
        dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    except Exception:
        return None
    return dataset if head[file.tell() :][:4] in _PIXEL_DATA else None


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


def _open_deflated(data: bytes, limits: Limits) -> Dataset:
    """PS3.5 A.5: everything behind the file meta group is one raw deflate stream; unpacked here under a limit."""
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
    dataset = (
        pydicom.dcmread(io.BytesIO(data[:start] + plain), force=True, defer_size=None) if not plain else None
    )
    if dataset is None:
        from pydicom.filereader import read_dataset

        dataset = read_dataset(io.BytesIO(plain), is_implicit_VR=False, is_little_endian=True)
        dataset.file_meta = meta
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset._read_implicit, dataset._read_little = False, True  # as dcmread sets them
    return dataset


def is_image(dataset: Dataset) -> bool:
    """True for something with rows and columns."""
    return "Rows" in dataset and "Columns" in dataset


def require_image(dataset: Dataset) -> None:
    """NotAnImage for a report, plan or directory; Corrupt for an image class without its picture."""
    sop_class = str(dataset.get("SOPClassUID") or _meta(dataset, "MediaStorageSOPClassUID") or "")
    name = UID(sop_class).name if sop_class else ""
    if any(word in name for word in _NO_IMAGE_NAMES):
        raise StudyError(
            "NotAnImage", "This DICOM file holds a report, plan or index, not an image; choose the images."
        )
    if is_image(dataset):
        return
    if "Image Storage" in name or not name or len(dataset) == 0:
        raise StudyError(
            "Corrupt", "The DICOM file names an image but holds none, so it is cut; export it again."
        )
    raise StudyError("NotAnImage", "This DICOM file holds no image; choose another file.")


def _meta(dataset: Dataset, keyword: str) -> Any:
    meta = getattr(dataset, "file_meta", None)
    return None if meta is None else meta.get(keyword)


def transfer_syntax(dataset: Dataset) -> UID:
    """The declared transfer syntax; for bare data sets the one they were read with."""
    declared = _meta(dataset, "TransferSyntaxUID")
    if declared:
        return UID(str(declared))
    implicit = bool(getattr(dataset, "is_implicit_VR", True))
    return UID("1.2.840.10008.1.2") if implicit else ExplicitVRLittleEndian


def value(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    """A value, or the default when it is absent, empty or not readable as its type."""
    try:
        found = dataset.get(keyword)
    except Exception:
        return default
    return default if found is None or (isinstance(found, str) and not found.strip()) else found


def number(dataset: Dataset, keyword: str, default: float | None = None) -> float | None:
    """A finite number, or the default."""
    found = value(dataset, keyword)
    if isinstance(found, (list, tuple, pydicom.multival.MultiValue)):
        found = found[0] if len(found) else None
    return finite(found, default)


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> list[float] | None:
    """A list of finite numbers of this length (any length when None), or None."""
    found = value(dataset, keyword)
    if found is None:
        return None
    try:
        items = [finite(v) for v in found] if not isinstance(found, (str, int, float)) else [finite(found)]
    except TypeError:
        items = [finite(found)]
    good = [v for v in items if v is not None]
    if len(good) != len(items) or (count is not None and len(good) != count):
        return None
    return good


def integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """A whole number, or the default."""
    found = number(dataset, keyword)
    return default if found is None or found != int(found) else int(found)


def item(dataset: Dataset | None, keyword: str) -> Dataset | None:
    """First item of a sequence, or None."""
    if dataset is None:
        return None
    sequence = value(dataset, keyword)
    try:
        return sequence[0] if sequence is not None and len(sequence) else None
    except (TypeError, IndexError, KeyError):
        return None


def frame_count(dataset: Dataset) -> int:
    """NumberOfFrames, at least 1; Corrupt for zero or less."""
    count = integer(dataset, "NumberOfFrames", 1)
    if count < 1:
        raise StudyError("Corrupt", "The DICOM file declares no frames; export it again.")
    return count


def check_sizes(dataset: Dataset, limits: Limits) -> tuple[int, int, int, int]:
    """(frames, rows, columns, samples), within the limits and of a kind that can be decoded."""
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    check_plane(rows, columns, limits)
    samples = integer(dataset, "SamplesPerPixel", 1)
    bits = integer(dataset, "BitsAllocated", 0)
    if samples not in (1, 3) or bits not in (1, 8, 16, 32, 64):
        raise StudyError("Unsupported", "This kind of DICOM pixels is not read; export it as 8 or 16 bits.")
    frames = frame_count(dataset)
    if frames > limits.video_frames:
        raise StudyError(
            "TooLarge",
            f"The file declares {frames} frames and the limit is {limits.video_frames}; send a part of it.",
        )
    return frames, rows, columns, samples


def modality(dataset: Dataset) -> str | None:
    """Defined term or None."""
    return allowed_modality(value(dataset, "Modality"))


def body_part(dataset: Dataset) -> str | None:
    """Common term or None."""
    return allowed_body_part(value(dataset, "BodyPartExamined"))


def inverted(dataset: Dataset) -> bool:
    """MONOCHROME1, or an inverse presentation: the lowest value is shown white."""
    photometric = str(value(dataset, "PhotometricInterpretation", "")).strip()
    return photometric == "MONOCHROME1"


def rescale_of(dataset: Dataset, findings: Findings, group: Dataset | None = None) -> tuple[float, float]:
    """(slope, intercept) of a frame, from its functional group or the data set; damaged values become 1 and 0."""
    place = group if group is not None else dataset
    has_slope = "RescaleSlope" in place
    slope, intercept = number(place, "RescaleSlope"), number(place, "RescaleIntercept")
    if not has_slope and "RescaleIntercept" not in place:
        if modality(dataset) == "CT" and item(dataset, "ModalityLUTSequence") is None:
            findings.warn("BadHeader", "The CT gives no scale to Hounsfield units; stored values are shown.")
        return 1.0, 0.0
    found = scale(slope, intercept if "RescaleIntercept" in place else 0.0)
    if found is None:
        findings.warn(
            "BadHeader", "The scale of the values in the header is damaged; stored values are shown."
        )
        return 1.0, 0.0
    return found


def window_of(dataset: Dataset, group: Dataset | None = None) -> Window | None:
    """The first usable (level, width) of the file; widths below one are no window (PS3.3 C.11.2.1.2)."""
    place = group if group is not None else dataset
    centers, widths = numbers(place, "WindowCenter"), numbers(place, "WindowWidth")
    exact = str(value(place, "VOILUTFunction", "LINEAR")).strip() != "LINEAR"
    for level, width in zip(centers or [], widths or [], strict=False):
        if width >= 1 or (exact and width > 0):
            return (level, width)
    return None


def padding_of(dataset: Dataset, slope: float, intercept: float) -> tuple[float, float] | None:
    """Lowest and highest padding value in file units (PixelPaddingValue and its range limit)."""
    first = number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = number(dataset, "PixelPaddingRangeLimit", first)
    ends = sorted(v * slope + intercept for v in (first, first if last is None else last))
    return (ends[0], ends[1])


def pixel_spacing(dataset: Dataset, group: Dataset | None = None) -> tuple[float, float] | None:
    """(row step, column step) in mm, from the first tag that has it."""
    for place, keyword in (
        (group, "PixelSpacing"),
        (dataset, "PixelSpacing"),
        (dataset, "ImagerPixelSpacing"),
        (dataset, "NominalScannedPixelSpacing"),
    ):
        pair = numbers(place, keyword, 2) if place is not None else None
        if pair is not None and min(pair) > 0:
            return (pair[0], pair[1])
    region = item(dataset, "SequenceOfUltrasoundRegions")
    if region is not None and len(dataset.SequenceOfUltrasoundRegions) == 1:
        x, y = number(region, "PhysicalDeltaX"), number(region, "PhysicalDeltaY")
        in_cm = integer(region, "PhysicalUnitsXDirection") == integer(region, "PhysicalUnitsYDirection") == 3
        if in_cm and x and y:
            return (abs(y) * 10.0, abs(x) * 10.0)
    return None


def edge_letters(dataset: Dataset) -> tuple[str, str, str, str] | None:
    """(left, right, top, bottom) of a projection from PatientOrientation, as 'L\\F'."""
    found = value(dataset, "PatientOrientation")
    if found is None or isinstance(found, str) or len(found) != 2:
        return None
    letters = {"L": "L", "R": "R", "A": "A", "P": "P", "H": "S", "F": "I"}
    opposite = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
    right, bottom = (letters.get(str(v).strip()[:1].upper()) for v in found)
    if right is None or bottom is None or right in (bottom, opposite[bottom]):
        return None
    return (opposite[right], right, opposite[bottom], bottom)


def note_burned_in(dataset: Dataset, findings: Findings) -> None:
    """BurnedIn where the pixels may show a name: declared, a screen capture, or ultrasound that does not say no."""
    said = str(value(dataset, "BurnedInAnnotation", "")).strip().upper()
    if said == "YES":
        findings.warn(
            "BurnedIn", "The file says that text is burned into the picture; it may name the patient."
        )
    elif said != "NO":
        sop_class = str(value(dataset, "SOPClassUID", ""))
        if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(_SECONDARY_CAPTURE + "."):
            findings.warn(
                "BurnedIn", "A screen capture may have the patient's name in the picture; crop it if so."
            )
        elif modality(dataset) in ("US", "IVUS", "BDUS"):
            findings.warn(
                "BurnedIn", "Ultrasound often has the patient's name in the picture; crop it if so."
            )


def voi_lut_window(dataset: Dataset) -> tuple[Window, bool] | None:
    """((level, width), descending) of the straight line nearest to a monotone VOI LUT, or None for any other."""
    lut = item(dataset, "VOILUTSequence")
    if lut is None:
        return None
    descriptor = numbers(lut, "LUTDescriptor", 3)
    data = value(lut, "LUTData")
    if descriptor is None or data is None:
        return None
    entries = int(descriptor[0]) or 65536
    first = descriptor[1]
    try:
        table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    except (ValueError, TypeError):
        return None
    table = table.astype(np.float64)
    if len(table) < entries or entries < 2:
        return None
    table = table[:entries]
    steps = np.diff(table)
    descending = bool(np.all(steps <= 0))
    if not descending and not np.all(steps >= 0):
        return None
    rising = table[::-1] if descending else table
    low, high = rising[0], rising[-1]
    if high <= low:
        return None
    inside = np.flatnonzero((table > low + 0.01 * (high - low)) & (table < high - 0.01 * (high - low)))
    i0, i1 = (inside[0], inside[-1]) if inside.size else (0, entries - 1)
    return ((first + (i0 + i1) / 2.0, float(max(1, i1 - i0))), descending)
