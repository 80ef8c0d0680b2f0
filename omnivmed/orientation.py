"""Directions of the patient from an affine: letters at the edges of a picture, and the plane of a stack.

Affines map an index to RAS millimetres: +x is the patient's right, +y anterior, +z superior.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
_POSITIVE = ("R", "A", "S")  # RAS: +x right, +y anterior, +z superior


def letters_of(affine: NDArray[np.float64], plane_axis: int = 0) -> tuple[str, str, str, str] | None:
    """(left, right, top, bottom) of the plane with `plane_axis` of (slice, row, column) fixed, or None when oblique."""
    row_axis, column_axis = [a for a in (0, 1, 2) if a != plane_axis]
    right = direction_letter(affine[:3, column_axis])
    bottom = direction_letter(affine[:3, row_axis])
    if right is None or bottom is None:
        return None
    return (_OPPOSITE[right], right, _OPPOSITE[bottom], bottom)


def direction_letter(vector: NDArray[np.float64]) -> str | None:
    """The patient direction a RAS vector mostly points to, or None for a vector of no length."""
    if not np.all(np.isfinite(vector)) or float(np.abs(vector).max()) == 0.0:
        return None
    axis = int(np.argmax(np.abs(vector)))
    letter = _POSITIVE[axis]
    return letter if vector[axis] > 0 else _OPPOSITE[letter]


def plane_of(affine: NDArray[np.float64], cosine: float = 0.9) -> str:
    """Plane of a stack from its affine: the anatomical axis nearest to the slice normal, oblique beyond 26 degrees."""
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    length = float(np.linalg.norm(normal))
    if length == 0.0:
        return "oblique"
    axis = int(np.argmax(np.abs(normal)))
    if abs(float(normal[axis])) / length < cosine:
        return "oblique"
    return ("sagittal", "coronal", "axial")[axis]
