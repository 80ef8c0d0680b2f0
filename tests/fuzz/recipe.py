"""A fuzzed file as a recipe: the good file it starts from and one number per step of mutation.

The same recipe makes the same file again, so a finding is kept as a line of code and never as a strange binary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.fuzz.mutate import mutate
from tests.fuzz.seeds import seeds


@dataclass(frozen=True)
class Recipe:
    """`name` of a seed, then the random seed of each mutation in turn."""

    name: str
    steps: tuple[int, ...] = ()

    def then(self, step: int) -> Recipe:
        """One mutation more."""
        return Recipe(self.name, (*self.steps, step))

    def build(self) -> bytes:
        """The bytes of the file."""
        good = seeds()
        names, data = sorted(good), good[self.name]
        for step in self.steps:
            rng = np.random.default_rng(step)
            other = good[names[int(rng.integers(len(names)))]]
            data = mutate(data, rng, other)
        return data
