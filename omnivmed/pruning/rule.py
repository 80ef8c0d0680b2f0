"""The pruning rule: mean absolute pixel difference to the frame before, above a threshold (OmniV-Med §2.2).

The paper gives no unit for its threshold of 0.1. Here it is measured on pixels in [-1, 1] after windowing, which
is 12.75 of 255 grey levels; two public codes differ from each other by a factor of 255 at this point. The
reasons are in docs/decisions/0001-threshold-unit.md.

No torch in here: the threshold slider and ``python -m omnivmed prune`` work with no model loaded.
"""

from __future__ import annotations

from typing import Protocol, get_args

import numpy as np

from omnivmed.defaults import DEFAULT_REFERENCE, DEFAULT_THRESHOLD, Reference
from omnivmed.pruning.mask import KeepMask, Scale
from omnivmed.study import Study
from omnivmed.vision.budget import NANO_BUDGET, VisionBudget, named_budget
from omnivmed.vision.patches import Patches, prepare


def keep_mask(
    patches: Patches,
    threshold: float = DEFAULT_THRESHOLD,
    reference: Reference = DEFAULT_REFERENCE,
    min_tokens: int = 1,
    scale: Scale = "unit",
) -> KeepMask:
    """Decide for every merged token whether it is kept.

    * the first frame is whole (paper, RLT, VideoLLaMA3);
    * a later token is kept when its distance is strictly greater than ``threshold``;
    * a frame that would keep fewer than ``min_tokens`` also keeps its first ``min_tokens`` places;
    * with reference "off" everything is kept;
    * one frame alone, so every still image, keeps everything.

    Args:
        threshold: >= 0. 0 drops only patches identical to their reference, 2 drops all but the minimum.
        reference: "previous" compares with the frame before, kept or not. Slow drift over dense slices then
            never crosses the threshold; "last_kept" lets it add up. "off" keeps every token; the distances are those
            to the frame before, so that one sees what pruning would do.
        scale: "x255" multiplies distances by 255, only to run released weights as their authors' code does.

    Raises:
        ValueError: negative or non-finite threshold, negative ``min_tokens``, unknown name.
    """
    if not (threshold >= 0 and np.isfinite(threshold)):
        raise ValueError(f"threshold must be a number of at least 0, got {threshold}")
    if min_tokens < 0:
        raise ValueError(f"min_tokens must be at least 0, got {min_tokens}")
    if reference not in get_args(Reference):
        raise ValueError(f"reference must be one of {get_args(Reference)}, got {reference!r}")
    if scale not in ("unit", "x255"):
        raise ValueError(f"scale must be 'unit' or 'x255', got {scale!r}")
    t, h, w = patches.token_grid
    # The m² patches of a token are adjacent rows: one view, no copy.
    x_TnD = patches.patches.reshape(t, h * w, -1)
    factor = np.float32(255.0 if scale == "x255" else 1.0)
    limit = np.float32(threshold)

    keep = np.ones((t, h * w), dtype=bool)
    distance = np.full((t, h * w), np.inf, dtype=np.float32)
    anchor = x_TnD[0].copy() if reference == "last_kept" else x_TnD[0]
    buffer = np.empty_like(x_TnD[0])
    for i in range(1, t):
        np.subtract(x_TnD[i], anchor, out=buffer)
        np.abs(buffer, out=buffer)
        distance[i] = buffer.mean(axis=1) * factor
        if reference == "off":
            anchor = x_TnD[i]
            continue
        keep[i] = distance[i] > limit
        if keep[i].sum() < min_tokens:
            keep[i, :min_tokens] = True
        if reference == "previous":
            anchor = x_TnD[i]
        else:
            anchor[keep[i]] = x_TnD[i][keep[i]]
    return KeepMask(
        keep=keep.reshape(t, h, w),
        distance=distance.reshape(t, h, w),
        threshold=float(threshold),
        reference=reference,
        min_tokens=min_tokens,
        scale=scale,
        rects=patches.rects,
        frame_index=patches.frame_index,
        source_size=patches.source_size,
        window=patches.window,
        unit=patches.unit,
        times_s=patches.times_s,
        budget=patches.budget,
        span_s=patches.span_s,
    )


class Budgeted(Protocol):
    """Whoever is shown studies under a budget of its own: an `Assistant`."""

    @property
    def budget(self) -> VisionBudget:
        """How many visual tokens a study may spend."""


def prune(
    study: Study,
    threshold: float = DEFAULT_THRESHOLD,
    reference: Reference = DEFAULT_REFERENCE,
    max_frames: int | None = None,
    *,
    model: Budgeted | None = None,
    budget: VisionBudget | str | None = None,
    min_tokens: int = 1,
    span_s: tuple[float, float] | None = None,
) -> KeepMask:
    """Prune a study without any model: sample, window, resize, compare.

    The mask is the one that a model of this budget is asked with: by default that of nano, the embedded model.

    Args:
        model: take the budget of this loaded model.
        budget: take this one, or one of `omnivmed.vision.BUDGETS` by name; it stands in ``mask.budget``.
        span_s: of a clip this stretch alone, (from, to) in seconds.

    Raises:
        ValueError: as :func:`keep_mask`, ``max_frames`` below 1, an unknown budget, model and budget both given, a
            stretch that is none.
        StudyError: a frame that cannot be decoded.
    """
    if model is not None and budget is not None:
        raise ValueError("give either model or budget: a model has its own")
    chosen = model.budget if model is not None else budget if budget is not None else NANO_BUDGET
    if isinstance(chosen, str):
        chosen = named_budget(chosen)
    return keep_mask(
        prepare(study, chosen, max_frames=max_frames, span_s=span_s), threshold, reference, min_tokens
    )
