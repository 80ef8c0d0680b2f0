"""One study as the language model meets it: frames, kept tokens, labels. Stills, volumes and clips alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnivmed.model.prompts import Kind
from omnivmed.pruning import keep_mask
from omnivmed.vision import Patches, patchify
from train.nano.data.bank import Entry
from train.nano.data.views import (
    FRAME_TOKENS,
    Item,
    augment,
    fit,
    isotropic,
    labels_of,
    plane_length,
    slice_values,
    view,
    volume_window,
)

THRESHOLDS = (0.0, 0.1, 0.1, 0.1, 0.3)
COUNTS = (8, 10, 12, 16)  # slices or frames; more cost steps and teach little new


@dataclass(frozen=True)
class StudyView:
    """``frames`` uint8 (t,h,w,3), all of one size; ``keep`` bool (t, tokens per frame)."""

    record_id: str
    kind: Kind
    frames: np.ndarray
    keep: np.ndarray
    times_s: tuple[float, ...] | None
    labels: dict[str, str]
    source: str = ""

    @property
    def tokens_per_frame(self) -> list[int]:
        """How many tokens pruning leaves of each frame."""
        return [int(n) for n in self.keep.sum(1)]


def as_patches(frames: np.ndarray, kind: Kind) -> Patches:
    """The product's own value, so that the product's own pruning rule decides."""
    patches, grid = patchify(frames, 2)
    h, w = grid[1] // 2, grid[2] // 2
    return Patches(
        patches=patches,
        grid_thw=grid,
        merge_size=2,
        frame_index=np.arange(len(frames)),
        rects=np.zeros((h, w, 4), np.float32),
        source_size=frames.shape[1:3],
        resized_size=frames.shape[1:3],
        window=None,
        unit="rgb",
        kind=kind,
    )


def prune(frames: np.ndarray, kind: Kind, threshold: float) -> np.ndarray:
    """bool (t, h*w) by the product's rule."""
    return keep_mask(as_patches(frames, kind), threshold).keep.reshape(len(frames), -1)


def still(entry: Entry, item: Item, rng: np.random.Generator | None) -> StudyView:
    """One picture as a study: a frame of which every token is kept."""
    frames = view(entry, item, rng)[None]
    tokens = frames.shape[1] * frames.shape[2] // 28**2
    return StudyView(
        entry.record.id,
        "image",
        frames,
        np.ones((1, tokens), bool),
        None,
        labels_of(entry, item),
        entry.record.source,
    )


def volume_frames(
    entry: Entry, plane: str, index: np.ndarray, rng: np.random.Generator | None
) -> list[np.ndarray]:
    """Slices under one window and, when a generator is given, under one and the same augmentation."""
    assert entry.spacing_mm is not None
    low, high = volume_window(entry, rng)
    seed = None if rng is None else int(rng.integers(2**31))
    z, y, x = entry.spacing_mm
    row_mm, col_mm = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[plane]
    out = []
    for i in index:
        values = slice_values(entry, plane, int(i)).astype(np.float32)
        image = isotropic(np.clip((values - low) / (high - low), 0, 1), row_mm, col_mm)
        image = (image * 255).round().astype(np.uint8)
        if seed is not None:
            image = augment(image, np.random.default_rng(seed))
        out.append(fit(image, FRAME_TOKENS))
    return out


def volume(
    entry: Entry, plane: str, count: int, threshold: float, rng: np.random.Generator | None
) -> StudyView:
    """``count`` slices at equal distances over the volume (train: over a random part of it, either direction)."""
    n = plane_length(entry, plane)
    start, stop = 0.0, n - 1.0
    if rng is not None:
        start, stop = rng.uniform(0, 0.25) * n, n - 1 - rng.uniform(0, 0.25) * n
    index = np.unique(np.linspace(start, stop, min(count, n)).round().astype(int))
    if rng is not None and rng.random() < 0.5:
        index = index[::-1]
    frames = np.stack(volume_frames(entry, plane, index, rng))
    labels = dict(entry.record.labels) | {"plane": plane}
    keep = prune(frames, "volume", threshold)
    return StudyView(entry.record.id, "volume", frames, keep, None, labels, entry.record.source)


def clip(entry: Entry, count: int, threshold: float, rng: np.random.Generator | None) -> StudyView:
    """``count`` frames evenly over the clip (train: over a random part of it) with their times."""
    assert entry.times_s is not None
    n = len(entry.array)
    start, stop = 0.0, n - 1.0
    seed = None
    if rng is not None:
        start, stop = rng.uniform(0, 0.4) * n, n - 1 - rng.uniform(0, 0.4) * n
        seed = int(rng.integers(2**31))
    index = np.unique(
        np.linspace(start, max(start + 1, stop), min(count, n)).round().astype(int).clip(0, n - 1)
    )
    images = [entry.array[i] for i in index]
    if seed is not None:
        images = [augment(i, np.random.default_rng(seed)) for i in images]
    frames = np.stack([fit(i, FRAME_TOKENS) for i in images])
    times = tuple(entry.times_s[i] - entry.times_s[index[0]] for i in index)
    keep = prune(frames, "video", threshold)
    labels = dict(entry.record.labels)
    return StudyView(entry.record.id, "video", frames, keep, times, labels, entry.record.source)


def planes_of(entry: Entry) -> list[str]:
    """Planes in which a volume has enough slices to be opened as a stack."""
    a = entry.array.shape
    return ["axial"] if a[0] < 30 else ["axial", "coronal", "sagittal"]


def sequence_study(entry: Entry, rng: np.random.Generator) -> StudyView:
    """A random volume or clip view of a record, pruning at one of THRESHOLDS."""
    count, threshold = int(rng.choice(COUNTS)), float(rng.choice(THRESHOLDS))
    if entry.record.kind == "video":
        return clip(entry, count, threshold, rng)
    planes = planes_of(entry)
    plane = planes[0] if rng.random() < 0.5 else planes[rng.integers(len(planes))]
    return volume(entry, plane, count, threshold, rng)
