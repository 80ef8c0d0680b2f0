"""Ours: against the token last kept at its place, so that slow drift over dense slices adds up until it shows.

Looks at pixels in [-1, 1] before the encoder. The first frame is whole, every later frame keeps at least one token.
"""

from __future__ import annotations

import numpy as np

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.pruning.rules.base import Choice, Rule, Tokens, exactly

TRIES = 24  # halvings of [0, 2]: closer than one part in ten million


def run(tokens: Tokens, threshold: float) -> Choice:
    """The rule at a threshold; a token's score is its distance to what stands at its place."""
    x = tokens.pixels
    keep = np.ones(tokens.shape, dtype=bool)
    distance = np.full(tokens.shape, np.inf, dtype=np.float32)
    anchor = x[0].copy()
    for i in range(1, len(x)):
        distance[i] = np.abs(x[i] - anchor).mean(axis=1)
        keep[i] = distance[i] > threshold
        if not keep[i].any():
            keep[i, 0] = True
        anchor[keep[i]] = x[i][keep[i]]
    return Choice(keep, distance)


def select(tokens: Tokens, count: int | None = None, threshold: float = DEFAULT_THRESHOLD) -> Choice:
    """With a count, the threshold that keeps the most tokens not above it, then the nearest misses by distance."""
    if count is None:
        return run(tokens, threshold)
    low, high = 0.0, 2.0
    for _ in range(TRIES):
        middle = (low + high) / 2
        low, high = (middle, high) if run(tokens, middle).keep.sum() > count else (low, middle)
    found = run(tokens, high)
    # Kept ones first, among them and among the rest by distance.
    score = np.where(found.keep, found.score + 4, found.score)
    return Choice(exactly(score, count), score)


RULE = Rule(
    "last_kept", "pixels", "before", "first frame whole, one token a frame", "docs/pruning.md", select
)
