"""Which pictures a step sees: a pure function of seed and step, rare kinds more often than they occur."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

POWER = 0.5
"""Share of a kind of picture: its number to this power."""


class Balance:
    """Draws places of pictures. keys: one per picture; pictures of one key share its weight evenly."""

    def __init__(self, places: np.ndarray, keys: Sequence[tuple[str, ...]], power: float = POWER) -> None:
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, key in zip(places, keys, strict=True):
            groups.setdefault(key, []).append(int(place))
        self.groups = [np.array(groups[key]) for key in sorted(groups)]
        weights = np.array([len(group) for group in self.groups], dtype=float) ** power
        self.weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``count`` places."""
        chosen = rng.choice(len(self.groups), size=count, p=self.weights)
        return np.array([self.groups[g][rng.integers(len(self.groups[g]))] for g in chosen])
