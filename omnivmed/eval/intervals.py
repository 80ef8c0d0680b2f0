"""95 % intervals: Wilson for a share of independent answers, bootstrap over groups for everything else."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Z_95 = 1.959963984540054


def wilson(hits: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of hits / n; (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def bootstrap(
    values: Sequence[float], groups: Sequence[str] | None = None, rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """2.5 and 97.5 percentile of the mean when whole groups (images, patients) are drawn with replacement.

    Answers about one image stand and fall together; drawing single answers would make the interval too narrow.
    Without groups every value is its own. (0, 1) when there are no values.
    """
    if not values:
        return 0.0, 1.0
    array = np.asarray(values, dtype=np.float64)
    names = np.arange(len(array)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(names.max()) + 1
    sums = np.bincount(names, weights=array, minlength=count)
    sizes = np.bincount(names, minlength=count)
    rng = np.random.default_rng(seed)
    means = np.empty(rounds)
    step = max(1, 1_000_000 // count)  # rounds drawn at a time: bounds memory, not the result
    for start in range(0, rounds, step):
        drawn = rng.integers(0, count, (min(step, rounds - start), count))
        means[start : start + step] = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def paired_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str] | None = None, seed: int = 0
) -> tuple[float, float, float]:
    """(mean difference first - second, low, high) of two systems on the same items, bootstrapped over groups."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} scores against {len(second)}: compare the same items")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = sum(differences) / len(differences) if differences else 0.0
    return (mean, *bootstrap(differences, groups, seed=seed))
