"""Frames → rows of pixels for the encoder, with the source rectangle of every token.

Shape legend: T frames, gh x gw patches per frame, m merge_size, h = gh/m, w = gw/m tokens per frame,
N = T·gh·gw patches, D = 3·14·14 = 588 values per patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from omnivmed.progress import Progress
from omnivmed.study import Study
from omnivmed.study_info import StudyKind
from omnivmed.vision.budget import DEFAULT_BUDGET, VisionBudget
from omnivmed.vision.resize import resize_frames, target_size
from omnivmed.vision.sampling import sample_frames
from omnivmed.window import apply_window

READ_CHUNK = 16
"""Frames decoded and resized at a time: full-size frames never pile up."""


class Take(Protocol):
    """Reads slices or frames of one study."""

    def __call__(self, indices: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """uint8 (n, H, W, 3) as `Study.take`, or of this (height, width) as `Study.take_resized`."""


@dataclass(frozen=True, eq=False)
class Patches:
    """What the encoder and the pruning rule see of one study; one object for both.

    Attributes:
        patches: float32 (N, 588) in [-1, 1], channel first within a row; rows run over (frame, block row,
            block column, row in block, column in block), so that the m² patches of a token are adjacent.
        grid_thw: (t, gh, gw) in patches.
        merge_size: m.
        frame_index: int64 (t,), the study's frames that were taken.
        rects: float32 (h, w, 4): x0, y0, x1, y1 of each token in source pixels.
        source_size, resized_size: (height, width) in pixels.
        window: (level, width) applied before, in ``unit``; None for colour.
        unit: "HU", "raw" or "rgb".
        kind: of the study.
        times_s: float64 (t,) of the frames taken, None unless video.
        budget: name of the `VisionBudget` they were cut under.
        span_s: the stretch of the clip that was looked at, (from, to) in seconds; None for the whole study.
    """

    patches: np.ndarray
    grid_thw: tuple[int, int, int]
    merge_size: int
    frame_index: np.ndarray
    rects: np.ndarray
    source_size: tuple[int, int]
    resized_size: tuple[int, int]
    window: tuple[float, float] | None
    unit: str
    kind: StudyKind
    times_s: np.ndarray | None = None
    budget: str = ""
    span_s: tuple[float, float] | None = None

    @property
    def token_grid(self) -> tuple[int, int, int]:
        """(t, h, w) in merged tokens."""
        t, gh, gw = self.grid_thw
        return t, gh // self.merge_size, gw // self.merge_size

    @property
    def tokens(self) -> int:
        """Merged tokens before pruning."""
        t, h, w = self.token_grid
        return t * h * w


def patchify(
    frames_THWC: np.ndarray, merge_size: int, patch_size: int = 14
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """uint8 (T, H, W, 3) → float32 (N, 3·patch_size²) in [-1, 1], and (t, gh, gw).

    0..255 is scaled by 1/255, then mean 0.5 and standard deviation 0.5 (the published preprocessor). Row order
    is that of transformers' ``video_llama_3``.

    Raises:
        ValueError: not three channels, or a side that is no multiple of ``patch_size * merge_size``.
    """
    if frames_THWC.ndim != 4 or frames_THWC.shape[3] != 3:
        raise ValueError(f"expected frames (T, H, W, 3), got {frames_THWC.shape}")
    t, height, width, _ = frames_THWC.shape
    m, p = merge_size, patch_size
    if height % (m * p) or width % (m * p):
        raise ValueError(f"{height} x {width} is no multiple of {m * p}")
    gh, gw = height // p, width // p
    blocks = frames_THWC.reshape(t, gh // m, m, p, gw // m, m, p, 3)
    #                            0     1    2  3     4    5  6  7
    rows = blocks.transpose(0, 1, 4, 2, 5, 7, 3, 6).reshape(t * gh * gw, 3 * p * p)
    out = rows.astype(np.float32)
    out *= 2.0 / 255.0
    out -= 1.0
    return out, (t, gh, gw)


def token_rects(grid_hw: tuple[int, int], source_size: tuple[int, int]) -> np.ndarray:
    """Rectangles of the h x w tokens of a frame in source pixels, float32 (h, w, 4): x0, y0, x1, y1.

    The whole frame is resized without crop or padding, so the tokens tile it exactly.
    """
    h, w = grid_hw
    height, width = source_size
    y = np.linspace(0, height, h + 1, dtype=np.float32)
    x = np.linspace(0, width, w + 1, dtype=np.float32)
    out = np.empty((h, w, 4), dtype=np.float32)
    out[..., 0], out[..., 2] = x[None, :-1], x[None, 1:]
    out[..., 1], out[..., 3] = y[:-1, None], y[1:, None]
    return out


def square_size(study: Study) -> tuple[float, float]:
    """Height and width of a frame at square pixels (pixels), from its in-plane spacing where that is known.

    A sagittal stack of 1 x 3 mm pixels would otherwise reach the model squashed to a third.
    """
    _, height, width = study.shape
    aspect = study.pixel_aspect
    if abs(aspect - 1) < 0.01:
        return height, width
    return (height * aspect, width) if aspect > 1 else (height, width / aspect)


def three_windows(study: Study, windows: Sequence[tuple[float, float]], index: np.ndarray) -> np.ndarray:
    """uint8 (n, H, W, 3) of slices: each window in a channel of its own. Raises StudyError for a slice that cannot be
    decoded."""
    out = []
    for i in index:
        values = study.values(int(i), int(i) + 1)[0]
        out.append(np.stack([apply_window(values, level, width) for level, width in windows], axis=-1))
    return np.stack(out)


def prepare(
    study: Study,
    budget: VisionBudget = DEFAULT_BUDGET,
    *,
    max_frames: int | None = None,
    span_s: tuple[float, float] | None = None,
    frame_index: np.ndarray | None = None,
    progress: Progress | None = None,
    take: Take | None = None,
) -> Patches:
    """Sample, window, resize and cut a study into patches.

    Args:
        max_frames: overrides ``budget.max_frames``.
        span_s: this stretch of a clip alone (:func:`omnivmed.vision.sampling.sample_frames`).
        frame_index: take exactly these frames instead of sampling.
        progress: called with ("reading", frames done, frames in all).
        take: `take(indices, size)` in place of `study.take_resized`, for a caller that measures or counts what is read;
            not asked where the budget shows a CT under three windows.

    Raises:
        ValueError: ``max_frames`` below 1, no such stretch.
        StudyError: a frame that cannot be decoded.
    """
    index = (
        sample_frames(study, budget, max_frames, span_s)
        if frame_index is None
        else np.asarray(frame_index, np.int64)
    )
    merge_size = budget.merge_size(study.kind)
    height, width = square_size(study)
    size = target_size(
        height,
        width,
        frames=len(index),
        merge_size=merge_size,
        max_tokens=budget.study_tokens(study.kind, len(index)),
        min_tokens=budget.min_tokens,
        patch_size=budget.patch_size,
    )
    gh, gw = size[0] // budget.patch_size, size[1] // budget.patch_size
    coloured = budget.ct_windows is not None and study.unit == "HU" and study.channels == 1
    rows = np.empty((len(index) * gh * gw, 3 * budget.patch_size**2), dtype=np.float32)
    for start in range(0, len(index), READ_CHUNK):
        chunk = index[start : start + READ_CHUNK]
        if coloured:
            frames = resize_frames(three_windows(study, budget.ct_windows or (), chunk), size)
        else:
            frames = (take or study.take_resized)(chunk, size)
        cut, _ = patchify(frames, merge_size, budget.patch_size)
        rows[start * gh * gw : start * gh * gw + len(cut)] = cut
        if progress is not None:
            progress("reading", min(start + READ_CHUNK, len(index)), len(index))
    source_size = (study.shape[1], study.shape[2])
    return Patches(
        patches=rows,
        grid_thw=(len(index), gh, gw),
        merge_size=merge_size,
        frame_index=index,
        rects=token_rects((gh // merge_size, gw // merge_size), source_size),
        source_size=source_size,
        resized_size=size,
        window=None if coloured else study.window,
        unit="rgb" if coloured else study.unit,
        kind=study.kind,
        times_s=None if study.times_s is None else np.asarray(study.times_s)[index],
        budget=budget.name,
        span_s=span_s,
    )


def prepare_place(
    study: Study,
    place: int,
    budget: VisionBudget = DEFAULT_BUDGET,
    *,
    take: Take | None = None,
) -> Patches:
    """One slice or frame of a study as a still, at the whole budget of a still.

    It is what a screenshot would be: windowed, at square pixels, without its neighbours. `Patches.kind` is "image",
    `frame_index` its place in the study.
    """
    index = np.array([place], np.int64)
    frame = (study.take(index) if take is None else take(index))[0]
    with Study.from_array(frame, "image", spacing_mm=(None, study.pixel_aspect, 1.0)) as still:
        patches = prepare(still, budget)
    return replace(patches, frame_index=index, window=study.window, unit=study.unit)
