"""Merging: nothing is thrown away; what `previous` drops goes into the nearest kept token (after ToMe's idea, outside).

Looks at pixels for the choice and at features (else pixels) for who is nearest, hence after the encoder. The number
of tokens is that of `previous`; each kept one becomes the mean of itself and of those that went into it.
"""

from __future__ import annotations

import numpy as np

from omnivmed.pruning.rules import previous
from omnivmed.pruning.rules.base import Choice, Rule, Tokens


def select(tokens: Tokens, count: int | None = None) -> Choice:
    """Which tokens the others go into: those of `previous`."""
    return previous.select(tokens, count)


def merged(values: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """float32 (kept, c): every kept token averaged with the dropped ones that lie nearest to it (Euclidean).

    values: (t, n, c). keep: bool (t, n), at least one. Of equally near ones the first in raster order takes it.
    """
    flat, kept = values.reshape(keep.size, -1).astype(np.float64), np.flatnonzero(keep)
    centres = flat[kept]
    total, count = centres.copy(), np.ones(len(kept))
    norms = (centres**2).sum(axis=1)
    for place in np.flatnonzero(~keep.reshape(-1)):
        nearest = int(np.argmin(norms - 2 * centres @ flat[place]))
        total[nearest] += flat[place]
        count[nearest] += 1
    return (total / count[:, None]).astype(np.float32)


RULE = Rule(
    "merging",
    "features",
    "after",
    "first frame whole, one token a frame",
    "arXiv 2210.09461, the idea",
    select,
)
