"""Where a NIfTI lies: its two orientations, as nifti1.h computes them, and whether they say the same.

The standard allows a qform (turn and shift) and an sform (any affine) side by side and ranks neither. Readers differ:
nibabel takes the sform whenever its code is above zero, ITK 5.4 the qform unless the sform code is 1. So when they
disagree both are offered, the sform first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.io.facts import finite
from omnivmed.io.job import Findings
from omnivmed.io.orient import usable

MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units & 7: unknown, metre, millimetre, micron
S_PER_UNIT = {
    0: 1.0,
    8: 1.0,
    16: 0.001,
    24: 0.000_001,
}  # xyzt_units & 56: unknown, second, millisecond, microsecond
DISPUTE = 0.1  # corners of the grid that lie further apart than this part of the smallest voxel side
SKEW = 0.01  # cosine between axes from which on they are not at right angles (0.6 degrees)

Affine = NDArray[np.float64]


def places(
    header: Any, sizes_xyz: tuple[int, int, int], findings: Findings
) -> tuple[list[Affine | None], tuple[str, ...], tuple[float, float, float] | None]:
    """(affines of (x,y,z,1) to RAS mm, names to choose by, pixdim in mm or None).

    One affine (or None where the file gives none) and no names, unless the two orientations disagree: then sform and
    qform. NIfTI is RAS+ already: nothing is flipped.
    """
    mm = MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    pixdim = [finite(abs(float(v)) * mm, 0.0) or 0.0 for v in header["pixdim"][1:4]]
    spacing = (pixdim[0], pixdim[1], pixdim[2]) if min(pixdim) > 0 else None
    by_s = _scaled(sform_of(header), mm) if int(header["sform_code"]) > 0 else None
    by_q = _scaled(qform_of(header), mm) if int(header["qform_code"]) > 0 else None
    said = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    good_s, good_q = (a if a is not None and usable(a) else None for a in (by_s, by_q))
    first = good_s if int(header["sform_code"]) > 0 else good_q
    if first is None:
        if said:
            findings.warn("BadHeader", "The orientation in the header is damaged and was left out.")
        return [None], (), spacing
    if good_s is not None and skewed(good_s):
        findings.warn(
            "GantryTilt",
            "The axes of the volume are not at right angles (its sform is sheared); slices are shown as stored, and "
            "other viewers may place them otherwise.",
        )
    if good_s is None or good_q is None:
        return [first], (), spacing
    apart = corner_distance(good_s, good_q, sizes_xyz)
    if apart <= DISPUTE * float(np.linalg.norm(good_s[:3, :3], axis=0).min()):
        return [good_s], (), spacing
    findings.warn(
        "BadHeader",
        f"The file holds two orientations that lie up to {apart:.3g} mm apart, sform and qform; other viewers may "
        "take the one that is not shown here. Choose between them in the list of volumes.",
    )
    return [good_s, good_q], _names(int(header["sform_code"])), spacing


def _names(sform_code: int) -> tuple[str, str]:
    """The two ways in words. ITK 5.4 takes the sform only where its code is 1, beside a qform."""
    if sform_code == 1:
        return "placed by the sform (as nibabel and ITK do)", "placed by the qform"
    return "placed by the sform (as nibabel does)", "placed by the qform (as ITK does)"


def sform_of(header: Any) -> Affine:
    """Method 3 of nifti1.h: the three rows as stored."""
    affine = np.eye(4)
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        affine[row] = np.asarray(header[name], np.float64)
    return affine


def qform_of(header: Any) -> Affine | None:
    """Method 2 of nifti1.h: a turn from a quaternion, pixdim, and a shift; None for voxels without a size.

    pixdim[0] is qfac: below zero the third axis is mirrored, anything else, zero included, means +1. A quaternion
    longer than one by rounding is taken as a turn by 180 degrees (nifti1.h and nifti1_io.c, quatern_to_mat44).
    """
    b, c, d = (float(header[f"quatern_{n}"]) for n in "bcd")
    steps = np.asarray(header["pixdim"][1:4], np.float64)
    shift = np.asarray([header[f"qoffset_{n}"] for n in "xyz"], np.float64)
    length = b * b + c * c + d * d
    if not np.isfinite(length) or length > 1.01 or not np.all(steps > 0):
        return None
    a = float(np.sqrt(max(0.0, 1.0 - length)))
    if 1.0 - length < 1e-7:
        norm = float(np.sqrt(length))
        a, b, c, d = 0.0, b / norm, c / norm, d / norm
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    qfac = -1.0 if float(header["pixdim"][0]) < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = turn * steps * np.array([1.0, 1.0, qfac])
    affine[:3, 3] = shift
    return affine


def skewed(affine: Affine) -> bool:
    """Whether two axes are not at right angles."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > SKEW)


def corner_distance(one: Affine, other: Affine, sizes_xyz: tuple[int, int, int]) -> float:
    """Largest distance in mm between the places that two affines give to a corner of the grid."""
    ends = [(0, n - 1) for n in sizes_xyz]
    corners = np.array([[x, y, z, 1.0] for x in ends[0] for y in ends[1] for z in ends[2]])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def step_s_of(header: Any) -> float | None:
    """Seconds from volume to volume: pixdim[4] in the unit of time of xyzt_units; None without either.

    Without a unit a number other than 1, which writers put there unasked, is taken as seconds.
    """
    unit = S_PER_UNIT.get(int(header["xyzt_units"]) & 56)
    step = finite(header["pixdim"][4])
    if unit is None or step is None or step <= 0 or step * unit > 1e6:
        return None
    unasked = int(header["xyzt_units"]) & 56 == 0 and step == 1.0
    return None if unasked else step * unit


def _scaled(affine: Affine | None, mm: float) -> Affine | None:
    if affine is None:
        return None
    scaled = affine.copy()
    scaled[:3] *= mm
    return scaled
