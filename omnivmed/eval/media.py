"""Media of a question → Study. The only place of the evaluation that opens files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnivmed.errors import StudyError
from omnivmed.eval.clips import PICTURES
from omnivmed.records import Media
from omnivmed.study import Study

FRAME_FOLDER_FPS = 1.0
"""Frames given as single pictures, where nothing says how fast they were taken."""


def open_media(media: Media) -> list[Study]:
    """One study per still; one in all for a volume or a video; none for text.

    `.npy` volumes (1, T, H, W) or (T, H, W) are shown as stored. Frames and slices given as single pictures must
    have one size. Raises StudyError.
    """
    if media.kind == "text":
        return []
    if media.kind == "image":
        return [_open_file(path, media.window) for path in media.paths]
    path = media.paths[0]
    if len(media.paths) > 1 or (media.kind == "video" and path.suffix.lower() in PICTURES):
        return [_stack(media)]
    study = _open_array(path, media.window) if path.suffix == ".npy" else _open_file(path, media.window)
    if media.num_slices is None or study.shape[0] <= media.num_slices:
        return [study]
    return [_thinned(study, media.num_slices)]


def _open_file(path: Path, window: tuple[float, float] | None) -> Study:
    from omnivmed.io import open_study  # type: ignore[attr-defined,unused-ignore]

    return open_study(path, window, isolated=False)


def _open_array(path: Path, window: tuple[float, float] | None) -> Study:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError):
        raise StudyError("Corrupt", "The array file could not be read; copy it again.") from None
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 3 or 0 in values.shape or values.dtype.kind not in "uif":
        raise StudyError("Unsupported", f"A volume has three axes, this array has {values.ndim}.")
    return Study.from_array(values, "volume", window=window)


def _stack(media: Media) -> Study:
    frames = []
    for path in media.paths:
        with _open_file(path, None) as study:
            frames.append(study.frames(0, 1)[0])
    if len({frame.shape for frame in frames}) > 1:
        raise StudyError("Unsupported", "The frames have different sizes; export them at one size.")
    stack = np.stack(frames)
    if media.kind == "video":
        times_s = np.arange(len(frames)) / (media.fps or FRAME_FOLDER_FPS)
        return Study.from_array(stack, "video", times_s=times_s)
    study = Study.from_array(stack, "volume")
    return study if media.num_slices is None else _thinned(study, media.num_slices)


def _thinned(study: Study, slices: int) -> Study:
    """At most `slices` evenly spaced slices with their mean step; the affine is left out, it no longer holds."""
    count = study.shape[0]
    if count <= slices:
        return study
    index = np.unique(np.round(np.linspace(0, count - 1, slices)).astype(int))
    spacing = study.spacing_mm
    if spacing is not None and spacing[0] is not None and len(index) > 1:
        spacing = (spacing[0] * (count - 1) / (len(index) - 1), *spacing[1:])
    if study.channels == 3:
        return Study.from_array(study.take(index), "volume", spacing_mm=spacing)
    values = np.stack([study.values(int(i), int(i) + 1)[0] for i in index])
    return Study.from_array(
        values,
        "volume",
        spacing_mm=spacing,
        window=study.window,
        modality=study.modality,
        inverted=study.inverted,
    )
