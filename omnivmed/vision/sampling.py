"""Which slices or frames of a study the model is given: chosen by millimetres or seconds, not by index."""

from __future__ import annotations

import numpy as np

from omnivmed.study import Study
from omnivmed.vision.budget import DEFAULT_BUDGET, VisionBudget

KEY_SHARE = 0.25
"""A key frame stands for a time when it lies no farther from it than this share of the distance between two times."""


def sample_frames(
    study: Study,
    budget: VisionBudget = DEFAULT_BUDGET,
    max_frames: int | None = None,
    span_s: tuple[float, float] | None = None,
) -> np.ndarray:
    """Indices of the frames taken, int64 (t,), strictly increasing, first and last included for a volume.

    * image: the image;
    * volume: equally spaced positions along the slice axis, at least ``budget.slice_step_mm`` apart where the
      spacing is known, at most ``max_frames`` of them;
    * video: one frame every ``1 / budget.fps`` seconds (the one on screen at that time), evenly spread over
      the whole clip when that would be more than ``max_frames`` or fewer than ``budget.min_frames``. Where they are
      spread wider than ``1 / budget.fps``, a key frame within `KEY_SHARE` of the distance between two of them takes the
      place of the one on screen: it is decoded at once, the other only after all since the key frame before.

    Args:
        max_frames: overrides ``budget.max_frames``.
        span_s: of a clip only the frames on screen from the first to the second time, seconds: as many as would be
            taken of the whole clip, evenly, or all there are.

    Raises:
        ValueError: ``max_frames`` below 1; a stretch that is none, or of a study without times.
    """
    count = study.shape[0]
    cap = budget.max_frames if max_frames is None else max_frames
    if cap < 1:
        raise ValueError(f"max_frames must be at least 1, got {cap}")
    if span_s is not None:
        return _within(study, budget, max_frames, span_s)
    if count == 1:
        return np.zeros(1, dtype=np.int64)
    if study.kind == "video":
        return _by_time(study.times_s, study.key_index, count, cap, budget)
    return _by_position(study.spacing_mm[0] if study.spacing_mm else None, count, min(cap, count), budget)


def _by_position(step_mm: float | None, count: int, cap: int, budget: VisionBudget) -> np.ndarray:
    wanted = cap
    if step_mm:
        extent_mm = (count - 1) * step_mm
        # The small slack keeps a spacing of 1.9999 mm from losing every second slice.
        wanted = min(cap, int(extent_mm / min(budget.slice_step_mm, extent_mm) + 1.001))
    return np.unique(np.round(np.linspace(0, count - 1, max(wanted, 1))).astype(np.int64))


def _by_time(
    times_s: np.ndarray | None, keys: np.ndarray | None, count: int, cap: int, budget: VisionBudget
) -> np.ndarray:
    if times_s is None or times_s[-1] <= times_s[0]:
        return np.unique(np.round(np.linspace(0, count - 1, min(cap, count))).astype(np.int64))
    first, last = float(times_s[0]), float(times_s[-1])
    by_rate = int((last - first) * budget.fps + 1e-6) + 1
    wanted = max(by_rate, min(budget.min_frames, count))
    if by_rate == wanted <= cap:
        at_s = first + np.arange(wanted) / budget.fps
    else:
        at_s = np.linspace(first, last, min(wanted, cap))
    return np.unique(_near(times_s, at_s, keys, budget))


def _within(
    study: Study, budget: VisionBudget, max_frames: int | None, span_s: tuple[float, float]
) -> np.ndarray:
    begin, end = span_s
    times_s = study.times_s
    if times_s is None or not begin < end or end < times_s[0] or begin > times_s[-1]:
        raise ValueError(f"no stretch from {begin} to {end} s in this study")
    wanted = len(sample_frames(study, budget, max_frames))
    begin, end = max(begin, float(times_s[0])), min(end, float(times_s[-1]))
    first, last = (int(i) for i in _on_screen(times_s, np.array([begin, end])))
    if last - first < wanted:
        return np.arange(first, last + 1, dtype=np.int64)
    keys = study.key_index
    inside = None if keys is None else keys[(keys >= first) & (keys <= last)]
    return np.unique(_near(times_s, np.linspace(begin, end, wanted), inside, budget))


def _near(times_s: np.ndarray, at_s: np.ndarray, keys: np.ndarray | None, budget: VisionBudget) -> np.ndarray:
    """int64 (n,): the frame on screen at each of these even times, or a key frame near enough to stand for it."""
    exact = _on_screen(times_s, at_s)
    step = float(at_s[1] - at_s[0]) if len(at_s) > 1 else 0.0
    if keys is None or len(keys) == 0 or step <= 1.0 / budget.fps + 1e-6:
        return exact
    after = np.clip(np.searchsorted(times_s[keys], at_s), 1, max(1, len(keys) - 1))
    pair = np.stack([keys[after - 1], keys[np.minimum(after, len(keys) - 1)]])
    off = np.abs(times_s[pair] - at_s)
    nearest = np.take_along_axis(pair, off.argmin(axis=0)[None], axis=0)[0]
    return np.where((off.min(axis=0) <= KEY_SHARE * step) & ~np.isin(exact, keys), nearest, exact)


def _on_screen(times_s: np.ndarray, at_s: np.ndarray) -> np.ndarray:
    """int64 (n,): the frame on screen at each time, the last one that started no later."""
    index = np.searchsorted(times_s, at_s + 1e-6, side="right") - 1
    return np.clip(index, 0, len(times_s) - 1).astype(np.int64)
