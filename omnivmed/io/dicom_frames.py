"""One DICOM file by itself: a still, a loop, and where the frames of a multi-frame file lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from omnivmed.errors import StudyError
from omnivmed.io import dicom, dicom_spacing
from omnivmed.io.dicom_file import DicomFile
from omnivmed.io.dicom_groups import FrameHeader, frame_headers, vector_entry
from omnivmed.io.dicom_pixels import Frames
from omnivmed.io.dicom_stack import common, note_stretch, plane_spacing, with_windows
from omnivmed.io.dicom_times import ASSUMED_RATE, loop_times
from omnivmed.io.dicom_volumes import Slice
from omnivmed.io.facts import stored_facts
from omnivmed.io.job import Desk, Findings, Reading
from omnivmed.io.orient import usable
from omnivmed.io.stack import Place, measure, place_of
from omnivmed.limits import Limits, size
from omnivmed.orientation import plane_of
from omnivmed.study_info import TimesFrom

EAGER_BYTES = 96 * 1024 * 1024  # larger loops are decoded when their frames are asked for
_STACK_MODALITIES = ("CT", "MR", "PT", "NM", "RTDOSE", "SEG", "OPT", "MG", "BMD")
_NM_VOLUMES = (
    "RECON TOMO",
    "RECON GATED TOMO",
)  # Image Type value 3 of PS3.3 C.8.4.9; others are projections


def read_still(file: DicomFile, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """One frame as stored: never turned, letters from its position or PatientOrientation."""
    frames = Frames(file, limits, findings)
    header = frame_headers(file.header, 1)[0]
    slope, intercept = dicom.rescale_of(header, findings)
    if frames.rgb or dicom.item(file.header, "ModalityLUTSequence") is not None:
        slope, intercept = 1.0, 0.0
    pixels = frames.decode(0)
    array = desk.allocate((1, *pixels.shape), pixels.dtype)
    array[0] = pixels
    place = place_in(header)
    affine = letters = None
    if place is not None:
        affine = measure([place], Findings(), dicom.number(header, "SliceThickness")).affine
        affine = affine if affine is not None and usable(affine) else None
    if affine is None:
        letters = dicom.edge_letters(header)
    inverted = not frames.rgb and dicom.inverted(header)
    asked = dicom.window_of(header, findings)
    if asked is None and not frames.rgb:
        asked, inverted = lut_window(file.header, inverted, findings)
    info = replace(
        common(header, frames.rgb, slope, intercept, findings),
        spacing_mm=plane_spacing(header),
        affine=affine,
        letters=letters,
        inverted=inverted,
        plane=None if affine is None else plane_of(affine),
    )
    note_stretch(info, findings)
    info = with_windows(info, array, asked, dicom.padding_of(header, slope, intercept), findings)
    return Reading(findings.into(stored_facts(info, array)), array)


def place_in(header: Any) -> Place | None:
    """Where one frame lies, or None when the file does not say."""
    return place_of(
        dicom.numbers(header, "ImagePositionPatient", 3),
        dicom.numbers(header, "ImageOrientationPatient", 6),
        dicom_spacing.pixel_spacing(header),
    )


def frame_slices(file: DicomFile, count: int) -> list[Slice]:
    """The frames of a multi-frame file in stored order; all have places, or none has."""
    headers = frame_headers(file.header, count)
    places = (
        _own_places(headers) or _dose_places(file.header, count) or _tomography_places(file.header, count)
    )
    return [Slice(file, h, places[i] if places is not None else None) for i, h in enumerate(headers)]


def _own_places(headers: list[FrameHeader]) -> list[Place] | None:
    """From the functional groups alone: a position at the top level is not one of each frame."""
    places: list[Place] = []
    for header in headers:
        if not any(dicom.item(g, "PlanePositionSequence") is not None for g in (header.own, header.shared)):
            return None
        place = place_in(header)
        if place is None:
            return None
        places.append(place)
    return places


def _dose_places(dataset: Dataset, count: int) -> list[Place] | None:
    """RT dose: one position, and GridFrameOffsetVector along the normal (PS3.3 C.8.8.3.2)."""
    offsets = dicom.numbers(dataset, "GridFrameOffsetVector", count)
    first = place_in(dataset)
    return None if offsets is None or first is None else _ladder(first, [o - offsets[0] for o in offsets])


def _tomography_places(dataset: Dataset, count: int) -> list[Place] | None:
    """NM tomography: place of the first slice at the detector (C.8.4.11) or the top level, the others at Spacing
    Between Slices along the normal, against it where that is negative (C.8.4.15), by Slice Vector."""
    if not _is_nm_volume(dataset):
        return None
    detector = dicom.item(dataset, "DetectorInformationSequence")
    first = place_of(
        _either(detector, dataset, "ImagePositionPatient", 3),
        _either(detector, dataset, "ImageOrientationPatient", 6),
        dicom_spacing.pixel_spacing(dataset),
    )
    step = dicom.number(dataset, "SpacingBetweenSlices") or dicom.number(dataset, "SliceThickness")
    if first is None or not step:
        return None
    numbers = [vector_entry(dataset, "SliceVector", i) for i in range(count)]
    return _ladder(first, [step * (i if n is None else n - 1) for i, n in enumerate(numbers)])


def _either(first: Dataset | None, second: Dataset, keyword: str, count: int) -> list[float] | None:
    found = None if first is None else dicom.numbers(first, keyword, count)
    return dicom.numbers(second, keyword, count) if found is None else found


def _ladder(first: Place, offsets: list[float]) -> list[Place]:
    places: list[Place] = []
    for offset in offsets:
        x, y, z = (float(v) for v in np.asarray(first.position) + first.normal * offset)
        places.append(Place((x, y, z), first.orientation, first.spacing))
    return places


def _nm_type(dataset: Dataset) -> str:
    found = dicom.value(dataset, "ImageType")
    try:
        return str(found[2]).strip().upper() if not isinstance(found, (str, type(None))) else ""
    except IndexError:
        return ""


def _is_nm_volume(dataset: Dataset) -> bool:
    return dicom.modality(dataset) in ("NM", "PT") and _nm_type(dataset) in _NM_VOLUMES


def lies_in_a_stack(dataset: Dataset, count: int) -> bool:
    """Whether frames without places are slices side by side rather than pictures in time or from many sides."""
    if dicom.modality(dataset) not in _STACK_MODALITIES or loop_times(dataset, count, Findings()) is not None:
        return False
    return not (dicom.modality(dataset) == "NM" and _nm_type(dataset) and not _is_nm_volume(dataset))


class Cine:
    """A loop that is decoded frame by frame."""

    def __init__(self, frames: Frames, first: NDArray[Any]) -> None:
        self._frames = frames
        self.shape = (frames.count, frames.rows, frames.columns)
        self.channels = 3 if frames.rgb else 1
        self.dtype: np.dtype[Any] = first.dtype

    def frame(self, index: int) -> NDArray[Any]:
        return self._frames.decode(index)

    def problems(self) -> list[tuple[str, str]]:
        return []

    def close(self) -> None:
        return None


def read_loop(file: DicomFile, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """The frames of one file in time, in stored order (PS3.3 C.7.6.5)."""
    frames = Frames(file, limits, findings)
    first = frames.decode(0)
    times_s = loop_times(file.header, frames.count, findings)
    times_from: TimesFrom = "file"
    if times_s is None:
        times_from = "assumed"
        findings.note(f"The loop gives no frame times; {ASSUMED_RATE:g} frames per second are assumed.")
        times_s = np.arange(frames.count) / ASSUMED_RATE
    header = frame_headers(file.header, 1)[0]
    slope, intercept = (1.0, 0.0) if frames.rgb else dicom.rescale_of(header, findings)
    info = replace(
        common(header, frames.rgb, slope, intercept, findings),
        kind="video",
        spacing_mm=plane_spacing(header),
        times_s=times_s,
        times_from=times_from,
        letters=dicom.edge_letters(header),
    )
    note_stretch(info, findings)
    asked, padding = dicom.window_of(header, findings), dicom.padding_of(header, slope, intercept)
    if frames.count * first.nbytes > EAGER_BYTES:
        if frames.count > 1 and first.nbytes > limits.raw_voxel_bytes:
            raise StudyError(
                "TooLarge",
                f"A frame of the loop unpacks to {size(first.nbytes)} and the limit is {size(limits.raw_voxel_bytes)}; "
                "send a smaller one.",
            )
        picks = np.unique(np.linspace(0, frames.count - 1, 9).astype(int))
        sample = np.stack([frames.decode(int(i)) for i in picks])
        info = with_windows(info, sample, asked, padding, findings)
        return Reading(findings.into(stored_facts(info, sample, frames.count)), clip=Cine(frames, first))
    array = desk.allocate((frames.count, *first.shape), first.dtype)
    array[0] = first
    for i in range(1, frames.count):
        array[i] = frames.decode(i)
        desk.progress("decoding", i + 1, frames.count)
    info = with_windows(info, array, asked, padding, findings)
    return Reading(findings.into(stored_facts(info, array)), array)


def lut_window(dataset: Dataset, inverted: bool, findings: Findings) -> tuple[Any, bool]:
    """The file's display curve as a straight window, where it is one line; a falling curve inverts."""
    if dicom.item(dataset, "VOILUTSequence") is None:
        return None, inverted
    found = dicom.voi_lut_window(dataset)
    if found is None:
        findings.note("The display curve of the file is not a plain one and was left out.")
        return None, inverted
    window, descending = found
    findings.note("The display curve of the file is shown as a straight window.")
    return window, inverted != descending
