"""Grids that hold more than one number per place: components to choose from, and one slice that moves in time.

A single slice with a time axis is no stack and no heap of stills: it is one thing to scroll, a clip with its times.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.facts import stored_facts
from omnivmed.io.inflate import Stream
from omnivmed.io.job import Desk, Findings, Reading, check_bytes
from omnivmed.io.volume import CUT, stored_dtype, volume_study
from omnivmed.limits import Limits
from omnivmed.orientation import letters_of

MAX_CHOICES = 256


@dataclass(frozen=True)
class Parts:
    """What a file holds beside its three axes in space: `volumes` one after the other, `components` per voxel.

    `step_s`: seconds from volume to volume where the file says so; `ways`: names of the orientations to choose from.
    """

    volumes: int = 1
    components: int = 1
    step_s: float | None = None
    ways: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Entries of the flat list of choices: orientation slowest, component fastest."""
        return self.volumes * self.components * max(1, len(self.ways))

    def choose(self, series: int | None) -> tuple[int, int, int]:
        """(orientation, volume, component) of an entry; the first by default. Unsupported outside of the list."""
        chosen = 0 if series is None else series
        if not 0 <= chosen < self.count:
            raise StudyError(
                "Unsupported",
                f"There is no volume with index {chosen}; the file has {self.count}, counted from 0.",
            )
        rest, component = divmod(chosen, self.components)
        way, volume = divmod(rest, self.volumes)
        return way, volume, component

    def label(self, index: int) -> str:
        """One entry in words."""
        way, volume, component = self.choose(index)
        words = []
        if self.volumes > 1 or (self.components == 1 and not self.ways):
            words.append(f"volume {volume + 1} of {self.volumes}")
            if self.step_s is not None and self.volumes > 1:
                words.append(f"at {volume * self.step_s:.4g} s")
        if self.components > 1:
            words.append(f"component {component + 1} of {self.components}")
        if self.ways:
            words.append(self.ways[way])
        return ", ".join(words)

    def choices(
        self,
        series: int | None,
        sizes_xyz: tuple[int, int, int],
        kind: str = "volume",
        frames: int | None = None,
    ) -> tuple[dict[str, Any], ...]:
        """Entries of `Study.series`; empty when there is nothing to choose."""
        if self.count == 1:
            return ()
        x, y, z = sizes_xyz
        return tuple(
            {
                "index": i,
                "label": self.label(i),
                "kind": kind,
                "frames": z if frames is None else frames,
                "rows": y,
                "columns": x,
                "modality": None,
                "selected": i == (series or 0),
            }
            for i in range(min(self.count, MAX_CHOICES))
        )

    def tell(self, series: int | None, findings: Findings) -> None:
        """MultiVolume where volumes or components are not all shown."""
        _, volume, component = self.choose(series)
        if self.volumes > 1:
            findings.warn(
                "MultiVolume", f"The file holds {self.volumes} volumes; number {volume + 1} is shown."
            )
        if self.components > 1:
            findings.warn(
                "MultiVolume",
                f"The file holds {self.components} numbers per voxel; number {component + 1} is shown.",
            )


def load_component(
    stream: Stream,
    sizes_xyz: tuple[int, int, int],
    declared: np.dtype[Any],
    components: int,
    component: int,
    limits: Limits,
    desk: Desk,
) -> NDArray[Any]:
    """(z, y, x) numbers of one component of many that lie together voxel by voxel, in native byte order."""
    x, y, z = sizes_xyz
    check_bytes((1, y, x * components), declared, limits)
    array = desk.allocate((z, y, x), stored_dtype(declared))
    for k in range(z):
        plane = np.empty(y * x * components * declared.itemsize, np.uint8)
        if stream.fill(plane) < plane.size:
            raise StudyError("Corrupt", CUT)
        with np.errstate(over="ignore", invalid="ignore"):
            array[k] = plane.view(declared).reshape(y, x, components)[..., component]
        desk.progress("reading", k + 1, z)
    return array


def flat_axis(sizes_xyz: tuple[int, int, int], volumes: int) -> int | None:
    """Which of (z, y, x) has a single place while time goes on; None for stacks, lines and single volumes."""
    sizes = sizes_xyz[::-1]
    flat = [axis for axis in range(3) if sizes[axis] == 1]
    return flat[0] if volumes > 1 and len(flat) == 1 else None


def slice_in_time(
    array_tzyx: NDArray[Any],
    affine_xyz: NDArray[np.float64] | None,
    spacing_xyz: tuple[float, float, float] | None,
    findings: Findings,
    *,
    step_s: float | None,
    **more: Any,
) -> Reading:
    """A clip of (t, z, y, x) numbers of which one axis in space has length one, turned as the slice would be.

    Times count from the first frame; without a step in the file frames are numbered one second apart, and told.
    """
    count = len(array_tzyx)
    flat = next(axis for axis in range(3) if array_tzyx.shape[axis + 1] == 1)
    grid = np.squeeze(array_tzyx, axis=flat + 1)  # (t, a, b), a view
    # Geometry of one frame, statistics of all.
    one = volume_study(array_tzyx[0], affine_xyz, spacing_xyz, findings, look_at=grid, **more)
    axes: tuple[int, ...] | None = None
    flips: tuple[bool, ...] | None = None
    if one.axes is not None and one.flips is not None:
        left = [axis for axis in range(3) if axis != flat]
        axes = (0, *(1 + left.index(axis) for axis in one.axes[1:]))
        flips = (False, *one.flips[1:])
    if step_s is None:
        findings.note("The file gives no times; its frames are numbered, one second apart.")
    info = replace(
        one.info,
        kind="video",
        times_s=np.arange(count, dtype=np.float64) * (1.0 if step_s is None else step_s),
        times_from="assumed" if step_s is None else "file",
        affine=None,
        letters=None if one.info.affine is None else letters_of(one.info.affine),
    )
    return Reading(findings.into(stored_facts(info, grid, axes, flips)), grid, axes, flips)
