"""What NIfTI, NRRD and MHA have in common once their headers are understood: numbers, an affine, one study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.facts import stored_facts
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, Reading, check_bytes, check_plane
from omnivmed.io.orient import radiological, turned_affine, usable
from omnivmed.limits import Limits
from omnivmed.orientation import plane_of
from omnivmed.study import rescale
from omnivmed.study_info import ModalityFrom, Spacing, StudyInfo
from omnivmed.window import Window, auto_window

CUT = "The volume ends before its declared size; export it again."
# Stored types that stay as they are; wider ones become float32.
_KEPT = frozenset(["u1", "i1", "u2", "i2", "u4", "i4", "f4"])


def stored_dtype(declared: np.dtype[Any]) -> np.dtype[Any]:
    """Type in memory of a declared type: native byte order, at most 4 bytes."""
    code = declared.str[1:]
    return np.dtype(code) if code in _KEPT else np.dtype(np.float32)


def check_grid(
    sizes_xyz: tuple[int, int, int], declared: np.dtype[Any], channels: int, limits: Limits
) -> None:
    """Every size above zero, planes and the whole within the limits; before anything is allocated."""
    x, y, z = sizes_xyz
    if min(sizes_xyz) <= 0:
        raise StudyError("Corrupt", "The volume declares an empty axis; export it again.")
    tail = (3,) if channels == 3 else ()
    check_bytes((z, y, x, *tail), stored_dtype(declared), limits)
    check_plane(y, x, limits)


def load_grid(
    stream: Stream,
    sizes_xyz: tuple[int, int, int],
    declared: np.dtype[Any],
    channels: int,
    desk: Desk,
    half_way: Callable[[NDArray[Any]], None] | None = None,
) -> NDArray[Any]:
    """Read (z, y, x[, 3]) numbers, x fastest in the file, into the desk's memory. Corrupt when there are fewer.

    `half_way` is called once with the array, when its slice z // 2 has been read and can be looked at.
    """
    x, y, z = sizes_xyz
    shape = (z, y, x, 3) if channels == 3 else (z, y, x)
    target = stored_dtype(declared)
    array = desk.allocate(shape, target)
    if target.itemsize == declared.itemsize and target.kind == declared.kind:
        flat = array.reshape(-1).view(np.uint8)
        enough = (z // 2 + 1) * (flat.size // z)
        waiting = [half_way] if half_way is not None and declared.isnative else []

        def told(done: int) -> None:
            desk.progress("reading", done, flat.size)
            if waiting and done >= enough:
                waiting.pop()(array)

        if stream.fill(flat, told) < flat.size:
            raise StudyError("Corrupt", CUT)
        if not declared.isnative:
            array.byteswap(inplace=True)
        return array
    for k in range(z):  # wider types go through one slice at a time
        plane = np.empty(array[k].size * declared.itemsize, np.uint8)
        if stream.fill(plane) < plane.size:
            raise StudyError("Corrupt", CUT)
        with np.errstate(over="ignore", invalid="ignore"):
            array[k] = plane.view(declared).reshape(array[k].shape).astype(np.float32)
        desk.progress("reading", k + 1, z)
    return array


LONG_STACK = 48  # slices from which on reading takes long enough to want something to look at


def middle_slice(
    array_zyx: NDArray[Any],
    affine_xyz: NDArray[np.float64] | None,
    spacing_xyz: tuple[float, float, float] | None,
    desk: Desk,
    **more: Any,
) -> None:
    """Slice z // 2 to the desk, turned as `volume_study` will turn the whole; `more` is passed on to it.

    Nothing for short stacks, colour, and grids whose slices will not run along z: a plane across them is not there yet.
    """
    z = len(array_zyx)
    if not desk.wants_glimpse or z < LONG_STACK or array_zyx.ndim != 3:
        return
    shifted = None
    if affine_xyz is not None and usable(affine_xyz):
        if radiological(affine_xyz[:, [2, 1, 0, 3]]).axes[0] != 0:
            return
        shifted = affine_xyz.copy()
        shifted[:3, 3] += shifted[:3, 2] * (z // 2)
    one = desk.allocate((1, *array_zyx.shape[1:]), array_zyx.dtype)
    one[0] = array_zyx[z // 2]
    try:
        reading = volume_study(one, shifted, spacing_xyz, Findings(), **more)
    except StudyError:
        return  # a slice without numbers, say
    reading.info = replace(
        reading.info, kind="volume", spacing_mm=spacing_of_stack(spacing_xyz, reading.info)
    )
    desk.glimpse(reading)


def spacing_of_stack(spacing_xyz: tuple[float, float, float] | None, info: StudyInfo) -> Spacing | None:
    """Spacing of one slice of a stack, with the step of the stack where the file gives it."""
    if info.spacing_mm is None:
        return None
    step = None if spacing_xyz is None else spacing_xyz[2]
    return (step, info.spacing_mm[1], info.spacing_mm[2])


def volume_study(
    array_zyx: NDArray[Any],
    affine_xyz: NDArray[np.float64] | None,
    spacing_xyz: tuple[float, float, float] | None,
    findings: Findings,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    modality: str | None = None,
    modality_from: ModalityFrom = "header",
    series: tuple[dict[str, Any], ...] = (),
    file_window: Window | None = None,
    look_at: NDArray[Any] | None = None,
) -> Reading:
    """A study of (z, y, x[, 3]) numbers; `affine_xyz` maps (x, y, z, 1) to RAS mm, or is None when not known.

    `file_window`: (level, width) in file units that the file asks for. `look_at`: numbers for statistics when they
    are more than the array.
    """
    rgb = array_zyx.ndim == 4
    axes: tuple[int, int, int] | None = None
    flips: tuple[bool, bool, bool] | None = None
    affine: NDArray[np.float64] | None = None
    spacing: Spacing | None = None
    plane: str | None = None
    flat = [axis for axis in range(3) if array_zyx.shape[axis] == 1]
    slice_axis = flat[0] if flat else None  # a single slice, whichever way it is stored
    if affine_xyz is not None and usable(affine_xyz):
        by_index = affine_xyz[:, [2, 1, 0, 3]]  # columns in the array's axis order (z, y, x)
        turn = radiological(by_index, slice_axis)
        axes, flips = turn.axes, turn.flips
        affine = turned_affine(turn, array_zyx.shape)
        s, r, c = (float(v) for v in np.linalg.norm(affine[:3, :3], axis=0))
        spacing = (s, r, c)
        plane = plane_of(affine)
    else:
        findings.warn(
            "NoOrientation",
            "The file does not say how the patient lies; slices are shown as stored, without letters.",
        )
        if spacing_xyz is not None:
            spacing = (spacing_xyz[2], spacing_xyz[1], spacing_xyz[0])
    seen = array_zyx if look_at is None else look_at
    if seen.dtype.kind == "f" and not rgb:
        _note_nonfinite(seen, findings)
    auto = None
    if not rgb:
        step = max(1, seen.size // 4_000_000)
        sample = seen.reshape(-1)[:: step | 1]
        auto = auto_window(rescale(sample, slope, intercept), modality)
    is_image = array_zyx.shape[axes[0] if axes is not None else 0] == 1
    info = StudyInfo(
        kind="image" if is_image else "volume",
        channels=3 if rgb else 1,
        spacing_mm=(None, spacing[1], spacing[2]) if is_image and spacing is not None else spacing,
        window=auto if rgb or file_window is None else file_window,
        file_window=None if rgb else file_window,
        auto_window=auto,
        affine=affine,
        modality=modality,
        modality_from=modality_from,
        unit="rgb" if rgb else "HU" if modality == "CT" else "raw",
        slope=slope,
        intercept=intercept,
        plane=plane,
        series=series,
    )
    info = findings.into(stored_facts(info, array_zyx, axes, flips))
    return Reading(info, array_zyx, axes, flips)


def _note_nonfinite(array: NDArray[Any], findings: Findings) -> None:
    bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in array)
    if bad == array.size:
        raise StudyError("Corrupt", "The volume holds no numbers at all; export it again.")
    if bad:
        findings.warn("NonFinite", f"{bad} voxels are not numbers; they are shown black or white.")
