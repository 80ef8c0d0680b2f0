"""Turn a voxel grid to the radiological display without copying it.

Works on index axes of the array as read, and an affine from those indices to RAS millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

# RAS direction (axis, sign) of (slice, row, column) per plane: +x right, +y anterior, +z superior.
# axial: slices to superior, rows to posterior, columns to the patient's left; the others likewise, all with
# column x row = slice in DICOM's right-handed sense (PS3.3 C.7.6.2.1.1).
_DISPLAY: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "axial": ((2, +1), (1, -1), (0, -1)),
    "coronal": ((1, -1), (2, -1), (0, -1)),
    "sagittal": ((0, +1), (2, -1), (1, -1)),
}
_PLANE_OF_NORMAL = ("sagittal", "coronal", "axial")
ANISOTROPIC = 1.2  # an axis this much coarser than both others was the slice axis of the scan


@dataclass(frozen=True)
class Turn:
    """How to look at the array: `array.transpose(axes)`, then reverse where `flips`; and the affine afterwards."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    affine: NDArray[np.float64]


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Step in mm along each index axis (distance between neighbours, not between planes)."""
    a, b, c = np.linalg.norm(affine[:3, :3], axis=0)
    return (float(a), float(b), float(c))


def usable(affine: NDArray[np.float64] | None) -> bool:
    """Finite and invertible within reason."""
    if affine is None or affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
        return False
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if steps.min() < 1e-6 or steps.max() > 1e6:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / steps)) > 1e-3)


def slice_axis_of(affine: NDArray[np.float64]) -> int:
    """The coarsest axis when it stands out, else the one nearest to head-foot."""
    steps = np.asarray(spacing_of(affine))
    coarsest = int(np.argmax(steps))
    if steps[coarsest] > ANISOTROPIC * np.delete(steps, coarsest).max():
        return coarsest
    return nearest_axes(affine).index(2)


def nearest_axes(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """For each index axis the RAS axis it mostly runs along, each used once."""
    directions = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    best = max(permutations(range(3)), key=lambda p: sum(directions[p[i], i] for i in range(3)))
    return (best[0], best[1], best[2])


def radiological(affine: NDArray[np.float64], slice_axis: int | None = None) -> Turn:
    """The turn that shows this grid as a workstation would; `slice_axis` overrides the choice of the stack axis."""
    chosen = slice_axis_of(affine) if slice_axis is None else slice_axis
    ras = nearest_axes(affine)
    plane = _PLANE_OF_NORMAL[ras[chosen]]
    axes: list[int] = []
    flips: list[bool] = []
    for wanted, sign in _DISPLAY[plane]:
        axis = ras.index(wanted)
        axes.append(axis)
        flips.append(bool(np.sign(affine[wanted, axis]) * sign < 0))
    a = (axes[0], axes[1], axes[2])
    f = (flips[0], flips[1], flips[2])
    return Turn(a, f, affine)


def turned_affine(turn: Turn, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Affine of the turned index: (slice, row, column, 1) -> RAS mm, for an array of this original shape."""
    new = np.eye(4)
    origin = turn.affine[:3, 3].copy()
    for place, (axis, flipped) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        step = turn.affine[:3, axis]
        new[:3, place] = -step if flipped else step
        if flipped:
            origin = origin + step * (shape[axis] - 1)
    new[:3, 3] = origin
    return new
