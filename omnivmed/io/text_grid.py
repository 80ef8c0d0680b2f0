"""What NRRD and MetaImage have in common: a text header, then numbers; one component of one volume of them is shown."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.facts import finite
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, LocalDesk, Reading
from omnivmed.io.volume import CUT, check_grid, load_grid, volume_study
from omnivmed.io.volume_time import Parts, flat_axis, load_component, slice_in_time
from omnivmed.limits import Limits

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
BAD = "The header of the volume is damaged; export it again."
DETACHED = "The header points to image data in another file; save both as one file (.nrrd or .mha)."
UNREAD_TYPE = "This type of numbers is not read; save the volume as 16-bit integers or floats."
MAX_COMPONENTS = 4096

# As the header is read byte by byte, a micro sign in UTF-8 comes as two letters.
_MICRO = ("um", "micron", "micrometer", "micrometre", "\u00b5m", "\u03bcm", "\u00e2\u00b5m", "\u00ee\u00bcm")
_MM = {
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 10.0),
    **dict.fromkeys(("m", "meter", "metre"), 1000.0),
    **dict.fromkeys(_MICRO, 1e-3),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-6),
    **dict.fromkeys(("in", "inch"), 25.4),
}
_S = {"s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "us": 1e-6, "min": 60.0,
      "minute": 60.0}  # fmt: skip


def mm_of(unit: str) -> float | None:
    """Millimetres of a unit of length; 1 where none is named, None for a word that is not known."""
    word = unit.strip().strip('"').strip().lower()
    if word in ("", "?", "none"):
        return 1.0
    return _MM.get(word, _MM.get(word.removesuffix("s")))


def seconds_of(unit: str) -> float | None:
    """Seconds of a unit of time; None for none or a word that is not known."""
    word = unit.strip().strip('"').strip().lower()
    return _S.get(word, _S.get(word.removesuffix("s")))


def quoted(text: str) -> list[str]:
    """'"mm" "mm" ""' or 'mm mm' as words."""
    return [a or b for a, b in re.findall(r'"([^"]*)"|([^\s"]+)', text)]


def parts_of(
    before: list[int], after: list[int], declared: np.dtype[Any], colour: bool, step_s: float | None
) -> tuple[int, int, Parts]:
    """(numbers per voxel in the file, 1 or 3 shown of them, what there is to choose) of the axes beside space."""
    fast = int(np.prod(before, dtype=object)) if before else 1
    count = int(np.prod(after, dtype=object)) if after else 1
    if fast <= 0 or count <= 0:
        raise StudyError("Corrupt", BAD)
    if fast > MAX_COMPONENTS:
        raise StudyError(
            "Unsupported", f"Volumes with {fast} numbers per voxel are not read; save some of them."
        )
    if colour and fast == 3 and declared == np.uint8:
        return 3, 3, Parts(count, 1, step_s)
    return fast, 1, Parts(count, fast, step_s)


def load_parts(
    stream: Stream,
    sizes: tuple[int, int, int],
    declared: np.dtype[Any],
    fast: int,
    channels: int,
    parts: Parts,
    timed: bool,
    woven: bool,
    series: int | None,
    limits: Limits,
    desk: Desk,
    findings: Findings,
    affine: NDArray[np.float64] | None,
    spacing: tuple[float, float, float] | None,
    *,
    modality: str | None,
) -> Reading:
    """The study of the chosen component and volume; of one slice over time (`timed`), all of it as a clip.

    `woven`: the volumes lie voxel by voxel, as components do.
    """
    moving = timed and flat_axis(sizes, parts.volumes) is not None
    times = parts.volumes if moving else 1
    chosen = Parts(1, parts.components, parts.step_s) if moving else parts
    _, volume, component = chosen.choose(series)
    x, y, z = sizes
    if woven:
        return _unwoven(
            stream,
            sizes,
            declared,
            parts,
            moving,
            volume,
            series,
            limits,
            desk,
            findings,
            affine,
            spacing,
            modality,
        )
    grid = (x, y, z * times)
    check_grid(sizes, declared, channels, limits)
    check_grid(grid, declared, channels, limits)
    nbytes = x * y * z * fast * declared.itemsize
    lead = volume * nbytes
    stream.skip(lead, lambda done: desk.progress("reading", done, lead))
    if fast == channels:
        array = load_grid(stream, grid, declared, channels, desk)
    else:
        array = load_component(stream, grid, declared, fast, component, limits, desk)
    following = (parts.volumes - (volume + 1) * times) * nbytes
    if following <= limits.raw_voxel_bytes and (
        stream.skip(following) < following or not _ended(stream, findings)
    ):
        raise StudyError("Corrupt", CUT)
    chosen.tell(series, findings)
    if moving:
        choices = chosen.choices(series, sizes, "video", times)
        frames = array.reshape(times, z, *array.shape[1:])
        return slice_in_time(
            frames, affine, spacing, findings, step_s=parts.step_s, modality=modality, series=choices
        )
    choices = chosen.choices(series, sizes)
    return volume_study(array, affine, spacing, findings, modality=modality, series=choices)


def _unwoven(
    stream: Stream,
    sizes: tuple[int, int, int],
    declared: np.dtype[Any],
    parts: Parts,
    moving: bool,
    volume: int,
    series: int | None,
    limits: Limits,
    desk: Desk,
    findings: Findings,
    affine: NDArray[np.float64] | None,
    spacing: tuple[float, float, float] | None,
    modality: str | None,
) -> Reading:
    """One of the volumes that lie voxel by voxel, or of one slice all of them as a clip."""
    x, y, z = sizes
    count = parts.volumes
    check_grid((x, y, z * count) if moving else sizes, declared, 1, limits)
    if moving:
        mixed = load_grid(stream, (count * x, y, z), declared, 1, LocalDesk(limits))
        frames = desk.allocate((count, z, y, x), mixed.dtype)
        frames[...] = np.moveaxis(mixed.reshape(z, y, x, count), -1, 0)
    else:
        array = load_component(stream, sizes, declared, count, volume, limits, desk)
    if not _ended(stream, findings):
        raise StudyError("Corrupt", CUT)
    if moving:
        return slice_in_time(frames, affine, spacing, findings, step_s=parts.step_s, modality=modality)
    parts.tell(series, findings)
    choices = parts.choices(series, sizes)
    return volume_study(array, affine, spacing, findings, modality=modality, series=choices)


def _ended(stream: Stream, findings: Findings) -> bool:
    if not stream.finish():
        findings.warn(
            "BadHeader", "More data follow the volume than its header declares; they were left out."
        )
        return True
    return stream.complete


def floats(text: str) -> list[float]:
    """Numbers of a header line; [] where one of them is no finite number."""
    parts = [finite(p) for p in text.split()]
    return [p for p in parts if p is not None] if all(p is not None for p in parts) else []


def integers(text: str) -> list[int]:
    """Whole numbers of a header line. Raises StudyError (Corrupt) for anything else."""
    parts = text.split()
    if not all(re.fullmatch(r"-?\d{1,18}", p) for p in parts):
        raise StudyError("Corrupt", BAD)
    return [int(p) for p in parts]


def true(text: str) -> bool:
    """Whether a header says yes: true, 1 or yes, in any case."""
    return text.strip().lower() in ("true", "1", "yes")
