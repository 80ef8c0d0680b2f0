"""The keep mask as a value: what was kept, how far every token moved, and what the threshold means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from omnivmed.defaults import Reference

Scale = Literal["unit", "x255"]

SCHEMA = "omnivmed.keep_mask/1"
FLOOR_SHARE = 0.9
"""A study counts as pruned to the floor when this share of its frames keeps no more than the minimum."""


@dataclass(frozen=True, eq=False)
class KeepMask:
    """Result of the pruning rule for one study (OmniV-Med §2.2). Shapes are in merged tokens: t frames, h x w.

    The overlay, the token counts and the model all read this one object; it is never computed twice.

    Attributes:
        keep: bool (t, h, w).
        distance: float32 (t, h, w), mean absolute difference to the reference patch on pixels in [-1, 1], so in
            0..2 (with ``scale="x255"`` 255 times that); +inf in the first frame, which has no predecessor.
        threshold: in the same unit; a token is kept when its distance is strictly greater.
        reference: "previous" (the paper) compares with the frame before, "last_kept" with the patch last kept at
            that place, "off" drops nothing (distances are those to the frame before).
        min_tokens: kept in every frame even if nothing moved (from the top left).
        rects: float32 (h, w, 4): x0, y0, x1, y1 of every token in source pixels.
        frame_index: int64 (t,) frames of the study; source_size (height, width) in pixels.
        window, unit: the window the distances were measured under: they hold for no other.
        times_s: float64 (t,) or None.
        budget: name of the token budget that chose frames and grid: "nano", "published" or what it allows.
        span_s: the stretch of a clip that was looked at, (from, to) in seconds; None for the whole study.
        rule: empty for OmniV-Med's own; else one of `omnivmed.pruning.rules.RULES`, which then decided alone: threshold
            and reference only say how the distances were measured.
        merge: whether a dropped token goes into the nearest kept one instead of away.
    """

    keep: np.ndarray
    distance: np.ndarray
    threshold: float
    reference: Reference
    min_tokens: int
    scale: Scale
    rects: np.ndarray
    frame_index: np.ndarray
    source_size: tuple[int, int]
    window: tuple[float, float] | None
    unit: str
    times_s: np.ndarray | None = None
    budget: str = ""
    rule: str = ""
    merge: bool = False
    span_s: tuple[float, float] | None = None

    @property
    def total(self) -> int:
        """Tokens before pruning."""
        return int(self.keep.size)

    @cached_property
    def kept(self) -> int:
        """Tokens after pruning."""
        return int(self.keep.sum())

    @property
    def kept_ratio(self) -> float:
        """Share kept, 0..1, first frame included."""
        return self.kept / self.total

    @cached_property
    def kept_per_frame(self) -> np.ndarray:
        """int64 (t,)."""
        return np.asarray(self.keep.reshape(len(self.keep), -1).sum(axis=1))

    @cached_property
    def run_length(self) -> np.ndarray:
        """int32 (t, h, w): frames for which the kept token standing at this place speaks, itself included.

        The kept token and the pruned ones that follow it at its place share one value.
        """
        return run_length(self.keep)

    @property
    def threshold_unit(self) -> float:
        """Threshold on the [-1, 1] scale, whatever ``scale`` is."""
        return self.threshold / 255.0 if self.scale == "x255" else self.threshold

    @property
    def threshold_raw(self) -> float | None:
        """What the threshold means in the study's own units: threshold / 2 x window width; None for colour."""
        return None if self.window is None else self.threshold_unit / 2 * self.window[1]

    @property
    def threshold_meaning(self) -> str:
        """For a person: "20 HU at a window of 400 HU" or "12.8 of 255 grey levels"."""
        raw = self.threshold_raw
        if raw is None or self.window is None:
            return f"{self.threshold_unit / 2 * 255:.3g} of 255 grey levels"
        name = "HU" if self.unit == "HU" else "units"
        return f"{raw:.3g} {name} at a window of {self.window[1]:.4g} {name}"

    @property
    def all_at_floor(self) -> bool:
        """True when nearly every frame after the first keeps only its minimum: the model sees almost nothing of them.

        Happens with wide CT windows and densely sampled clips; the person should hear about it.
        """
        later = self.kept_per_frame[1:]
        floor = (later <= self.min_tokens) & (later < self.keep[0].size)
        return bool(len(later)) and float(floor.mean()) >= FLOOR_SHARE

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, schema ``omnivmed.keep_mask/1`` (documented in docs/pruning.md); no file name, no header text.

        ``keep`` is one string of 0 and 1 per frame in raster order; ``distance`` is rounded to 4 digits, null in
        the first frame.
        """
        t, h, w = self.keep.shape
        flat = self.keep.reshape(t, -1)
        return {
            "schema": SCHEMA,
            "grid_thw": [t, h, w],
            "budget": self.budget,
            "rule": self.rule or None,
            "source_size": list(self.source_size),
            "frame_index": self.frame_index.tolist(),
            "times_s": None if self.times_s is None else [round(float(s), 4) for s in self.times_s],
            "span_s": None if self.span_s is None else [round(float(s), 4) for s in self.span_s],
            "threshold": self.threshold,
            "threshold_meaning": self.threshold_meaning,
            "scale": self.scale,
            "reference": self.reference,
            "min_tokens": self.min_tokens,
            "window": None if self.window is None else list(self.window),
            "unit": self.unit,
            "kept": self.kept,
            "total": self.total,
            "kept_ratio": round(self.kept_ratio, 6),
            "kept_per_frame": self.kept_per_frame.tolist(),
            "rects": [[round(float(v), 3) for v in rect] for rect in self.rects.reshape(-1, 4)],
            "keep": ["".join("1" if k else "0" for k in row) for row in flat],
            "distance": [
                None if not np.isfinite(row).any() else [round(float(v), 4) for v in row]
                for row in self.distance.reshape(t, -1)
            ],
        }


def run_length(keep: np.ndarray) -> np.ndarray:
    """bool (t, h, w) → int32 (t, h, w): length of the run of frames that each place belongs to.

    A run starts at a kept token and lasts until the next kept token at the same place (RLT calls its length the
    tube length). Places before the first kept token belong to a run of their own.
    """
    t = keep.shape[0]
    flat = keep.reshape(t, -1)
    out = np.zeros(flat.shape, dtype=np.int32)
    run_end = np.full(flat.shape[1], t, dtype=np.int32)
    start_of: np.ndarray = np.zeros(flat.shape[1], dtype=np.int32)
    starts = np.empty(flat.shape, dtype=np.int32)
    for i in range(t):
        start_of = np.where(flat[i], i, start_of).astype(np.int32)
        starts[i] = start_of
    for i in range(t - 1, -1, -1):
        out[i] = run_end - starts[i]
        run_end = np.where(flat[i], i, run_end).astype(np.int32)
    return out.reshape(keep.shape)
