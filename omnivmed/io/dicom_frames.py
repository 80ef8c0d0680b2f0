"""One DICOM file by itself: a still, a cine loop, or the frames of an enhanced volume."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from omnivmed.errors import StudyError
from omnivmed.io import dicom
from omnivmed.io.dicom_pixels import Frames
from omnivmed.io.dicom_stack import Slice, stack_study, unit_of, with_windows
from omnivmed.io.facts import stored_facts
from omnivmed.io.job import Desk, Findings, Reading
from omnivmed.io.orient import usable
from omnivmed.io.stack import Place, levels, measure, place_of, split_volumes
from omnivmed.limits import Limits, size
from omnivmed.study import Spacing, StudyInfo, plane_of

EAGER_BYTES = 96 * 1024 * 1024  # larger loops are decoded when their frames are asked for
ASSUMED_RATE = 15.0  # frames per second when a loop does not say
_STACK_MODALITIES = ("CT", "MR", "PT", "NM", "RTDOSE", "SEG", "OPT", "MG", "BMD")


def read_still(dataset: Dataset, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """One frame as stored: never turned, letters from its position or PatientOrientation."""
    frames = Frames(dataset, limits, findings)
    shared = dicom.item(dataset, "SharedFunctionalGroupsSequence")
    own = dicom.item(dataset, "PerFrameFunctionalGroupsSequence")
    slope, intercept = dicom.rescale_of(
        dataset, findings, _group(own, shared, "PixelValueTransformationSequence")
    )
    if frames.rgb or dicom.item(dataset, "ModalityLUTSequence") is not None:
        slope, intercept = 1.0, 0.0
    pixels = frames.decode(0)
    array = desk.allocate((1, *pixels.shape), pixels.dtype)
    array[0] = pixels
    place = _frame_place(dataset, own, shared)
    affine = letters = None
    if place is not None:
        affine = measure([place], Findings(), dicom.number(dataset, "SliceThickness")).affine
        affine = affine if affine is not None and usable(affine) else None
    if affine is None:
        letters = dicom.edge_letters(dataset)
    inverted = not frames.rgb and dicom.inverted(dataset)
    asked = dicom.window_of(dataset, _group(own, shared, "FrameVOILUTSequence"))
    if asked is None and not frames.rgb:
        asked, inverted = _lut_window(dataset, inverted, findings)
    info = StudyInfo(
        kind="image",
        channels=3 if frames.rgb else 1,
        spacing_mm=_plane_spacing(dataset, _group(own, shared, "PixelMeasuresSequence")),
        affine=affine,
        letters=letters,
        inverted=inverted,
        modality=dicom.modality(dataset),
        body_part=dicom.body_part(dataset),
        unit="rgb" if frames.rgb else unit_of(dataset, findings),
        slope=slope,
        intercept=intercept,
        plane=None if affine is None else plane_of(affine),
    )
    dicom.note_burned_in(dataset, findings)
    _note_stretch(info, findings)
    info = with_windows(info, array, asked, dicom.padding_of(dataset, slope, intercept), findings)
    return Reading(findings.into(stored_facts(info, array)), array)


def read_stored_frames(
    dataset: Dataset, limits: Limits, series: int | None, desk: Desk, findings: Findings
) -> Reading:
    """A multi-frame file: a volume where its frames lie side by side, else a clip in time."""
    frames = Frames(dataset, limits, findings)
    if frames.count == 1:
        return read_still(dataset, limits, desk, findings)
    slices = _placed_frames(dataset, frames.count)
    if slices is not None:
        return _read_enhanced(slices, frames, limits, series, desk, findings)
    if (
        dicom.modality(dataset) in _STACK_MODALITIES
        and frame_times(dataset, frames.count, Findings()) is None
    ):
        return _read_unplaced(dataset, frames, limits, desk, findings)
    return _read_cine(dataset, frames, limits, desk, findings)


def _group(own: Dataset | None, shared: Dataset | None, keyword: str) -> Dataset | None:
    """A functional group macro, per frame before shared."""
    return dicom.item(own, keyword) or dicom.item(shared, keyword)


def _frame_place(dataset: Dataset, own: Dataset | None, shared: Dataset | None) -> Place | None:
    """Where one frame lies, from its functional groups or the top level."""
    measures = _group(own, shared, "PixelMeasuresSequence")
    position = _group(own, shared, "PlanePositionSequence") or dataset
    orientation = _group(own, shared, "PlaneOrientationSequence") or dataset
    return place_of(
        dicom.numbers(position, "ImagePositionPatient", 3),
        dicom.numbers(orientation, "ImageOrientationPatient", 6),
        dicom.pixel_spacing(dataset, measures),
    )


def _placed_frames(dataset: Dataset, count: int) -> list[Slice] | None:
    """Slices of an enhanced file; None when frames have no places of their own, or all the same one."""
    shared = dicom.item(dataset, "SharedFunctionalGroupsSequence")
    per_frame = dicom.value(dataset, "PerFrameFunctionalGroupsSequence")
    if per_frame is None:
        return _grid_frames(dataset, count)
    if len(per_frame) < count:
        return None
    slices: list[Slice] = []
    for i in range(count):
        own = per_frame[i]
        place = _frame_place(dataset, own, shared)
        if place is None or dicom.item(own, "PlanePositionSequence") is None:
            return None
        transform = _group(own, shared, "PixelValueTransformationSequence")
        voi = _group(own, shared, "FrameVOILUTSequence")
        window = None if voi is None else dicom.window_of(dataset, voi)
        slices.append(Slice(None, dataset, place, i, transform, window))
    return slices if len({s.place.position for s in slices if s.place is not None}) > 1 else None


def _grid_frames(dataset: Dataset, count: int) -> list[Slice] | None:
    """RT dose: one position, and GridFrameOffsetVector along the normal (PS3.3 C.8.8.3.2)."""
    offsets = dicom.numbers(dataset, "GridFrameOffsetVector", count)
    place = _frame_place(dataset, None, None)
    if offsets is None or place is None:
        return None
    slices: list[Slice] = []
    for i, offset in enumerate(offsets):
        x, y, z = (float(v) for v in np.asarray(place.position) + place.normal * (offset - offsets[0]))
        slices.append(Slice(None, dataset, Place((x, y, z), place.orientation, place.spacing), i))
    return slices


def _read_enhanced(
    slices: list[Slice], frames: Frames, limits: Limits, series: int | None, desk: Desk, findings: Findings
) -> Reading:
    """Frames in order of position, whatever their stored order; several per position are several volumes."""
    by_orientation: dict[tuple[float, ...], list[Slice]] = {}
    for one in slices:
        if one.place is not None:
            key = tuple(round(v, 3) + 0.0 for v in one.place.orientation)
            by_orientation.setdefault(key, []).append(one)
    volumes: list[list[Slice]] = []
    for members in by_orientation.values():
        places = [m.place for m in members if m.place is not None]

        def fingerprint(i: int, members: Sequence[Slice] = members) -> str:
            return hashlib.sha256(np.ascontiguousarray(frames.decode(members[i].frame)).data).hexdigest()

        found = split_volumes(levels(places), lambda i: (float(i),), fingerprint, findings)
        volumes.extend([members[i] for i in volume] for volume in found)
    largest = max(range(len(volumes)), key=lambda i: len(volumes[i]))
    chosen = largest if series is None or len(volumes) == 1 else series
    if not 0 <= chosen < len(volumes):
        raise StudyError("Unsupported", f"There is no volume {chosen + 1}; the file has {len(volumes)}.")
    picked = volumes[chosen]
    if len(by_orientation) > 1:
        findings.warn(
            "MixedSeries", f"The file holds {len(by_orientation)} orientations; one of them is shown."
        )
    if len(volumes) > len(by_orientation):
        findings.warn("MultiVolume", f"The file holds {len(volumes)} volumes; number {chosen + 1} is shown.")
    reading = stack_study(picked, lambda s: frames.decode(s.frame), limits, desk, findings)
    if len(volumes) > 1:
        choices = tuple(
            {
                "index": i,
                "label": f"volume {i + 1} of {len(volumes)}, {len(v)} slices",
                "kind": "volume",
                "frames": len(v),
                "rows": frames.rows,
                "columns": frames.columns,
                "modality": reading.info.modality,
                "selected": i == chosen,
            }
            for i, v in enumerate(volumes[:256])
        )
        reading.info = replace(reading.info, series=choices)
    return reading


def _read_unplaced(
    dataset: Dataset, frames: Frames, limits: Limits, desk: Desk, findings: Findings
) -> Reading:
    """Frames of a stack without positions, in stored order."""
    slices = [Slice(None, dataset, None, i) for i in range(frames.count)]
    if window := dicom.window_of(dataset):
        slices[0].window = window
    return stack_study(slices, lambda s: frames.decode(s.frame), limits, desk, findings)


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


def _read_cine(dataset: Dataset, frames: Frames, limits: Limits, desk: Desk, findings: Findings) -> Reading:
    first = frames.decode(0)
    times_s = frame_times(dataset, frames.count, findings)
    if times_s is None:
        findings.note(f"The loop gives no frame times; {ASSUMED_RATE:g} frames per second are assumed.")
        times_s = np.arange(frames.count) / ASSUMED_RATE
    slope, intercept = (1.0, 0.0) if frames.rgb else dicom.rescale_of(dataset, findings)
    info = StudyInfo(
        kind="video",
        channels=3 if frames.rgb else 1,
        spacing_mm=_plane_spacing(dataset, None),
        times_s=times_s,
        letters=dicom.edge_letters(dataset),
        inverted=not frames.rgb and dicom.inverted(dataset),
        modality=dicom.modality(dataset),
        body_part=dicom.body_part(dataset),
        unit="rgb" if frames.rgb else unit_of(dataset, findings),
        slope=slope,
        intercept=intercept,
    )
    dicom.note_burned_in(dataset, findings)
    _note_stretch(info, findings)
    asked, padding = dicom.window_of(dataset), dicom.padding_of(dataset, slope, intercept)
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


def frame_times(dataset: Dataset, count: int, findings: Findings) -> NDArray[np.float64] | None:
    """(T,) seconds from the first frame: FrameTimeVector, FrameTime or a rate (PS3.3 C.7.6.5); None when unsaid."""
    vector = dicom.numbers(dataset, "FrameTimeVector")
    if vector is not None and len(vector) >= count and min(vector) >= 0:
        steps = np.asarray(vector[:count], dtype=np.float64)
        return (np.cumsum(steps) - steps[0]) / 1000.0
    step_ms = dicom.number(dataset, "FrameTime")
    if step_ms is not None and 0 < step_ms < 1e7:
        return np.arange(count, dtype=np.float64) * (step_ms / 1000.0)
    if vector is not None:
        findings.warn("BadHeader", "The frame times in the header do not fit the number of frames.")
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = dicom.number(dataset, keyword)
        if rate is not None and 0 < rate <= 10_000:
            return np.arange(count, dtype=np.float64) / rate
    return None


def _plane_spacing(dataset: Dataset, group: Dataset | None) -> Spacing | None:
    pair = dicom.pixel_spacing(dataset, group)
    return None if pair is None else (None, *pair)


def _note_stretch(info: StudyInfo, findings: Findings) -> None:
    if info.spacing_mm is not None and abs(info.spacing_mm[1] / info.spacing_mm[2] - 1) > 0.02:
        _, r, c = info.spacing_mm
        findings.warn(
            "Stretched", f"Pixels are not square ({r:.3g} x {c:.3g} mm); they are shown in true proportions."
        )


def _lut_window(dataset: Dataset, inverted: bool, findings: Findings) -> tuple[Any, bool]:
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
