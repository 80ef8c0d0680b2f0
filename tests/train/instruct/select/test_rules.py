"""The selection rules: properties, and what they do with a truth that is known."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.instruct.rows.record import Record
from train.instruct.rows.shards import Drop
from train.instruct.select.rules import (
    CRITERIA,
    Bar,
    best_candidate,
    oka,
    points_of,
    similarity,
    weighted_kappa,
    within_limits,
)

NUMBERS = st.floats(0, 1, allow_nan=False, width=32)
ROWS = st.lists(st.tuples(NUMBERS | st.just(math.nan), NUMBERS | st.just(math.nan)), max_size=40).map(
    lambda pairs: [(f"r{i}", s, m) for i, (s, m) in enumerate(pairs)]
)


def ids(rows: list[tuple[str, float, float]], **how: float) -> set[str]:
    chosen = oka(rows, **how)
    found = {name for name, _, _ in rows if name in chosen}
    assert len(found) == len(chosen)
    return found


def record(**values: object) -> Record:
    given = {"id": "r", "kind": "text", "paths": (), "question": "Q", "answer": "An answer of some length."}
    return Record(**{**given, **values})  # type: ignore[arg-type]


@given(ROWS, st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_share_of_the_scored_rows_stays_and_nothing_unscored(
    rows: list[tuple[str, float, float]], keep: float
) -> None:
    chosen = oka(rows, keep)
    kept = ids(rows, keep=keep)
    scored = {name for name, s, m in rows if math.isfinite(s) and math.isfinite(m)}
    assert kept <= scored
    assert chosen.unscored == len(rows) - len(scored)
    assert len(kept) == math.ceil(keep * len(scored) - 1e-9)


@given(ROWS, st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_rows_decides_nothing(
    rows: list[tuple[str, float, float]], shuffle: random.Random
) -> None:
    other = list(rows)
    shuffle.shuffle(other)
    assert ids(other) == ids(rows)


@given(ROWS.filter(lambda rows: len(rows) > 1), st.integers(0, 39), st.floats(0, 1), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_better_score_never_puts_a_row_out(
    rows: list[tuple[str, float, float]], place: int, more: float, match: bool
) -> None:
    name, s, m = rows[place % len(rows)]
    if name not in oka(rows):
        return
    better = [(n, a, b) if n != name else (n, s + more * (not match), m + more * match) for n, a, b in rows]
    assert name in oka(better)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_no_row_left_out_is_better_in_both(rows: list[tuple[str, float, float]]) -> None:
    chosen = ids(rows)
    inside = [(s, m) for name, s, m in rows if name in chosen]
    outside = [(s, m) for name, s, m in rows if name not in chosen and math.isfinite(s) and math.isfinite(m)]
    assert not any(s > a and m > b for s, m in outside for a, b in inside)


def test_half_by_hand() -> None:
    rows = [("a", 0.0, 0.2), ("b", 1.0, 0.2), ("c", 0.5, 0.8), ("d", 0.0, 0.7), ("e", math.nan, 1.0)]
    chosen = oka(rows)
    # scaled M: a 0, b 0, c 1, d 0.8333; with half of scaled S: 0, 0.5, 1.25, 0.8333
    assert ids(rows) == {"c", "d"}
    assert chosen.bar == pytest.approx(0.5 / 0.6)
    assert chosen.unscored == 1
    equal = ids([("b", 1.0, 1.0), ("a", 1.0, 1.0)])  # by a hash of the id
    assert len(equal) == 1
    assert ids([("a", 1.0, 1.0), ("b", 1.0, 1.0)]) == equal
    assert len(oka([], 0.5)) == 0
    with pytest.raises(ValueError, match="twice"):
        oka([("a", 0, 0), ("a", 1, 1)])
    with pytest.raises(ValueError, match="share"):
        oka([], 1.5)


def test_planted_rows_are_told_apart() -> None:
    """Half of 2,000 rows are good; S and M of the good are 1 higher by the stated noise of 0.35."""
    rng = np.random.default_rng(0)
    good = rng.random(2000) < 0.5
    s, m = (good + rng.normal(0, 0.35, 2000) for _ in range(2))
    chosen = ids([(str(i), float(s[i]), float(m[i])) for i in range(2000)])
    hits = sum(good[int(i)] for i in chosen)
    assert hits / len(chosen) >= 0.95
    assert hits / good.sum() >= 0.8


def judged(
    truth: float, noise: float, rng: np.random.Generator, judges: int = 2, candidates: int = 1
) -> Record:
    def scores() -> dict[str, float]:
        return {c: float(np.clip(round(truth + rng.normal(0, noise)), 1, 5)) for c in CRITERIA}

    return record(
        candidates=tuple({"text": str(k)} for k in range(candidates)),
        judgements=tuple(
            {"candidate": k, "judge": f"j{j}", "scores": scores()}
            for k in range(candidates)
            for j in range(judges)
        ),
    )


def test_planted_captions_are_told_apart() -> None:
    """Good captions are worth 4.7, bad ones 2.5; each judge errs by a standard deviation of 0.7."""
    rng = np.random.default_rng(0)
    truth = rng.random(2000) < 0.5
    kept = np.array([best_candidate(judged(4.7 if t else 2.5, 0.7, rng)) is not None for t in truth])
    assert (kept & truth).sum() / kept.sum() >= 0.95
    assert (kept & truth).sum() / truth.sum() >= 0.8


def test_the_best_that_passes_is_taken() -> None:
    def row(*points: tuple[str, int, tuple[object, ...]]) -> Record:
        given = [
            {"candidate": c, "judge": j, "scores": dict(zip(CRITERIA, p, strict=True))} for j, c, p in points
        ]
        return record(candidates=({"text": "a"}, {"text": "b"}), judgements=tuple(given))

    both = row(("x", 0, (4, 4, 4)), ("y", 0, (4, 4, 4)), ("x", 1, (5, 4, 4)), ("y", 1, (4, 4, 4)))
    best = best_candidate(both)
    assert best is not None
    assert best == pytest.approx((1, 25 / 6))
    low = row(("x", 0, (5, 5, 2)), ("y", 0, (5, 5, 5)))
    assert best_candidate(low) is None
    best = best_candidate(low, Bar(lowest=2))
    assert best is not None
    assert best == pytest.approx((0, 27 / 6))
    one = row(("x", 0, (5, 5, 5)), ("x", 0, (5, 5, 5)))
    assert best_candidate(one) is None  # the same judge twice is one judge
    assert best_candidate(one, Bar(judges=1)) == (0, 5)
    broken = row(("x", 0, (5, 5, 5)), ("y", 0, (5, 5, 9)))
    assert best_candidate(broken) is None
    assert best_candidate(record()) is None


@pytest.mark.parametrize(
    "scores", [None, "5", {}, {"relevance": 5, "fluency": 5}, dict.fromkeys(CRITERIA, True)]
)
def test_judgements_that_are_none(scores: object) -> None:
    assert points_of({"scores": scores}) is None


def test_limits() -> None:
    large = {"shorter_side": 128.0}
    assert within_limits(record(kind="image", paths=("a",), scores=large))
    for wrong in (
        record(kind="image", paths=("a",), scores={"shorter_side": 127.0}),
        record(kind="image", paths=("a",)),
        record(kind="image", paths=("a",), scores={"shorter_side": math.nan}),
        record(answer="too short"),
        record(answer="x" * 1025),
    ):
        with pytest.raises(Drop):
            within_limits(wrong)
    assert within_limits(record(answer="x" * 1024))


def test_similarity_is_the_largest_cosine() -> None:
    row = record(answer="o", candidates=({"text": "a"}, {"text": "b"}))
    vectors = {"o": [1, 0], "a": [0, 1], "b": [1, 1]}
    assert similarity(row, vectors) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(similarity(record(answer="o"), vectors))
    assert math.isnan(similarity(row, {"a": [1, 0]}))
    assert similarity(row, {**vectors, "o": [0, 0]}) == 0.0


def test_weighted_kappa() -> None:
    assert weighted_kappa([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) == pytest.approx(1)
    assert weighted_kappa([1, 5], [5, 1]) == pytest.approx(-1)
    assert weighted_kappa([1, 1, 5, 5], [1, 5, 1, 5]) == pytest.approx(0)
    # by hand: weights (a - b)² / 16; observed 3 / 16; chance: mean of (a - b)² over all nine pairs = 21 / 9, x 3 / 16
    assert weighted_kappa([1, 2, 3], [2, 3, 4]) == pytest.approx(1 - (3 / 16) / (21 / 9 * 3 / 16))
    assert math.isnan(weighted_kappa([3, 3], [3, 3]))
    assert math.isnan(weighted_kappa([], []))
    with pytest.raises(ValueError, match="2 and 1"):
        weighted_kappa([1, 2], [1])
