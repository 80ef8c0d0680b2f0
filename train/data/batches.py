"""The batch plan: which samples one forward pass takes, from (seed, epoch, step) and the samples' costs alone.

An optimizer step takes the next `global_batch` samples of the epoch's order, whatever the number of cards; they
are then laid out over the step's forward passes. So 4 cards x 1 and 1 card x 4 train on the same step, and
resuming at step k needs nothing but k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


class BudgetError(ValueError):
    """Samples that do not fit into the forward passes of a step; the message says what to change."""


@dataclass(frozen=True)
class Cost:
    """Upper bound of what a sample costs: positions in the language model, patches in the encoder."""

    positions: int
    patches: int


@dataclass(frozen=True)
class BatchPlan:
    """order: epoch -> places of samples. slots: forward passes of one step over all cards.

    packed: samples of a pass share one row, its cost is their sum; else they are padded to the longest, its cost
    is count x longest, and samples of like length are put together.
    """

    order: Callable[[int], np.ndarray]
    costs: Sequence[Cost]
    global_batch: int
    slots: int
    token_budget: int
    patch_budget: int
    packed: bool = False
    _epochs: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def epoch(self, number: int) -> np.ndarray:
        """The order of an epoch, kept for the last two asked for."""
        if number not in self._epochs:
            while len(self._epochs) > 1:
                self._epochs.pop(min(self._epochs))
            self._epochs[number] = self.order(number)
        return self._epochs[number]

    def samples(self, step: int) -> list[int]:
        """The `global_batch` samples of a step; a step over the end of an epoch goes on with the next one's order."""
        first = step * self.global_batch
        epoch = 0
        out: list[int] = []
        order = self.epoch(0)
        while first >= len(order):
            first -= len(order)
            epoch += 1
            order = self.epoch(epoch)
        while len(out) < self.global_batch:
            taken = order[first : first + self.global_batch - len(out)]
            out += [int(i) for i in taken]
            first, epoch = 0, epoch + 1
            order = self.epoch(epoch) if len(out) < self.global_batch else order
        return out

    def passes(self, step: int) -> list[list[int]]:
        """The samples of each of the step's `slots` forward passes, none of them empty. Raises BudgetError."""
        samples = self.samples(step)
        layout = pack if self.packed else group
        chosen = [self.costs[i] for i in samples]
        return [
            [samples[i] for i in part]
            for part in layout(chosen, self.slots, self.token_budget, self.patch_budget)
        ]


def fewest_slots(plan: BatchPlan, steps: int, world: int) -> int:
    """Forward passes of a step, a multiple of `world`, with which every step of the stage keeps to the budgets.

    So passes are as full as the fullest step allows, whatever its samples are. Raises BudgetError when a step has
    fewer samples than that.
    """
    slots = world
    for step in range(steps):
        costs = [plan.costs[i] for i in plan.samples(step)]
        while not _fits(costs, slots, plan):
            slots += world
            _enough(costs, slots)
    return slots


def _fits(costs: Sequence[Cost], slots: int, plan: BatchPlan) -> bool:
    if not plan.packed:
        order = sorted(range(len(costs)), key=lambda i: (-costs[i].positions, i))
        runs = _runs(order, costs, plan.token_budget, plan.patch_budget)
        return runs is not None and len(runs) <= slots
    try:
        pack(costs, slots, plan.token_budget, plan.patch_budget)
    except BudgetError:
        return False
    return True


def too_large(costs: Sequence[Cost], token_budget: int, patch_budget: int) -> dict[int, str]:
    """Place -> reason of the samples that fit into no forward pass, even alone: known before the first step."""
    return {
        place: f"{cost.positions} positions and {cost.patches} patches, a pass takes {token_budget} and {patch_budget}"
        for place, cost in enumerate(costs)
        if cost.positions > token_budget or cost.patches > patch_budget
    }


def group(costs: Sequence[Cost], slots: int, token_budget: int, patch_budget: int) -> list[list[int]]:
    """Exactly `slots` passes of samples of like length, the largest padded pass as small as can be.

    Sorted by length, passes are runs of neighbours; the smallest bound on count x longest with which they fit
    into `slots` runs is found by bisection. Raises BudgetError when that bound exceeds the token budget, or the
    patches do not fit.
    """
    _enough(costs, slots)
    order = sorted(range(len(costs)), key=lambda i: (-costs[i].positions, i))
    low, high = max(c.positions for c in costs), max(c.positions for c in costs) * len(costs)
    if _runs(order, costs, high, patch_budget) is None:
        raise BudgetError(_too_many_patches(costs, patch_budget))
    while low < high:
        middle = (low + high) // 2
        runs = _runs(order, costs, middle, patch_budget)
        if runs is not None and len(runs) <= slots:
            high = middle
        else:
            low = middle + 1
    runs = _runs(order, costs, low, patch_budget) or []
    if len(runs) > slots:
        raise BudgetError(_too_many_patches(costs, patch_budget))
    if low > token_budget:
        raise BudgetError(
            f"a forward pass would need {low} positions and may have {token_budget}; use more cards, a smaller"
            " micro_batch or a shorter max_length"
        )
    return _spread(runs, slots)


def pack(costs: Sequence[Cost], slots: int, token_budget: int, patch_budget: int) -> list[list[int]]:
    """Exactly `slots` rows under both budgets, as even as a greedy knapsack makes them: the longest sample first,
    each into the emptiest row that has room. Raises BudgetError when a sample finds no room."""
    _enough(costs, slots)
    rows: list[list[int]] = [[] for _ in range(slots)]
    load = [[0, 0] for _ in range(slots)]
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i].positions, i)):
        cost = costs[i]
        room = [
            s
            for s in range(slots)
            if load[s][0] + cost.positions <= token_budget and load[s][1] + cost.patches <= patch_budget
        ]
        if not room:
            raise BudgetError(
                f"a sample of {cost.positions} positions and {cost.patches} patches finds no row with room; use"
                " more cards, a smaller global batch or larger budgets"
            )
        best = min(room, key=lambda s: (load[s][0], s))
        rows[best].append(i)
        load[best][0] += cost.positions
        load[best][1] += cost.patches
    return [sorted(row) for row in _spread(rows, slots)]


def _runs(
    order: Sequence[int], costs: Sequence[Cost], bound: int, patch_budget: int
) -> list[list[int]] | None:
    runs: list[list[int]] = []
    patches = 0
    for i in order:
        cost = costs[i]
        if cost.positions > bound or cost.patches > patch_budget:
            return None
        # The run's first sample is its longest: every further one is padded to it.
        longest = costs[runs[-1][0]].positions if runs else 0
        if runs and (len(runs[-1]) + 1) * longest <= bound and patches + cost.patches <= patch_budget:
            runs[-1].append(i)
            patches += cost.patches
        else:
            runs.append([i])
            patches = cost.patches
    return runs


def _spread(runs: list[list[int]], slots: int) -> list[list[int]]:
    """Halve the fullest run until there are `slots`, so that no card stands without work."""
    runs = [run for run in runs if run]
    while len(runs) < slots:
        fullest = max(range(len(runs)), key=lambda k: (len(runs[k]), -k))
        run = runs[fullest]
        runs[fullest : fullest + 1] = [run[: len(run) // 2], run[len(run) // 2 :]]
    return runs


def _enough(costs: Sequence[Cost], slots: int) -> None:
    if len(costs) < slots:
        raise BudgetError(f"{len(costs)} samples cannot fill {slots} forward passes; lower the accumulation")


def _too_many_patches(costs: Sequence[Cost], patch_budget: int) -> str:
    return (
        f"a step of {sum(c.patches for c in costs)} patches (largest sample {max(c.patches for c in costs)}) does"
        f" not fit its forward passes of {patch_budget}; use more cards or a smaller vision budget"
    )
