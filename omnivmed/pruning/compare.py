"""Rules on one study, side by side: how many tokens each keeps, where, how fast, and how much of a marked region."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivmed.pruning.rules import RULES, Rule, Tokens, tokens_of
from omnivmed.study import Study
from omnivmed.vision.patches import Patches

SCHEMA = "omnivmed.rules/1"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one rule keeps of a study.

    keep: bool (t, h, w). seconds: of choosing, on the tokens as they lie in memory, encoder not included. overlap:
    Jaccard index with the first rule's kept tokens. region_tokens, region_kept: tokens that touch the region and those
    of them that are kept; None without a region.
    """

    rule: Rule
    keep: np.ndarray
    seconds: float
    looks: str
    overlap: float
    region_tokens: int | None = None
    region_kept: int | None = None

    @property
    def kept(self) -> int:
        """Tokens kept."""
        return int(self.keep.sum())

    @property
    def empty_frames(self) -> int:
        """Frames of which nothing is left."""
        return int((~self.keep.any(axis=(1, 2))).sum())

    @property
    def region_share(self) -> float | None:
        """Share of the region's tokens that are kept; None without a region or where it touches none."""
        return None if not self.region_tokens else (self.region_kept or 0) / self.region_tokens

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `region_kept` is the share, beside both counts."""
        share = self.region_share
        return {
            "name": self.rule.name,
            "comparison_only": self.rule.comparison,
            "looks_at": self.looks,
            "where": self.rule.where,
            "floor": self.rule.floor,
            "source": self.rule.source,
            "kept": self.kept,
            "total": int(self.keep.size),
            "kept_per_frame": self.keep.sum(axis=(1, 2)).tolist(),
            "empty_frames": self.empty_frames,
            "overlap": round(self.overlap, 4),
            "seconds": round(self.seconds, 4),
            "region_tokens": self.region_tokens,
            "region_tokens_kept": self.region_kept,
            "region_kept": None if share is None else round(share, 4),
        }


def compare(
    patches: Patches,
    names: Sequence[str] = tuple(RULES),
    *,
    match: bool = False,
    region: np.ndarray | None = None,
    features: np.ndarray | None = None,
    seed: int = 0,
) -> list[Outcome]:
    """Every named rule on one prepared study.

    match: every rule keeps exactly as many tokens as the first one. region: bool (t, h, w), see `pruning/region.py`.
    features: outputs of an encoder, (t·h·w, c), for the rules that look at them; they take pixels without.

    Raises ValueError for an unknown name, none at all, or a region of another grid.
    """
    if not names:
        raise ValueError("name at least one rule")
    for name in names:
        if name not in RULES:
            raise ValueError(f"there is no rule {name!r}; choose from {', '.join(RULES)}")
    grid = patches.token_grid
    if region is not None and region.shape != grid:
        raise ValueError(f"the region has the grid {region.shape}, the tokens {grid}")
    tokens: Tokens = tokens_of(patches, features, seed)
    count: int | None = None
    out: list[Outcome] = []
    for name in names:
        rule = RULES[name]
        began = time.perf_counter()
        keep = rule.select(tokens, count).keep.reshape(grid)
        seconds = time.perf_counter() - began
        if match and count is None:
            count = int(keep.sum())
        first = out[0].keep if out else keep
        looks = "pixels" if rule.looks == "features" and features is None else rule.looks
        inside = {}
        if region is not None:
            inside = {"region_tokens": int(region.sum()), "region_kept": int((keep & region).sum())}
        out.append(Outcome(rule, keep, seconds, looks, jaccard(first, keep), **inside))
    return out


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Kept by both over kept by either; 1 where neither keeps anything."""
    either = int((a | b).sum())
    return float((a & b).sum() / either) if either else 1.0


def to_dict(study: Study, patches: Patches, outcomes: Sequence[Outcome], match: bool) -> dict[str, Any]:
    """JSON-ready, schema ``omnivmed.rules/1``: no file name, no header text."""
    return {
        "schema": SCHEMA,
        "kind": study.kind,
        "grid_thw": list(patches.token_grid),
        "budget": patches.budget,
        "frame_index": patches.frame_index.tolist(),
        "window": None if patches.window is None else list(patches.window),
        "matched": match,
        "rules": [outcome.to_dict() for outcome in outcomes],
    }
