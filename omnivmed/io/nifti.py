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
from omnivmed.io.facts import finite, scale
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.orient import usable
from omnivmed.io.volume import CUT, check_grid, load_grid, middle_slice, volume_choices, volume_study
from omnivmed.limits import Limits

_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units & 7: unknown, metre, millimetre, micron
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
        sizes, count = _sizes(header)
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
        chosen = 0 if series is None else series
        if not 0 <= chosen < count:
            raise StudyError("Unsupported", f"There is no volume {chosen + 1}; the file has {count}.")
        x, y, z = sizes
        nbytes = x * y * z * channels * declared.itemsize
        if found == "nifti" and upload.size < int(offset) + nbytes * count:
            raise StudyError("Corrupt", CUT)
        lead = int(offset) - len(head) + chosen * nbytes
        if stream.skip(lead, lambda done: desk.progress("reading", done, lead)) < lead:
            raise StudyError("Corrupt", CUT)
        affine, spacing = _geometry(header, findings)

        def half_way(grid: NDArray[Any]) -> None:
            told = _modality(grid[z // 2][None], slope, intercept)
            middle_slice(grid, affine, spacing, desk, slope=slope, intercept=intercept, modality=told)

        array = load_grid(stream, sizes, declared, channels, desk, half_way)
        _verify_end(stream, (count - 1 - chosen) * nbytes, limits, findings)
    if count > 1:
        findings.warn("MultiVolume", f"The file holds {count} volumes; number {chosen + 1} is shown.")
    choices = volume_choices(count, chosen, sizes) if count > 1 else ()
    return volume_study(
        array,
        affine,
        spacing,
        findings,
        slope=slope,
        intercept=intercept,
        series=choices,
        modality=_modality(array, slope, intercept),
    )


def _take(stream: Stream, n: int) -> bytes:
    parts = b""
    while len(parts) < n:
        part = stream.read(n - len(parts))
        if not part:
            raise StudyError("Corrupt", "The NIfTI file ends inside its header; export it again.")
        parts += part
    return parts


def _sizes(header: Any) -> tuple[tuple[int, int, int], int]:
    """((x, y, z), number of volumes); trailing axes of length one do not count."""
    dims = [int(d) for d in header["dim"]]
    if not 1 <= dims[0] <= 7 or any(d <= 0 for d in dims[1 : dims[0] + 1]):
        raise StudyError("Corrupt", "The NIfTI header declares an impossible shape; export it again.")
    used = [*dims[1 : dims[0] + 1], 1, 1][:7]
    x, y, z = (*used, 1, 1)[:3]
    count = 1
    for d in dims[4 : dims[0] + 1]:
        count *= d
    return (x, y, z), count


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


def _geometry(
    header: Any, findings: Findings
) -> tuple[NDArray[np.float64] | None, tuple[float, float, float] | None]:
    """(affine of (x,y,z,1) to RAS mm or None, pixdim in mm or None). NIfTI is RAS+ already: nothing is flipped."""
    mm = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    pixdim = [finite(abs(float(v)) * mm, 0.0) or 0.0 for v in header["pixdim"][1:4]]
    spacing = (pixdim[0], pixdim[1], pixdim[2]) if min(pixdim) > 0 else None
    affine: NDArray[np.float64] | None = None
    try:
        if int(header["sform_code"]) > 0:
            affine = np.asarray(header.get_sform(), dtype=np.float64)
        elif int(header["qform_code"]) > 0:
            affine = np.asarray(header.get_qform(), dtype=np.float64)
    except Exception:
        findings.warn("BadHeader", "The orientation in the header is damaged and was left out.")
        return None, spacing
    if affine is None:
        return None, spacing
    affine = affine.copy()
    affine[:3] *= mm
    if not usable(affine):
        findings.warn("BadHeader", "The orientation in the header is damaged and was left out.")
        return None, spacing
    return affine, spacing


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
