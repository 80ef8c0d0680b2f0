"""The three planes of a volume: which voxel axis runs down, which across, and what to flip on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from omnivmed.study import Study

# Plane across which one looks along a world axis of RAS space (x, y, z).
_NAMES = ("sagittal", "coronal", "axial")


def plane_specs(study: Study) -> list[dict[str, Any]]:
    """One entry per plane; axes are those of the voxel array (0 slice, 1 row, 2 column).

    ``axis`` is held fixed; ``down`` and ``across`` are the voxel axes along the screen; ``flip_down`` and
    ``flip_across`` say whether the screen runs against the index; ``letters`` are (left, right, top, bottom)
    after flipping, or None where the file gives no orientation. The first entry is the picture the model is
    given, never flipped. The two resliced ones follow radiological habit: head or front up, the patient's
    right (or front, from the side) on the left.
    """
    first = {
        "axis": 0,
        "down": 1,
        "across": 2,
        "flip_down": False,
        "flip_across": False,
        "letters": _letters(study, 0),
        "name": study.plane,
    }
    if study.kind != "volume" or study.shape[0] < 2:
        return [first]
    return [first, _resliced(study, 1), _resliced(study, 2)]


def _letters(study: Study, axis: int) -> list[str] | None:
    letters = study.edge_letters(axis)
    return [str(x) for x in letters] if letters is not None else None


def _resliced(study: Study, axis: int) -> dict[str, Any]:
    down, across = (a for a in range(3) if a != axis)
    letters = _letters(study, axis)
    spec: dict[str, Any] = {"axis": axis, "name": None, "flip_down": False, "flip_across": False}
    if study.affine is not None:
        world = world_axes(np.asarray(study.affine, float))
        spec["name"] = _NAMES[world[axis][0]]
        if world[down][0] < world[across][0]:  # z above y above x: the higher world axis runs down
            down, across = across, down
            letters = [letters[2], letters[3], letters[0], letters[1]] if letters else None
        # Down the screen must run towards -z (or -y), across towards -x (the patient's left) or -y.
        spec["flip_down"] = world[down][1] > 0
        spec["flip_across"] = world[across][1] > 0
    if letters is not None:
        left, right, top, bottom = letters
        if spec["flip_across"]:
            left, right = right, left
        if spec["flip_down"]:
            top, bottom = bottom, top
        letters = [left, right, top, bottom]
    return {**spec, "down": down, "across": across, "letters": letters}


MOST_ROWS = 4  # display rows per slice of an uneven stack at most
EVEN = 0.02  # share of a step that slices may be off their places in an even stack


def even(study: Study) -> bool:
    """Whether slices lie where equal steps put them, so that other planes need nothing but the step."""
    if study.kind != "volume" or study.shape[0] < 3 or study.info.slice_mm is None or not _step(study):
        return True
    places = np.asarray(study.info.slice_mm)
    return bool(np.abs(places - np.arange(len(places)) * _step(study)).max() <= EVEN * _step(study))


def _step(study: Study) -> float:
    return float((study.spacing_mm or (None,))[0] or 0.0)


def ladder(study: Study) -> dict[str, Any]:
    """Even rows across the slices of an uneven stack, for planes other than that of the slices.

    ``step_mm`` between rows, and ``slices``: which slice lies nearest to each row, by its true place. The step is the
    usual one of the stack, or coarser where that would take more than `MOST_ROWS` rows per slice.
    """
    places = np.asarray(study.info.slice_mm)
    total = float(places[-1])
    count = min(max(2, round(total / _step(study)) + 1), MOST_ROWS * len(places))
    rows = np.linspace(0.0, total, count)
    nearest = np.abs(rows[:, None] - places[None, :]).argmin(axis=1)
    return {"step_mm": total / (count - 1), "slices": [int(i) for i in nearest]}


def world_axes(affine: np.ndarray) -> list[tuple[int, int]]:
    """For each voxel axis the nearest RAS axis (0 x, 1 y, 2 z), each used once, and its sign.

    affine: (4, 4), index (slice, row, column, 1) -> RAS mm.
    """
    directions = affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)
    strength = np.abs(directions)
    out: list[tuple[int, int]] = [(0, 1)] * 3
    for _ in range(3):
        world, voxel = np.unravel_index(int(strength.argmax()), (3, 3))
        out[int(voxel)] = (int(world), 1 if directions[world, voxel] > 0 else -1)
        strength[world, :] = -1
        strength[:, voxel] = -1
    return out
