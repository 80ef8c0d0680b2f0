"""Whole slices against the slice last kept, which moves along with them (MedPruner, its first level, γ = 0.05).

Looks at pixels before the encoder. A slice that differs by more than γ on average is kept whole and becomes the
reference; of any other one token stays. On which scale γ is meant is not stated where we read; here it is pixels in
[-1, 1].
"""

from __future__ import annotations

import numpy as np

from omnivmed.pruning.rules.base import Choice, Rule, Tokens, exactly

GAMMA = 0.05


def select(tokens: Tokens, count: int | None = None, gamma: float = GAMMA) -> Choice:
    """With a count, slices in the order of their difference, the last one taken from its top left."""
    x, (t, n) = tokens.pixels, tokens.shape
    keep = np.zeros((t, n), dtype=bool)
    score = np.zeros((t, n), dtype=np.float32)
    keep[0], score[0] = True, np.inf
    reference = x[0]
    for i in range(1, t):
        change = float(np.abs(x[i] - reference).mean())
        score[i] = change
        keep[i, 0] = True
        if change > gamma:
            keep[i] = True
            reference = x[i]
    return Choice(keep if count is None else exactly(score, count), score)


RULE = Rule("whole_slice", "pixels", "before", "one token a slice", "MedPruner, level 1", select)
