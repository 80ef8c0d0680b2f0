"""FreeSurfer volumes (.mgh, .mgz). The header is nibabel's; the numbers are read under our own limits.

Format: surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat: 284 bytes of header, then big-endian numbers, x fastest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.orient import usable
from omnivmed.io.volume import CUT, check_grid, load_grid, volume_study
from omnivmed.io.volume_time import Parts, flat_axis, slice_in_time
from omnivmed.limits import Limits

HEADER_BYTES = 284
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


def read_mgh(upload: Upload, found: str, limits: Limits, series: int | None, desk: Desk) -> Reading:
    """One volume; of a file with several frames, the first or the one chosen by `series`."""
    findings = Findings()
    with upload.open() as file:
        stream = Stream(file, "gzip" if found == "mgz" else "raw")
        head = np.zeros(HEADER_BYTES, np.uint8)
        if stream.fill(head) < HEADER_BYTES:
            raise StudyError("Corrupt", "The file ends inside its header; export it again.")
        header = MGHHeader(head.tobytes(), check=False)
        x, y, z, count = (int(n) for n in header["dims"])
        declared = np.dtype(_TYPES[int(header["type"])])  # the sniffer has looked at the type
        sizes = (x, y, z)
        if count <= 0:
            raise StudyError("Corrupt", "The volume declares an empty axis; export it again.")
        check_grid(sizes, declared, 1, limits)
        moving = flat_axis(sizes, count) is not None
        shown = count if moving else 1
        parts = Parts() if moving else Parts(count)
        _, volume, _ = parts.choose(series)
        check_grid((x, y, z * shown), declared, 1, limits)
        nbytes = x * y * z * declared.itemsize
        lead = volume * nbytes
        stream.skip(lead, lambda done: desk.progress("reading", done, lead))
        array = load_grid(stream, (x, y, z * shown), declared, 1, desk)
        following = (count - volume - shown) * nbytes
        if following <= limits.raw_voxel_bytes and stream.skip(following) < following:
            raise StudyError("Corrupt", CUT)
        _verify_sum(stream, following, limits)
        told = bytes(head[28:30]) == b"\x00\x01"  # goodRASFlag; nibabel fills in a guess where it is not set
    affine, spacing = _geometry(header, told)
    parts.tell(series, findings)
    choices = parts.choices(series, sizes)
    if moving:
        frames = array.reshape(count, z, y, x)
        return slice_in_time(frames, affine, spacing, findings, step_s=None)
    return volume_study(array, affine, spacing, findings, series=choices)


def _verify_sum(stream: Stream, following: int, limits: Limits) -> None:
    """Read over the tags behind the numbers to the end, so that the check sum of a packed file is known."""
    if following <= limits.raw_voxel_bytes and stream.finish() and not stream.complete:
        raise StudyError("Corrupt", CUT)


def _geometry(
    header: Any, told: bool
) -> tuple[NDArray[np.float64] | None, tuple[float, float, float] | None]:
    """(affine of (x,y,z,1) to RAS mm, spacing in mm); no affine where the file says that its directions are not set."""
    steps = [float(v) for v in header["delta"]]
    spacing = (steps[0], steps[1], steps[2]) if np.isfinite(steps).all() and min(steps) > 0 else None
    if not told:
        return None, spacing
    affine = np.asarray(header.get_affine(), np.float64)
    return (affine if usable(affine) else None), spacing
