"""Mixture: which samples make up an epoch, and in which order; a pure function of (weights, seed, epoch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def epoch_order(
    sizes: Sequence[int], weights: Sequence[float], seed: int, epoch: int, left_out: Sequence[int] = ()
) -> np.ndarray:
    """Shuffled places, int64, into the sources' samples laid end to end.

    A source of weight w gives round(w x size) samples an epoch: whole copies, and for the rest a window over a
    fixed permutation that moves on from epoch to epoch, so that with weight 0.5 two epochs see every sample once.
    left_out: places that no epoch takes.

    Raises ValueError for a negative weight or an empty epoch.
    """
    parts = []
    start = 0
    for number, (size, weight) in enumerate(zip(sizes, weights, strict=True)):
        if weight < 0:
            raise ValueError(f"a weight of {weight} is negative")
        copies = int(weight)
        count = round((weight - copies) * size)
        fixed = np.random.default_rng([seed, 2, number]).permutation(size)
        window = fixed[(np.arange(count) + epoch * count) % size] if size else fixed
        parts.append(start + np.concatenate([np.tile(np.arange(size), copies), window]).astype(np.int64))
        start += size
    places = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    if len(left_out):
        places = places[~np.isin(places, left_out)]
    if not len(places):
        raise ValueError("the mixture gives no samples: check the data folder and the weights")
    return np.random.default_rng([seed, 3, epoch]).permutation(places)
