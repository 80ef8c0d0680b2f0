"""The batch plan: a pure function, budgets kept, no pass empty, the step independent of the number of cards."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.batches import BatchPlan, BudgetError, Cost, fewest_slots, group, pack, too_large
from train.data.mixture import epoch_order
from train.data.skips import SkipLog, TooManyBadSamples

COSTS = [Cost(10 + 7 * (i % 13), 4 * (i % 5)) for i in range(40)]


def plan(slots: int = 4, seed: int = 1, packed: bool = False) -> BatchPlan:
    return BatchPlan(partial(epoch_order, [40], [1.0], seed), COSTS, 8, slots, 1000, 200, packed)


@pytest.mark.parametrize("packed", [False, True])
def test_batches_are_a_function_of_seed_and_step_alone(packed: bool) -> None:
    forward = [plan(packed=packed).passes(k) for k in range(12)]
    again = plan(packed=packed)
    backward = [again.passes(k) for k in reversed(range(12))][::-1]
    assert forward == backward
    assert forward != [plan(seed=2, packed=packed).passes(k) for k in range(12)]


def test_an_epoch_takes_every_sample_once() -> None:
    one = plan()
    seen = Counter(i for step in range(5) for part in one.passes(step) for i in part)
    assert seen == Counter(range(40))
    assert one.samples(0) != one.samples(5)  # the next epoch has another order


def test_the_number_of_cards_does_not_change_what_a_step_learns_from() -> None:
    for step in range(7):
        sets = [sorted(i for part in plan(slots).passes(step) for i in part) for slots in (1, 2, 4, 8)]
        assert all(s == sets[0] for s in sets)


def test_a_step_over_the_end_of_an_epoch_is_filled_from_the_next() -> None:
    uneven = BatchPlan(partial(epoch_order, [10], [1.0], 0), COSTS[:10], 8, 2, 400, 64)
    assert uneven.samples(1) == [*uneven.epoch(0)[8:], *uneven.epoch(1)[:6]]
    assert len(uneven.samples(50)) == 8


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 30)), min_size=8, max_size=20),
    st.integers(1, 8),
    st.booleans(),
)
def test_budgets_hold_for_any_costs(pairs: list[tuple[int, int]], slots: int, packed: bool) -> None:
    costs = [Cost(*pair) for pair in pairs]
    try:
        passes = (pack if packed else group)(costs, slots, 150, 80)
    except BudgetError:
        return
    assert sorted(i for part in passes for i in part) == list(range(len(costs)))
    assert len(passes) == slots
    assert all(passes)
    for part in passes:
        lengths = [costs[i].positions for i in part]
        assert (sum(lengths) if packed else len(part) * max(lengths)) <= 150
        assert sum(costs[i].patches for i in part) <= 80


def test_grouping_puts_like_lengths_together() -> None:
    costs = [Cost(n, 0) for n in (100, 10, 100, 10, 100, 10, 100, 10)]
    assert sorted(sorted(p) for p in group(costs, 2, 1000, 10)) == [[0, 2, 4, 6], [1, 3, 5, 7]]
    with pytest.raises(BudgetError, match="3 samples cannot fill 4"):
        group(costs[:3], 4, 1000, 10)
    with pytest.raises(BudgetError, match="use more cards"):
        group(costs, 2, 300, 10)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_passes_are_filled_as_far_as_the_fullest_step_allows(packed: bool, world: int) -> None:
    few = replace(plan(packed=packed), token_budget=260, patch_budget=60)
    slots = fewest_slots(few, steps=12, world=world)
    assert slots % world == 0
    filled = replace(few, slots=slots)
    for step in range(12):
        parts = filled.passes(step)
        assert sorted(i for part in parts for i in part) == sorted(few.samples(step))
        lengths = [[COSTS[i].positions for i in part] for part in parts]
        assert all((sum(n) if packed else len(n) * max(n)) <= 260 for n in lengths)
    if slots > world:  # and with fewer some step would not fit

        def every(slots: int) -> None:
            for step in range(12):
                replace(few, slots=slots).passes(step)

        with pytest.raises(BudgetError):
            every(slots - world)
    with pytest.raises(BudgetError, match="cannot fill"):
        fewest_slots(replace(few, token_budget=20), steps=12, world=world)


def test_weights_are_kept_over_epochs() -> None:
    orders = [epoch_order([10, 4, 6], [0.5, 2.0, 0.0], 3, epoch) for epoch in range(4)]
    assert all(len(order) == 5 + 8 for order in orders)
    first_two = Counter(int(i) for order in orders[:2] for i in order)
    assert all(first_two[i] == 1 for i in range(10))  # half an epoch each, nothing twice
    assert all(first_two[i] == 4 for i in range(10, 14))
    assert all(first_two[i] == 0 for i in range(14, 20))
    assert np.array_equal(orders[0], epoch_order([10, 4, 6], [0.5, 2.0, 0.0], 3, 0))
    with pytest.raises(ValueError, match="no samples"):
        epoch_order([0], [1.0], 0, 0)


def test_bad_samples_are_named_and_too_many_end_the_run(tmp_path: object) -> None:
    log = SkipLog(limit=0.1)
    log.add(99, [("a", "Corrupt")])
    log.add(10, [("b", "Corrupt"), ("c", "file missing")])
    assert (log.seen, log.skipped, log.names) == (112, 3, ["a", "b", "c"])
    with pytest.raises(TooManyBadSamples, match=r"Corrupt.*file missing.*max_skip_rate"):
        log.add(0, [(str(i), "Corrupt") for i in range(12)])
    single = SkipLog(limit=0.0)
    single.add(30, [("only", "Corrupt")])  # one damaged file in a small set is no verdict
    with pytest.raises(TooManyBadSamples):
        single.add(30, [("second", "Corrupt")])


def test_a_bad_sample_counts_once_and_is_remembered_after_a_restart(tmp_path: Path) -> None:
    """The same damaged file in two epochs is one bad sample; a resumed run begins with what is in the file."""
    path = tmp_path / "skipped.jsonl"
    log = SkipLog(0.0, path, rows=40)
    log.lose([("set/3", "too long")])
    log.note([("set/7", "Corrupt")])  # held out: counted, no verdict
    for _ in range(3):
        log.add(30, [("set/7", "Corrupt")])
    with path.open("a") as file:
        file.write('{"id": "half a li')  # killed while it wrote
    again = SkipLog(0.0, path, rows=40)
    assert (again.skipped, again.lost) == (2, 1)
    again.add(30, [("set/7", "Corrupt")])
    assert len(path.read_text().splitlines()) == 3  # half a line, and nothing anew
    with pytest.raises(TooManyBadSamples, match=r"2 of 40 samples.*2 x Corrupt.*skipped.jsonl"):
        again.add(30, [("set/8", "Corrupt")])


def test_dropped_rows_are_part_of_the_limit() -> None:
    log = SkipLog(0.1, rows=100, dropped=8)
    log.lose([("long", "too long")])
    log.add(20, [("a", "Corrupt")])
    with pytest.raises(TooManyBadSamples, match=r"11 of 100.*8 rows left out"):
        log.add(20, [("b", "Corrupt")])


def test_samples_that_fit_into_no_pass_are_known_by_name_before_the_first_step() -> None:
    costs = [Cost(10, 4), Cost(2000, 4), Cost(10, 400)]
    found = too_large(costs, token_budget=1000, patch_budget=200)
    assert sorted(found) == [1, 2]
    assert found[1].startswith("2000 positions")
    order = epoch_order([3], [2.0], 0, 0, left_out=list(found))
    assert order.tolist() == [0, 0]
