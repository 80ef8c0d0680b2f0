"""NIfTI-1 and NIfTI-2 in one file, plain or gzip. The header is nibabel's; the numbers are read under our own limits.

Lengths and the gzip check sum are verified here: a cut or damaged file is refused, never padded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.facts import MAX_SCALE, finite, scale
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.nifti_places import places, step_s_of
from omnivmed.io.volume import CUT, check_grid, load_grid, middle_slice, volume_study
from omnivmed.io.volume_time import Parts, flat_axis, slice_in_time
from omnivmed.limits import Limits
from omnivmed.window import Window

_INTENTS = {1006: "a displacement field (NIfTI intent 1006)", 1007: "a field of vectors (NIfTI intent 1007)"}
_RGB24, _RGBA32 = 128, 2304


def read_nifti(upload: Upload, found: str, limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One volume; of a file with several, the first or the one chosen by `series`."""
    findings = Findings()
    with upload.open() as file:
        stream = Stream(file, "gzip" if found == "nifti-gz" else "raw")
        head = _take(stream, 348)
        second = head[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")
        if second:
            head += _take(stream, 540 - 348)
        kind: type[Nifti1Header] = Nifti2Header if second else Nifti1Header
        header = kind(head, check=False)
        if bytes(header["magic"])[:2] == b"ni":
            raise StudyError(
                "Unsupported", "This is a header without its image data; save both as one .nii file."
            )
        sizes, times, count = _sizes(header)
        declared, channels = _dtype(header)
        check_grid(sizes, declared, channels, limits)
        slope, intercept = _scale(header, findings)
        offset = finite(header["vox_offset"], -1.0)
        if (
            offset is None
            or not len(head) <= offset <= len(head) + limits.header_bytes
            or offset != int(offset)
        ):
            raise StudyError(
                "Corrupt", "The NIfTI header gives an impossible start of the data; export it again."
            )
        affines, ways, spacing = places(header, sizes, findings)
        moving = flat_axis(sizes, times) is not None
        volumes = count // times if moving else count
        as_components = times == 1  # axes behind time: directions of a vector, echoes
        parts = Parts(
            1 if as_components else volumes, volumes if as_components else 1, step_s_of(header), ways
        )
        way, volume, component = parts.choose(series)
        volume += component  # one of both is zero
        x, y, z = sizes
        shown = times if moving else 1  # volumes read: a slice in time is read as a whole
        nbytes = x * y * z * channels * declared.itemsize
        if moving:
            check_grid((x, y, z * times), declared, channels, limits)
        if found == "nifti" and upload.size < int(offset) + nbytes * count:
            raise StudyError("Corrupt", CUT)
        lead = int(offset) - len(head) + volume * shown * nbytes
        if stream.skip(lead, lambda done: desk.progress("reading", done, lead)) < lead:
            raise StudyError("Corrupt", CUT)
        _intent(header, findings)
        window = _window(header)
        affine = affines[way]
        more: dict[str, Any] = {"slope": slope, "intercept": intercept, "file_window": window}
        more["modality_from"] = "numbers"

        def half_way(grid: NDArray[Any]) -> None:
            told = _modality(grid[z // 2][None], slope, intercept)
            middle_slice(grid, affine, spacing, desk, modality=told, **more)

        grid = (x, y, z * shown)
        array = load_grid(stream, grid, declared, channels, desk, None if moving else half_way)
        _verify_end(stream, (count - (volume + 1) * shown) * nbytes, limits, findings)
    more["modality"] = _modality(array, slope, intercept)
    parts.tell(series, findings)
    if moving:
        more["series"] = parts.choices(series, sizes, "video", times)
        frames = array.reshape(times, z, *array.shape[1:])
        return slice_in_time(frames, affine, spacing, findings, step_s=parts.step_s, **more)
    more["series"] = parts.choices(series, sizes)
    return volume_study(array, affine, spacing, findings, **more)


def _take(stream: Stream, n: int) -> bytes:
    parts = b""
    while len(parts) < n:
        part = stream.read(n - len(parts))
        if not part:
            raise StudyError("Corrupt", "The NIfTI file ends inside its header; export it again.")
        parts += part
    return parts


def _sizes(header: Any) -> tuple[tuple[int, int, int], int, int]:
    """((x, y, z), time points, number of volumes); trailing axes of length one do not count."""
    dims = [int(d) for d in header["dim"]]
    if not 1 <= dims[0] <= 7 or any(d <= 0 for d in dims[1 : dims[0] + 1]):
        raise StudyError("Corrupt", "The NIfTI header declares an impossible shape; export it again.")
    used = [*dims[1 : dims[0] + 1], 1, 1][:7]
    x, y, z = (*used, 1, 1)[:3]
    count = 1
    for d in dims[4 : dims[0] + 1]:
        count *= d
    return (x, y, z), dims[4] if dims[0] >= 4 else 1, count


def _dtype(header: Any) -> tuple[np.dtype[Any], int]:
    code = int(header["datatype"])
    if code == _RGB24:
        return np.dtype(np.uint8), 3
    if code == _RGBA32:
        raise StudyError(
            "Unsupported", "NIfTI volumes with transparency are not read; save it as RGB or grey."
        )
    try:
        dtype = header.get_data_dtype()
    except Exception:
        raise StudyError(
            "Corrupt", "The NIfTI header names an unknown type of numbers; export it again."
        ) from None
    if dtype.kind == "c":
        raise StudyError("Unsupported", "Complex-valued volumes are not read; save magnitude or phase.")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise StudyError(
            "Unsupported", "This type of numbers is not read; save the volume as 16-bit integers or floats."
        )
    return dtype, 1


def _scale(header: Any, findings: Findings) -> tuple[float, float]:
    """scl_slope and scl_inter; slope 0 means no scaling (NIfTI-1, 'Data scaling')."""
    raw_slope, raw_inter = float(header["scl_slope"]), float(header["scl_inter"])
    slope, inter = finite(raw_slope), finite(raw_inter)
    if slope == 0.0 or (np.isnan(raw_slope) and (np.isnan(raw_inter) or raw_inter == 0)):
        return 1.0, 0.0
    found = scale(slope, inter)
    if found is None:
        findings.warn(
            "BadHeader", "The scaling in the header is not a number; stored values are shown as they are."
        )
        return 1.0, 0.0
    return found


def _window(header: Any) -> Window | None:
    """cal_min and cal_max as the file's window: what is shown black and white, in file units (nifti1.h)."""
    low, high = finite(header["cal_min"]), finite(header["cal_max"])
    if low is None or high is None or not low < high or max(abs(low), abs(high)) > MAX_SCALE:
        return None
    return ((low + high) / 2, high - low)


def _intent(header: Any, findings: Findings) -> None:
    """Vectors are named: their numbers are no grey values (nifti1.h, intent codes)."""
    what = _INTENTS.get(int(header["intent_code"]))
    if what is not None:
        findings.note(f"This is {what}: its numbers are lengths along axes, not a picture.")


def _verify_end(stream: Stream, following: int, limits: Limits, findings: Findings) -> None:
    """Read over the volumes that follow so that their presence and the check sum are known, within the limits."""
    if following > limits.raw_voxel_bytes:
        findings.note("The volumes after the one shown were not checked.")
        return
    if stream.skip(following) < following:
        raise StudyError("Corrupt", CUT)
    if not stream.finish():
        findings.warn(
            "BadHeader", "More data follow the volume than its header declares; they were left out."
        )
    elif not stream.complete:
        raise StudyError("Corrupt", CUT)


def _modality(array: NDArray[Any], slope: float, intercept: float) -> str | None:
    """CT when the numbers can only be Hounsfield units: NIfTI names no modality.

    Air at or below -900 and bone above 200 in signed 16-bit or float numbers, nothing outside -3100..32767, and at
    least a hundredth of the voxels close to air (-1100..-900) or at a padding value below it.
    """
    if array.ndim != 3 or (array.dtype.kind == "u" and intercept >= 0):
        return None
    step = max(1, array.size // 2_000_000) | 1
    sample = array.reshape(-1)[::step].astype(np.float32) * slope + intercept
    sample = sample[np.isfinite(sample)]
    if sample.size < 1000 or sample.min() > -900 or sample.min() < -3100 or sample.max() < 200:
        return None
    airy = np.count_nonzero(sample < -900) / sample.size
    soft = np.count_nonzero((sample > -200) & (sample < 300)) / sample.size
    return "CT" if airy > 0.01 and soft > 0.02 else None
