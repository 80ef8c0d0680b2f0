"""Who gives way when memory or disk of all visitors together runs out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from omnivmed.ui.visit.totals import Holding, who_gives_way

ROOM = {"most_memory": 100, "most_disk": 1000}


def test_nobody_gives_way_while_it_fits() -> None:
    assert who_gives_way([Holding("a", 60, 0, 9)], memory=40, **ROOM) == []


def test_the_longest_idle_goes_first_and_no_more_than_needed() -> None:
    holdings = [Holding("new", 40, 0, 1), Holding("old", 30, 0, 90), Holding("older", 30, 0, 99)]
    assert who_gives_way(holdings, memory=30, **ROOM) == ["older"]
    assert who_gives_way(holdings, memory=31, **ROOM) == ["older", "old"]


def test_who_is_busy_stays_and_then_the_newcomer_is_refused() -> None:
    busy = [Holding("a", 60, 0, 99, busy=True), Holding("b", 30, 0, 1)]
    assert who_gives_way(busy, memory=30, **ROOM) == ["b"]
    assert who_gives_way(busy, memory=50, **ROOM) is None


def test_only_those_whose_leaving_helps() -> None:
    holdings = [Holding("files only", 0, 500, 99), Holding("pixels only", 90, 0, 5)]
    assert who_gives_way(holdings, memory=20, **ROOM) == ["pixels only"]
    assert who_gives_way(holdings, disk=600, **ROOM) == ["files only"]


holding = st.builds(
    Holding,
    st.uuids().map(str),
    st.integers(0, 60),
    st.integers(0, 600),
    st.floats(0, 1e4, allow_nan=False),
    st.booleans(),
)


@given(st.lists(holding, max_size=8), st.integers(0, 120), st.integers(0, 1200))
def test_what_is_left_fits(holdings: list[Holding], memory: int, disk: int) -> None:
    leaving = who_gives_way(holdings, memory=memory, disk=disk, **ROOM)
    idle = [one for one in holdings if not one.busy]
    left = [one for one in holdings if leaving is None or one.key not in leaving]
    if leaving is None:
        stay = [one for one in holdings if one.busy]
        assert sum(o.memory for o in stay) + memory > 100 or sum(o.disk for o in stay) + disk > 1000
    else:
        assert set(leaving) <= {one.key for one in idle}
        assert sum(o.memory for o in left) + memory <= 100
        assert sum(o.disk for o in left) + disk <= 1000
