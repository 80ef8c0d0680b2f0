"""A stack of DICOM slices, single-frame files or frames of one enhanced file, to one volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from omnivmed.errors import StudyError
from omnivmed.io import dicom
from omnivmed.io.dicom_pixels import Frames
from omnivmed.io.facts import stored_facts
from omnivmed.io.job import Desk, Findings, Reading, Upload, check_bytes
from omnivmed.io.orient import radiological, turned_affine, usable
from omnivmed.io.stack import Place, measure
from omnivmed.limits import Limits
from omnivmed.study import Spacing, StudyInfo, plane_of, rescale
from omnivmed.window import Window, auto_window

Geometry = tuple[
    tuple[int, int, int] | None,
    tuple[bool, bool, bool] | None,
    NDArray[np.float64] | None,
    Spacing | None,
    NDArray[np.float64] | None,
]
LONG_STACK = 48  # slices from which on reading takes long enough to want something to look at
MOST_BAD = 0.5  # a stack with a larger share of damaged slices is refused


@dataclass
class Slice:
    """One slice: where it comes from and where it lies. `group` holds its functional groups in an enhanced file."""

    upload: Upload | None
    header: Dataset
    place: Place | None
    frame: int = 0
    transform: Dataset | None = None
    window: Window | None = None


def read_stack(slices: Sequence[Slice], limits: Limits, desk: Desk, findings: Findings) -> Reading:
    """Decode single-frame files in order. A damaged one is left out with a warning; many of them refuse the study."""

    def decode(one: Slice) -> NDArray[Any]:
        if one.upload is None:
            raise StudyError("Corrupt", dicom.DAMAGED)
        dataset = dicom.open_dataset(one.upload, limits, pixels=True)
        dicom.require_image(dataset)
        return Frames(dataset, limits, Findings()).decode(0)

    first = slices[len(slices) // 2].header
    if one_window := dicom.window_of(first):
        slices[len(slices) // 2].window = one_window
    return stack_study(slices, decode, limits, desk, findings)


def stack_study(
    slices: Sequence[Slice],
    decode: Callable[[Slice], NDArray[Any]],
    limits: Limits,
    desk: Desk,
    findings: Findings,
) -> Reading:
    """One volume of ordered slices: numbers, one scale, geometry, one window."""
    header = slices[0].header
    scales = [dicom.rescale_of(s.header, findings, s.transform) for s in slices]
    one_scale = len(set(scales)) == 1
    if desk.wants_glimpse and len(slices) >= LONG_STACK:
        _glimpse(slices, scales, decode, desk)
    array, good = _decode_all(slices, scales, one_scale, decode, limits, desk, findings)
    slices = [slices[i] for i in good]
    slope, intercept = scales[0] if one_scale else (1.0, 0.0)
    rgb = array.ndim == 4
    turn_axes, flips, affine, spacing, slice_mm = _geometry(slices, array.shape, findings)
    for one in slices[:1]:
        dicom.note_burned_in(one.header, findings)
    middle = next((s.window for s in slices if s.window is not None), None)
    info = StudyInfo(
        kind="volume",
        channels=3 if rgb else 1,
        spacing_mm=spacing,
        slice_mm=slice_mm,
        affine=affine,
        inverted=not rgb and dicom.inverted(header),
        modality=dicom.modality(header),
        body_part=dicom.body_part(header),
        unit="rgb" if rgb else unit_of(header, findings),
        slope=slope,
        intercept=intercept,
        plane=None if affine is None else plane_of(affine),
    )
    info = with_windows(info, array, middle, dicom.padding_of(header, slope, intercept), findings)
    info = findings.into(stored_facts(info, array, turn_axes, flips))
    return Reading(info, array, turn_axes, flips)


def _geometry(slices: Sequence[Slice], shape: tuple[int, ...], findings: Findings) -> Geometry:
    """(axes, reversals, affine, spacing, places along the normal) of ordered slices; mostly None without places."""
    header = slices[0].header
    turn_axes: tuple[int, int, int] | None = None
    flips: tuple[bool, bool, bool] | None = None
    affine: NDArray[np.float64] | None = None
    spacing: Spacing | None = None
    slice_mm: NDArray[np.float64] | None = None
    places = [s.place for s in slices if s.place is not None]
    if len(places) == len(slices):
        stack = measure(places, findings, dicom.number(header, "SliceThickness"))
        slice_mm = stack.slice_mm
        if stack.affine is not None and usable(stack.affine):
            turn = radiological(stack.affine, slice_axis=0)
            turn_axes, flips = turn.axes, turn.flips
            affine = turned_affine(turn, shape)
            rows_columns = np.linalg.norm(affine[:3, 1:3], axis=0)
            spacing = (stack.step_mm, float(rows_columns[0]), float(rows_columns[1]))
            if flips[0]:
                slice_mm = (slice_mm[-1] - slice_mm)[::-1]
    if affine is None:
        findings.warn(
            "NoOrientation",
            "The files do not say how the patient lies; slices are shown as stored, without letters.",
        )
        in_plane = dicom.pixel_spacing(header)
        spacing = None if in_plane is None else (dicom.number(header, "SpacingBetweenSlices"), *in_plane)
    return turn_axes, flips, affine, spacing, slice_mm


def _glimpse(
    slices: Sequence[Slice],
    scales: list[tuple[float, float]],
    decode: Callable[[Slice], NDArray[Any]],
    desk: Desk,
) -> None:
    """The middle slice to the desk, turned and windowed as the stack will be; nothing when it cannot be decoded."""
    k = len(slices) // 2
    findings = Findings()
    try:
        pixels = decode(slices[k])
        if pixels.ndim != 2:
            return
        axes, flips, affine, spacing, _ = _geometry(slices, (len(slices), *pixels.shape), findings)
        if affine is not None and flips is not None:
            affine[:3, 3] += affine[:3, 0] * (len(slices) - 1 - k if flips[0] else k)
        array = desk.allocate((1, *pixels.shape), pixels.dtype)
        array[0] = pixels
        slope, intercept = scales[k]
        header = slices[k].header
        info = StudyInfo(
            kind="volume",
            spacing_mm=spacing,
            affine=affine,
            inverted=dicom.inverted(header),
            modality=dicom.modality(header),
            body_part=dicom.body_part(header),
            unit=unit_of(header, findings),
            slope=slope,
            intercept=intercept,
            plane=None if affine is None else plane_of(affine),
        )
        padding = dicom.padding_of(header, slope, intercept)
        info = with_windows(info, array, slices[k].window, padding, findings)
        desk.glimpse(Reading(stored_facts(info, array, axes, flips), array, axes, flips))
    except StudyError:
        return  # reading the whole will tell


def _decode_all(
    slices: Sequence[Slice],
    scales: list[tuple[float, float]],
    one_scale: bool,
    decode: Callable[[Slice], NDArray[Any]],
    limits: Limits,
    desk: Desk,
    findings: Findings,
) -> tuple[NDArray[Any], list[int]]:
    """(array of the good slices, their indices). Slices with different scales are stored as float32 in file units."""
    array: NDArray[Any] | None = None
    good: list[int] = []
    first_failure: StudyError | None = None
    for i, one in enumerate(slices):
        try:
            pixels = decode(one)
            if array is None:
                dtype = pixels.dtype if one_scale else np.dtype(np.float32)
                check_bytes((len(slices), *pixels.shape), dtype, limits)
                array = desk.allocate((len(slices), *pixels.shape), dtype)
            if pixels.shape != array.shape[1:]:
                raise StudyError("Corrupt", dicom.DAMAGED)
            if not one_scale:
                pixels = rescale(pixels, *scales[i])
            elif pixels.dtype != array.dtype and not _fits(pixels, array.dtype):
                raise StudyError(
                    "Unsupported", "The slices store different types of numbers; export them again."
                )
            array[len(good)] = pixels
            good.append(i)
        except StudyError as error:
            first_failure = first_failure or error
        desk.progress("decoding", i + 1, len(slices))
    if array is None or len(good) < max(1, (1 - MOST_BAD) * len(slices)):
        raise first_failure or StudyError("Corrupt", dicom.DAMAGED)
    if first_failure is not None:
        findings.warn("Partial", f"{len(slices) - len(good)} damaged slices were left out.")
    return array[: len(good)], good


def _fits(pixels: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether every number can be stored in this type unchanged."""
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return pixels.dtype.kind in "iu" and int(pixels.min()) >= limits.min and int(pixels.max()) <= limits.max


def unit_of(header: Dataset, findings: Findings) -> Any:
    """HU for a CT with a scale to Hounsfield units, else raw."""
    says = str(dicom.value(header, "RescaleType", "HU")).strip().upper()
    return (
        "HU"
        if dicom.modality(header) == "CT" and "BadHeader" not in findings.codes and says == "HU"
        else "raw"
    )


def with_windows(
    info: StudyInfo,
    array: NDArray[Any],
    asked: Window | None,
    padding: tuple[float, float] | None,
    findings: Findings,
) -> StudyInfo:
    """Info with the file's window (when it shows anything), the automatic one, and the one in force.

    Eight-bit stills and loops without a window are ready for display: they are shown as they are.
    """
    if info.channels == 3:
        return info
    step = max(1, array.size // 4_000_000) | 1
    sample = rescale(array.reshape(-1)[::step], info.slope, info.intercept)
    modality = "CT" if info.unit == "HU" else info.modality if info.modality != "CT" else None
    auto = auto_window(sample, modality, info.body_part, padding)
    if asked is not None:
        level, width = asked
        low, high = float(np.min(sample)), float(np.max(sample))
        if level + width / 2 <= low or level - width / 2 >= high:
            findings.note("The display window of the file shows none of its values and was left out.")
            asked = None
    ready = array.dtype == np.uint8 and info.kind != "volume" and float(np.max(sample)) > 31
    plain = (127.5, 255.0) if ready and info.slope == 1.0 and info.intercept == 0.0 else auto
    return replace(info, window=asked or plain, file_window=asked, auto_window=auto)
