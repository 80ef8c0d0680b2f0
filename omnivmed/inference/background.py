"""Run a function that reports by callback, and give what it reports out as an iterator."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from omnivmed.errors import Cancelled
from omnivmed.progress import Progress

T = TypeVar("T")
E = TypeVar("E")


def told_by(
    work: Callable[[Callable[[E], None]], T],
    stop: threading.Event | None = None,
    *,
    last_step_s: float = 0.0,
    name: str = "omnivmed-read",
) -> Generator[E, None, T]:
    """Yield whatever `work(tell)` tells, then return its result or raise its error.

    Closing the iterator, or setting `stop`, ends the work at its next `tell`; the latter raises Cancelled here.
    last_step_s: how long closing waits for the work to have noticed, so that two steps never compute side by side.
    """
    told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    abandoned = threading.Event()

    def tell(what: E) -> None:
        if abandoned.is_set() or (stop is not None and stop.is_set()):
            raise Cancelled
        told.put(("told", what))

    def run() -> None:
        try:
            told.put(("result", work(tell)))
        except BaseException as error:
            told.put(("error", error))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = told.get()
            if kind == "told":
                yield value
            elif kind == "error":
                raise value
            else:
                result: T = value
                return result
    finally:
        abandoned.set()
        thread.join(last_step_s)


def in_background(
    work: Callable[[Progress], T], stop: threading.Event | None = None
) -> Generator[tuple[int, int], None, T]:
    """`told_by` for work that reports progress: yields (done, total)."""

    def run(tell: Callable[[tuple[int, int]], None]) -> T:
        return work(lambda _stage, done, total: tell((done, total)))

    return (yield from told_by(run, stop))
