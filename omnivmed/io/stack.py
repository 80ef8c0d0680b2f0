"""Geometry of a stack: slices sorted along their normal, steps, gaps, doubles, shear. Pure functions of numbers.

Positions and directions are DICOM's (LPS mm: +x left, +y posterior, +z superior, PS3.3 C.7.6.2.1.1); the affine that
comes out is RAS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnivmed.io.job import Findings

SAME_PLACE_MM = 0.01
STEP_TOLERANCE = 0.01  # share of the step: beyond it a step is a gap or uneven
TILT_TOLERANCE = 0.02  # in-plane drift per step, as a share of the step
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


def split_volumes(
    groups: list[list[int]],
    rank: Callable[[int], tuple[float, ...]],
    fingerprint: Callable[[int], str],
    findings: Findings,
) -> list[list[int]]:
    """Volumes of one slice per level. Doubles with equal pixels are dropped; different ones are further volumes.

    `rank` orders slices of one level (acquisition, time, instance); `fingerprint` identifies their pixels and is only
    asked for where a level holds several.
    """
    kept: list[list[int]] = []
    dropped = 0
    for group in groups:
        if len(group) == 1:
            kept.append(group)
            continue
        seen: dict[str, int] = {}
        for i in sorted(group, key=rank):
            seen.setdefault(fingerprint(i), i)
        dropped += len(group) - len(seen)
        kept.append(list(seen.values()))
    if dropped:
        findings.warn("DuplicateSlices", f"{dropped} slices were there twice and were left out.")
    counts = {len(g) for g in kept}
    if counts == {1}:
        return [[g[0] for g in kept]]
    most = max(counts)
    if len(counts) == 1:
        return [[g[v] for g in kept] for v in range(most)]
    findings.warn("DuplicateSlices", "Some places hold several different slices; the first of each is shown.")
    return [[g[0] for g in kept]]


@dataclass(frozen=True)
class Stack:
    """Steps of an ordered stack: `affine` (slice, row, column, 1) -> RAS mm, `slice_mm` (T,) along the normal."""

    affine: NDArray[np.float64] | None
    step_mm: float | None
    slice_mm: NDArray[np.float64]


def measure(places: Sequence[Place], findings: Findings, thickness: float | None = None) -> Stack:
    """Spacing and affine of ordered slices; warns of gaps, uneven steps and shear.

    The step is the smallest one, not the average, so that a gap does not stretch the rest.
    """
    first = places[0]
    normal = first.normal
    positions = np.asarray([p.position for p in places])
    heights = (positions - positions[0]) @ normal
    if len(places) == 1:
        step, step_vector = thickness or 1.0, normal * (thickness or 1.0)
    else:
        steps = np.diff(heights)
        step = float(steps.min())
        ratio = steps / step
        tolerance = np.maximum(STEP_TOLERANCE, 2 * SAME_PLACE_MM / step) * np.maximum(1.0, ratio)
        whole = np.abs(ratio - np.round(ratio)) <= tolerance
        gaps = int(np.round(ratio[whole] - 1).sum())
        if not np.all(whole):
            findings.warn(
                "NonUniformSpacing",
                f"Slices lie {steps.min():.2f} to {steps.max():.2f} mm apart; distances between slices are not exact.",
            )
        elif gaps > 0:
            findings.warn(
                "MissingSlices", f"{gaps} slices are missing; those around the gap are shown side by side."
            )
        even = np.abs(ratio - 1) <= tolerance
        vectors = np.diff(positions, axis=0)[even]
        step = float(steps[even].mean())
        step_vector = vectors.mean(axis=0)
        drift = step_vector - (step_vector @ normal) * normal
        if np.linalg.norm(drift) > TILT_TOLERANCE * step:
            angle = float(np.degrees(np.arctan2(np.linalg.norm(drift), step)))
            findings.warn("GantryTilt", f"The slices are sheared by a gantry tilt of {angle:.1f} degrees.")
    if first.spacing is None:
        return Stack(None, step if len(places) > 1 else thickness, heights)
    cosines = np.asarray(first.orientation)
    lps = np.zeros((3, 4))
    lps[:, 0] = step_vector
    lps[:, 1] = cosines[3:] * first.spacing[0]  # next row: along the column cosines
    lps[:, 2] = cosines[:3] * first.spacing[1]  # next column: along the row cosines
    lps[:, 3] = positions[0]
    affine = np.eye(4)
    affine[:3] = lps * _LPS_TO_RAS[:, None]  # LPS -> RAS
    return Stack(affine, step if len(places) > 1 else thickness, heights)
