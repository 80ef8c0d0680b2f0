"""What a DICOM header says: values of doubtful text, sizes within the limits, scale, window, spacing, letters.

A header is a data set, or one frame of it (`dicom_groups.FrameHeader`), which reads the same way. What leaves this
module are numbers and words of closed lists; header text stays inside.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np
import pydicom
from pydicom import config as pydicom_config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from omnivmed.errors import StudyError
from omnivmed.io.facts import allowed_body_part, allowed_modality, finite, scale
from omnivmed.io.job import Findings, check_plane
from omnivmed.limits import Limits
from omnivmed.window import Window

# Values that break the rules of their type are common; each one that is used is checked where it is used.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NO_IMAGE_NAMES = (
    "Structured Report", " SR ", "Plan Storage", "Structure Set", "Waveform", "Encapsulated", "Directory",
    "Key Object", "Presentation State", "Treatment Record", "Registration", "Fiducials", "Measurement", "Surface",
    "Raw Data", "Real World", "Stereometric", "Tractography", "Instance Storage",
)  # fmt: skip


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


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def value(header: Any, keyword: str, default: Any = None) -> Any:
    """A value, or the default when it is absent, empty or not readable as its type."""
    try:
        if isinstance(header, Dataset):
            element = header.get(_tag(keyword))  # by tag: a third of the time that a keyword takes
            found = None if element is None else element.value
        else:
            found = header.get(keyword)
    except Exception:
        return default
    return default if found is None or (isinstance(found, str) and not found.strip()) else found


def number(header: Any, keyword: str, default: float | None = None) -> float | None:
    """A finite number, or the default."""
    plain = _plain_numbers(header, keyword)
    if plain is not None:
        return finite(plain[0], default)
    found = value(header, keyword)
    if isinstance(found, (list, tuple, pydicom.multival.MultiValue)):
        found = found[0] if len(found) else None
    return finite(found, default)


def numbers(header: Any, keyword: str, count: int | None = None) -> list[float] | None:
    """A list of finite numbers of this length (any length when None), or None."""
    items: list[float | None]
    plain = _plain_numbers(header, keyword)
    if plain is not None:
        items = [finite(v) for v in plain]
    else:
        found = value(header, keyword)
        if found is None:
            return None
        try:
            items = (
                [finite(v) for v in found] if not isinstance(found, (str, int, float)) else [finite(found)]
            )
        except TypeError:
            items = [finite(found)]
    good = [v for v in items if v is not None]
    if len(good) != len(items) or (count is not None and len(good) != count):
        return None
    return good


def _plain_numbers(header: Any, keyword: str) -> list[Any] | None:
    """Numbers, or their text, of an element that pydicom has not turned into objects yet: those take most of the time
    of a long series. None for anything but whole US, DS and IS values."""
    if not isinstance(header, Dataset):
        return None
    raw = header.get_item(_tag(keyword))
    if not isinstance(raw, RawDataElement) or not raw.value:
        return None
    data = bytes(raw.value)
    if raw.VR == "US" and len(data) % 2 == 0:
        return list(struct.unpack(f"{'<' if raw.is_little_endian else '>'}{len(data) // 2}H", data))
    if raw.VR in ("DS", "IS") and data.isascii():
        text = data.decode("ascii").strip(" \0")
        return text.split("\\") if text else None
    return None


def integer(dataset: Any, keyword: str, default: int = 0) -> int:
    """A whole number, or the default."""
    found = number(dataset, keyword)
    return default if found is None or found != int(found) else int(found)


def item(dataset: Any, keyword: str) -> Dataset | None:
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


def modality(dataset: Any) -> str | None:
    """Defined term or None."""
    return allowed_modality(value(dataset, "Modality"))


def body_part(dataset: Any) -> str | None:
    """Common term or None."""
    return allowed_body_part(value(dataset, "BodyPartExamined"))


def inverted(dataset: Any) -> bool:
    """MONOCHROME1, or an inverse presentation: the lowest value is shown white."""
    photometric = str(value(dataset, "PhotometricInterpretation", "")).strip()
    return photometric == "MONOCHROME1"


def rescale_of(header: Any, findings: Findings) -> tuple[float, float]:
    """(slope, intercept) of a frame; damaged values become 1 and 0. RT dose has a factor to Gray or to its share of the
    prescription instead (Dose Grid Scaling, PS3.3 C.8.8.3.1)."""
    if "DoseGridScaling" in header and modality(header) == "RTDOSE":
        factor = scale(number(header, "DoseGridScaling"), 0.0)
        if factor is not None:
            gray = str(value(header, "DoseUnits", "")).strip().upper() == "GY"
            findings.note(f"Values are dose{' in Gray' if gray else ', relative'}.")
            return factor
        findings.warn(
            "BadHeader", "The scale of the values in the header is damaged; stored values are shown."
        )
        return 1.0, 0.0
    has_slope = "RescaleSlope" in header
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if not has_slope and "RescaleIntercept" not in header:
        if modality(header) == "CT" and item(header, "ModalityLUTSequence") is None:
            findings.warn("BadHeader", "The CT gives no scale to Hounsfield units; stored values are shown.")
        return 1.0, 0.0
    found = scale(slope, intercept if "RescaleIntercept" in header else 0.0)
    if found is None:
        findings.warn(
            "BadHeader", "The scale of the values in the header is damaged; stored values are shown."
        )
        return 1.0, 0.0
    return found


def window_of(header: Any, findings: Findings | None = None) -> Window | None:
    """The first usable (level, width) of the file; widths below one are no window (PS3.3 C.11.2.1.2).

    The product shows LINEAR_EXACT (C.11.2.1.3.2). A SIGMOID (C.11.2.1.3.1) is said to be shown as the straight line of
    the same level and width, which touches it in the middle.
    """
    centers, widths = numbers(header, "WindowCenter"), numbers(header, "WindowWidth")
    curve = str(value(header, "VOILUTFunction", "LINEAR")).strip().upper()
    for level, width in zip(centers or [], widths or [], strict=False):
        if width >= 1 or (curve != "LINEAR" and width > 0):
            if curve == "SIGMOID" and findings is not None:
                findings.note(
                    "The file asks for an S-shaped (sigmoid) display curve; a straight window is shown."
                )
            return (level, width)
    return None


def padding_of(dataset: Any, slope: float, intercept: float) -> tuple[float, float] | None:
    """Lowest and highest padding value in file units (PixelPaddingValue and its range limit)."""
    first = number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = number(dataset, "PixelPaddingRangeLimit", first)
    ends = sorted(v * slope + intercept for v in (first, first if last is None else last))
    return (ends[0], ends[1])


def edge_letters(dataset: Any) -> tuple[str, str, str, str] | None:
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


def note_burned_in(dataset: Any, findings: Findings) -> None:
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


def voi_lut_window(dataset: Any) -> tuple[Window, bool] | None:
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
