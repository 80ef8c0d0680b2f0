"""Work beside: what it tells, its end, and what happens when nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from omnivmed.background import Beside, in_background, told_by
from omnivmed.errors import Cancelled

SOON = 10.0


def test_what_it_tells_then_its_result() -> None:
    def work(tell: Callable[[int], None]) -> str:
        for k in range(3):
            tell(k)
        return "done"

    steps = Beside(work).told()
    assert [next(steps), next(steps), next(steps)] == [0, 1, 2]
    with pytest.raises(StopIteration) as over:
        next(steps)
    assert over.value.value == "done"


def test_it_runs_before_anybody_listens_and_only_the_newest_is_told() -> None:
    ran = threading.Event()

    def work(tell: Callable[[int], None]) -> None:
        for k in range(100):
            tell(k)
        ran.set()

    beside = Beside(work)
    assert ran.wait(SOON)
    told = list(beside.told(passing=lambda k: k != 7))
    assert 7 in told
    assert len(told) <= 3


def test_its_error_is_raised_here() -> None:
    def work(_: Callable[[int], None]) -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        list(Beside(work).told())


@pytest.mark.parametrize("late", [False, True], ids=["while it works", "when the result lies there"])
def test_given_up_it_ends_and_its_result_is_discarded(late: bool) -> None:
    go_on, ended = threading.Event(), threading.Event()
    dropped: list[str] = []

    def work(tell: Callable[[int], None]) -> str:
        tell(0)
        go_on.wait(SOON)
        ended.set()
        return "file"

    beside = Beside(work, discard=dropped.append)
    steps = beside.told()
    assert next(steps) == 0
    if late:
        go_on.set()
        assert ended.wait(SOON)
        beside._thread.join(SOON)
    steps.close()
    go_on.set()
    beside._thread.join(SOON)
    assert dropped == ["file"]


def test_a_stop_flag_ends_it_at_its_next_word() -> None:
    stop = threading.Event()
    told: list[int] = []

    def work(tell: Callable[[int], None]) -> None:
        for k in range(10**9):
            tell(k)

    def listen() -> None:
        for k in told_by(work, stop):
            told.append(k)
            stop.set()

    with pytest.raises(Cancelled):
        listen()
    assert told[0] == 0


def test_closing_waits_for_the_last_step() -> None:
    steps_done: list[int] = []

    def work(tell: Callable[[int], None]) -> None:
        for k in range(10**9):
            threading.Event().wait(0.05)
            steps_done.append(k)
            tell(k)

    steps = told_by(work, last_step_s=SOON)
    next(steps)
    steps.close()
    count = len(steps_done)
    threading.Event().wait(0.2)
    assert len(steps_done) == count


def test_progress_as_pairs() -> None:
    def work(progress: Callable[[str, int, int], None]) -> None:
        progress("reading", 1, 4)
        progress("reading", 2, 4)

    assert list(in_background(work)) == [(1, 4), (2, 4)]
