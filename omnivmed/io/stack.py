"""Geometry of a stack: slices sorted along their normal, steps, gaps, doubles, shear. Pure functions of numbers.

Positions and directions are DICOM's (LPS mm: +x left, +y posterior, +z superior, PS3.3 C.7.6.2.1.1); the affine that
comes out is RAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnivmed.io.job import Findings

SAME_PLACE_MM = 0.01
STEP_TOLERANCE = 0.01  # share of the step: beyond it a step is a gap or uneven
TILT_TOLERANCE = 0.02  # in-plane drift per step, as a share of the step
SAME_DIRECTION = np.cos(np.radians(0.25))  # directions that differ by less are one
COMMON = 1 / 3  # share of the steps that the smallest one must have to be the usual one
MOST_DIGIT = 0.35  # a last digit that is a larger share of the step says nothing about rounding
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Place:
    """Where a slice lies: image position (3,), row and column cosines (6,), (row, column) spacing in mm."""

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing: tuple[float, float] | None

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector row x column."""
        cosines = np.asarray(self.orientation)
        return np.cross(cosines[:3], cosines[3:])

    @property
    def height(self) -> float:
        """Position along the normal in mm."""
        return float(np.dot(self.position, self.normal))


def place_of(
    position: Sequence[float] | None, orientation: Sequence[float] | None, spacing: tuple[float, float] | None
) -> Place | None:
    """A place, or None when a part is missing or the cosines are no two unit vectors at right angles."""
    if position is None or orientation is None:
        return None
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    if (
        abs(np.linalg.norm(row) - 1) > 0.01
        or abs(np.linalg.norm(column) - 1) > 0.01
        or abs(row @ column) > 0.01
    ):
        return None
    x, y, z = (float(v) for v in position)
    a, b, c, d, e, f = (float(v) for v in orientation)
    return Place((x, y, z), (a, b, c, d, e, f), spacing)


def directions(places: Sequence[Place]) -> list[list[int]]:
    """Indices grouped by orientation: both cosines within a quarter of a degree of the group's first."""
    groups: list[tuple[NDArray[np.float64], list[int]]] = []
    for i, place in enumerate(places):
        cosines = np.asarray(place.orientation).reshape(2, 3)
        cosines = cosines / np.linalg.norm(cosines, axis=1, keepdims=True)
        for first, members in groups:
            if ((first * cosines).sum(axis=1) >= SAME_DIRECTION).all():
                members.append(i)
                break
        else:
            groups.append((cosines, [i]))
    return [members for _, members in groups]


def levels(places: Sequence[Place]) -> list[list[int]]:
    """Indices grouped by height along the common normal, lowest first; each group shares one place."""
    normal = places[0].normal
    heights = np.asarray([float(np.dot(p.position, normal)) for p in places])
    order = np.argsort(heights, kind="stable")
    groups: list[list[int]] = []
    last = -np.inf
    for i in order:
        if heights[i] - last > SAME_PLACE_MM:
            groups.append([])
            last = heights[i]
        groups[-1].append(int(i))
    return groups


@dataclass(frozen=True)
class Stack:
    """Steps of an ordered stack: `affine` (slice, row, column, 1) -> RAS mm, `slice_mm` (T,) along the normal."""

    affine: NDArray[np.float64] | None
    step_mm: float | None
    slice_mm: NDArray[np.float64]


def measure(places: Sequence[Place], findings: Findings, thickness: float | None = None) -> Stack:
    """Spacing and affine of ordered slices; warns of gaps, uneven steps and shear.

    The step is the usual one (the median), so that neither a gap nor a slice off its place changes it, and the mean
    over the whole length where places scatter by no more than the digits they are written with. Where steps are uneven,
    the affine runs from the true first place to the true last one; `slice_mm` has every place.
    """
    first = places[0]
    normal = first.normal
    positions = np.asarray([p.position for p in places])
    heights = (positions - positions[0]) @ normal
    if len(places) == 1:
        step = abs(thickness or 1.0)
        step_vector = normal * step
    else:
        step, step_vector = _step(positions, heights, normal, findings)
    shown = step if len(places) > 1 else thickness
    if first.spacing is None:
        return Stack(None, shown, heights)
    cosines = np.asarray(first.orientation)
    lps = np.zeros((3, 4))
    lps[:, 0] = step_vector
    lps[:, 1] = cosines[3:] * first.spacing[0]  # next row: along the column cosines
    lps[:, 2] = cosines[:3] * first.spacing[1]  # next column: along the row cosines
    lps[:, 3] = positions[0]
    affine = np.eye(4)
    affine[:3] = lps * _LPS_TO_RAS[:, None]  # LPS -> RAS
    return Stack(affine, shown, heights)


def _step(
    positions: NDArray[np.float64],
    heights: NDArray[np.float64],
    normal: NDArray[np.float64],
    findings: Findings,
) -> tuple[float, NDArray[np.float64]]:
    """(usual step in mm, step of the affine in LPS mm) of at least two slices."""
    steps = np.diff(heights)
    whole_length = (positions[-1] - positions[0]) / len(steps)
    usual = usual_step(steps)
    ratio = steps / usual
    even = np.abs(ratio - 1) <= _tolerance(usual)
    if only_rounded(positions, heights):
        step = float(heights[-1] / len(steps))
        step_vector = whole_length
    else:
        whole = whole_steps(ratio, _tolerance(usual))
        step = float(steps[even].mean())
        step_vector = np.diff(positions, axis=0)[even].mean(axis=0)
        if not np.all(whole):
            findings.warn(
                "NonUniformSpacing",
                f"Slices lie {steps.min():.2f} to {steps.max():.2f} mm apart, mostly {step:.2f}; "
                "other planes show each at its own place.",
            )
            step_vector = whole_length
        elif gaps := int(np.round(ratio - 1).sum()):
            findings.warn(
                "MissingSlices",
                f"{gaps} slices are missing; other planes keep the gap, filled from both sides.",
            )
    drift = step_vector - (step_vector @ normal) * normal
    if np.linalg.norm(drift) > TILT_TOLERANCE * step:
        angle = float(np.degrees(np.arctan2(np.linalg.norm(drift), abs(step_vector @ normal))))
        findings.warn("GantryTilt", f"The slices are sheared by a gantry tilt of {angle:.1f} degrees.")
    return step, step_vector


def _tolerance(step: float) -> float:
    return max(STEP_TOLERANCE, 2 * SAME_PLACE_MM / step)


def whole_steps(ratio: NDArray[np.float64], tolerance: float, most: float = 50.0) -> NDArray[np.bool_]:
    """Which steps are whole numbers of the usual one, up to `most`; the tolerance grows with the number, to a fifth."""
    allowed = np.minimum(tolerance * np.maximum(1.0, ratio), 0.2)
    return (np.abs(ratio - np.round(ratio)) <= allowed) & (ratio > 0.5) & (ratio < most)


def usual_step(steps: NDArray[np.float64]) -> float:
    """The most common step where a third of the steps have it, else the median one; the smallest where all are whole
    numbers of it and it is as common."""
    ordered = np.sort(steps)
    smallest = float(ordered[0])
    ratio = steps / smallest
    if whole_steps(ratio, _tolerance(smallest), 10.0).all() and (np.round(ratio) == 1).mean() >= COMMON:
        return smallest
    median = float(ordered[(len(ordered) - 1) // 2])
    alike = np.searchsorted(ordered, ordered * (1 + STEP_TOLERANCE), "right") - np.arange(len(ordered))
    most = int(alike.max())
    if most < max(2, COMMON * len(ordered)):
        return median
    found = [float(ordered[i + (most - 1) // 2]) for i in np.flatnonzero(alike == most)]
    return min(found, key=lambda step: abs(step - median))


def only_rounded(positions: NDArray[np.float64], heights: NDArray[np.float64]) -> bool:
    """Whether the places are those of an even ladder, written with too few digits.

    The last digit is the largest power of ten that all coordinates are multiples of; no place is further from the
    ladder than its rounding allows, and the digit is small beside the step.
    """
    count = len(heights)
    if count < 3:
        return False
    step = heights[-1] / (count - 1)
    index = np.arange(count)
    ladder = np.polyval(np.polyfit(index, heights, 1), index)
    off = np.abs(heights - ladder).max()
    for digit in (0.1, 0.01, 0.001):
        if np.abs(positions / digit - np.round(positions / digit)).max() < 1e-3:
            return bool(
                digit <= MOST_DIGIT * step and off <= 0.87 * digit
            )  # half a digit along each of three axes
    return False
