"""The desk alone: places, turns, stop, memory; whatever is done when the turn has come."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest

from omnivmed.errors import Busy, Cancelled, ModelError
from omnivmed.inference.desk import Desk, Job
from omnivmed.inference.events import Event, Stage, Text


def make(size: int = 1) -> tuple[Desk, list[str]]:
    freed: list[str] = []
    return Desk(size, lambda error: isinstance(error, MemoryError), lambda: freed.append("freed")), freed


def draw(desk: Desk, job: Job, pieces: int = 2) -> Generator[Event, None, None]:
    """Some other work than asking."""
    with desk.served(job, "Draw a smaller one."):
        yield from desk.wait(job)
        yield from desk.hand_out(job, _pieces(job, pieces))


def _pieces(job: Job, pieces: int) -> Generator[Event, None, None]:
    for k in range(pieces):
        job.check()
        yield Text(str(k))


def test_one_after_the_other() -> None:
    desk, _ = make()
    first, second = draw(desk, Job()), draw(desk, Job())
    assert next(first) == Text("0")
    assert next(second) == Stage("waiting", 1, 1)
    assert [*first] == [Text("1")]
    assert [*second] == [Text("0"), Text("1")]
    assert len(desk) == 0


def test_a_place_is_taken_before_the_work_that_needs_no_turn() -> None:
    desk, _ = make(size=0)
    with desk.served(Job(), ""), pytest.raises(Busy, match="1 people"), desk.served(Job(), ""):
        pass
    with desk.served(Job(), ""):
        assert len(desk) == 1


def test_who_is_still_reading_keeps_nobody_waiting() -> None:
    desk, _ = make()
    with desk.served(Job(), ""):
        assert [*draw(desk, Job())] == [Text("0"), Text("1")]


def test_out_of_memory_is_advice_and_gives_back_the_turn() -> None:
    desk, freed = make()
    with pytest.raises(ModelError) as failure, desk.served(Job(), "Draw a smaller one."):
        raise MemoryError
    assert (failure.value.code, failure.value.message) == ("OutOfMemory", "Draw a smaller one.")
    assert (freed, len(desk)) == (["freed"], 0)
    with pytest.raises(KeyError), desk.served(Job(), ""):
        raise KeyError
    assert (freed, len(desk)) == (["freed"], 0)


def test_stop_while_waiting_and_while_working() -> None:
    desk, _ = make()
    first = draw(desk, Job())
    next(first)
    stop = threading.Event()
    second: Any = draw(desk, Job(stop))
    next(second)
    stop.set()
    with pytest.raises(Cancelled):
        next(second)
    assert len(desk) == 1
    first.close()
    assert len(desk) == 0


def test_a_listener_who_takes_nothing_loses_the_turn() -> None:
    desk, _ = make()
    desk.turns.patience_s = 0.0
    gone = draw(desk, Job())
    next(gone)
    assert [*draw(desk, Job())] == [Stage("waiting", 1, 1), Text("0"), Text("1")]
    with pytest.raises(Busy, match="Nobody listened"):
        list(gone)


def test_alone_means_alone() -> None:
    desk, _ = make()
    with desk.alone() as ours, desk.alone() as again:
        assert (ours, again) == (True, False)
    assert len(desk) == 0
