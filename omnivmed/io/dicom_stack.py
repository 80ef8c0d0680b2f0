"""Decoded DICOM slices to one study: a volume where they lie in a row, a clip where they follow one another in time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io import dicom, dicom_spacing
from omnivmed.io.dicom_file import DAMAGED
from omnivmed.io.dicom_labels import background_of, is_label_map, labels_of
from omnivmed.io.dicom_pixels import Frames
from omnivmed.io.dicom_times import ASSUMED_RATE, order_of, times_of
from omnivmed.io.dicom_volumes import Slice
from omnivmed.io.facts import stored_facts
from omnivmed.io.job import Desk, Findings, Reading, check_bytes
from omnivmed.io.orient import radiological, turned_affine, usable
from omnivmed.io.stack import measure
from omnivmed.io.technical import technical_of
from omnivmed.limits import Limits
from omnivmed.orientation import letters_of, plane_of
from omnivmed.study import rescale
from omnivmed.study_info import Spacing, StudyInfo, TimesFrom
from omnivmed.window import Window, auto_window

Geometry = tuple[
    tuple[int, int, int] | None,
    tuple[bool, bool, bool] | None,
    NDArray[np.float64] | None,
    Spacing | None,
    NDArray[np.float64] | None,
]
Scales = list[tuple[float, float]]
Decode = Callable[[Slice], NDArray[Any]]
LONG_STACK = 48  # slices from which on reading takes long enough to want something to look at
MOST_BAD = 0.5  # a stack with a larger share of damaged slices is refused


def decoder(limits: Limits, opened: Frames | None = None) -> Decode:
    """Pixels of a slice. Frames of one file are found once; files of single frames are let go one by one."""
    held: dict[int, Frames] = {} if opened is None else {id(opened.header): opened}

    def decode(one: Slice) -> NDArray[Any]:
        frames = held.get(id(one.header.whole))
        if frames is None:
            frames = Frames(one.file, limits, Findings())
            held.clear()
            held[id(one.header.whole)] = frames
        if one.frame >= frames.count:
            raise StudyError("Corrupt", DAMAGED)
        return frames.decode(one.frame)

    return decode


def read_volume(
    slices: Sequence[Slice], decode: Decode, limits: Limits, desk: Desk, findings: Findings
) -> Reading:
    """One volume of ordered slices: numbers, one scale, geometry, one window.

    A damaged slice is left out with a warning; many of them refuse the study.
    """
    header = slices[0].header
    scales = [dicom.rescale_of(s.header, findings) for s in slices]
    one_scale = len(set(scales)) == 1
    if desk.wants_glimpse and len(slices) >= LONG_STACK:
        _glimpse(slices, scales, decode, desk)
    array, good = _decode_all(slices, scales, one_scale, decode, limits, desk, findings)
    slices = [slices[i] for i in good]
    slope, intercept = scales[0] if one_scale else (1.0, 0.0)
    turn_axes, flips, affine, spacing, slice_mm = _geometry(slices, array.shape, findings)
    info = replace(
        common(header, array.ndim == 4, slope, intercept, findings),
        kind="volume",
        spacing_mm=spacing,
        slice_mm=slice_mm,
        affine=affine,
        plane=None if affine is None else plane_of(affine),
    )
    info = with_windows(
        info, array, _window(slices, findings), dicom.padding_of(header, slope, intercept), findings
    )
    info = findings.into(stored_facts(info, array, turn_axes, flips))
    return Reading(info, array, turn_axes, flips)


def in_time(slices: Sequence[Slice]) -> tuple[list[Slice], NDArray[np.float64] | None]:
    """Pictures that are no stack, in order of their times where these are told, else of their number; and the times."""
    times = times_of([s.header for s in slices]) if _same_view(slices) else None
    if times is not None:
        order = np.argsort(times, kind="stable")
        return [slices[i] for i in order], times[order]
    return sorted(slices, key=lambda s: (*order_of(s.header), float(s.frame))), None


def _same_view(slices: Sequence[Slice]) -> bool:
    """Pictures of one direction; a turning view is ordered by its number, as its clock says when it was computed."""
    places = [s.place for s in slices if s.place is not None]
    return not places or all(
        np.dot(p.normal, places[0].normal) > 0.99
        and np.linalg.norm(np.subtract(p.position, places[0].position)) < 1
        for p in places
    )


def read_sequence(
    slices: Sequence[Slice], decode: Decode, limits: Limits, desk: Desk, findings: Findings
) -> Reading:
    """Pictures of one place in time, or seen from many sides: a clip. No geometry between them, as there is none."""
    ordered, times = in_time(slices)
    if times is None:
        findings.note(
            "The pictures do not say when they were taken; they are in order of their number, "
            f"{ASSUMED_RATE:g} per second."
        )
    header = ordered[0].header
    scales = [dicom.rescale_of(s.header, findings) for s in ordered]
    one_scale = len(set(scales)) == 1
    array, good = _decode_all(ordered, scales, one_scale, decode, limits, desk, findings)
    ordered = [ordered[i] for i in good]
    times_from: TimesFrom = "assumed" if times is None else "file"
    times = np.arange(len(good)) / ASSUMED_RATE if times is None else times[good] - times[good[0]]
    slope, intercept = scales[0] if one_scale else (1.0, 0.0)
    info = replace(
        common(header, array.ndim == 4, slope, intercept, findings),
        kind="video",
        times_s=times,
        times_from=times_from,
        spacing_mm=plane_spacing(header),
        letters=dicom.edge_letters(header),
    )
    if info.letters is None and _same_view(ordered) and ordered[0].place is not None:
        one = measure([ordered[0].place], Findings()).affine
        if one is not None and usable(one):
            info = replace(info, letters=letters_of(one))
    note_stretch(info, findings)
    info = with_windows(
        info, array, _window(ordered, findings), dicom.padding_of(header, slope, intercept), findings
    )
    return Reading(findings.into(stored_facts(info, array)), array)


def common(header: Any, rgb: bool, slope: float, intercept: float, findings: Findings) -> StudyInfo:
    """What every kind of study says of its picture; the burned-in question is asked here."""
    dicom.note_burned_in(header, findings)
    dicom_spacing.note_spacing(header, findings)
    return StudyInfo(
        spacing_at=dicom_spacing.spacing_at(header),
        labels=() if rgb else labels_of(header, findings),
        background=background_of(header) if not rgb and is_label_map(header) else None,
        kind="image",
        channels=3 if rgb else 1,
        inverted=not rgb and dicom.inverted(header),
        modality=dicom.modality(header),
        body_part=dicom.body_part(header),
        technical=technical_of(header),
        unit="rgb" if rgb else unit_of(header, findings),
        slope=1.0 if rgb else slope,
        intercept=0.0 if rgb else intercept,
        aspect=dicom_spacing.pixel_aspect(header),
    )


def _window(slices: Sequence[Slice], findings: Findings) -> Window | None:
    """The file's window for the middle slice, else the first one that any slice has."""
    middle = dicom.window_of(slices[len(slices) // 2].header, findings)
    if middle is not None:
        return middle
    return next((w for s in slices if (w := dicom.window_of(s.header, findings)) is not None), None)


def plane_spacing(header: Any) -> Spacing | None:
    """(None, row, column) in mm, or None."""
    pair = dicom_spacing.pixel_spacing(header)
    return None if pair is None else (None, *pair)


def note_stretch(info: StudyInfo, findings: Findings) -> None:
    """Stretched where pixels are not square, by their size or by their ratio alone."""
    if info.spacing_mm is not None:
        _, r, c = info.spacing_mm
        if abs(r / c - 1) > 0.02:
            findings.warn(
                "Stretched",
                f"Pixels are not square ({r:.3g} x {c:.3g} mm); they are shown in true proportions.",
            )
    elif abs(info.aspect - 1) > 0.02:
        findings.warn(
            "Stretched",
            f"Pixels are {info.aspect:.3g} times as high as wide; they are shown in true proportions.",
        )


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
        in_plane = dicom_spacing.pixel_spacing(header)
        step = dicom.number(header, "SpacingBetweenSlices")
        step = abs(step) if step else None
        spacing = None if in_plane is None else (step, *in_plane)
    return turn_axes, flips, affine, spacing, slice_mm


def _glimpse(slices: Sequence[Slice], scales: Scales, decode: Decode, desk: Desk) -> None:
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
        info = replace(
            common(header, False, slope, intercept, findings),
            kind="volume",
            spacing_mm=spacing,
            affine=affine,
            plane=None if affine is None else plane_of(affine),
        )
        padding = dicom.padding_of(header, slope, intercept)
        info = with_windows(info, array, dicom.window_of(header), padding, findings)
        desk.glimpse(Reading(stored_facts(info, array, axes, flips), array, axes, flips))
    except StudyError:
        return  # reading the whole will tell


def _decode_all(
    slices: Sequence[Slice],
    scales: Scales,
    one_scale: bool,
    decode: Decode,
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
                dtype = pixels.dtype if one_scale or pixels.ndim == 3 else np.dtype(np.float32)
                check_bytes((len(slices), *pixels.shape), dtype, limits)
                array = desk.allocate((len(slices), *pixels.shape), dtype)
            if pixels.shape != array.shape[1:]:
                raise StudyError("Corrupt", DAMAGED)
            if not one_scale and pixels.ndim == 2:
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
        raise first_failure or StudyError("Corrupt", DAMAGED)
    if first_failure is not None:
        findings.warn("Partial", f"{len(slices) - len(good)} damaged slices were left out.")
    return array[: len(good)], good


def _fits(pixels: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether every number can be stored in this type unchanged."""
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return pixels.dtype.kind in "iu" and int(pixels.min()) >= limits.min and int(pixels.max()) <= limits.max


def unit_of(header: Any, findings: Findings) -> Any:
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
    if info.background is not None:
        if array.dtype in (np.uint8, np.uint16) and (info.slope, info.intercept) == (1.0, 0.0):
            return info  # no window: numbers are labels
        info = replace(info, labels=(), background=None)
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


def fingerprint(one: Slice, decode: Decode) -> str:
    """What identifies the pixels of a slice and their scale."""
    pixels = np.ascontiguousarray(decode(one))
    return hashlib.sha256(pixels.data).hexdigest() + str(dicom.rescale_of(one.header, Findings()))
