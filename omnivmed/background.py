"""Work in a thread of its own that reports by callback; what it reports comes out as an iterator.

One pattern for loading a model while a file is decoded, for a page that tells how far an opening is, and for slow steps
of an answer that must end when nobody waits any more.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from omnivmed.errors import Cancelled
from omnivmed.progress import Progress

T = TypeVar("T")
E = TypeVar("E")


class Beside(Generic[E, T]):
    """`work(tell)` runs from now on, in a thread called `name`; `told()` gives out what it tells and its result.

    stop: set it, and the work ends at its next `tell`. gone: what is raised inside the work then. discard: is given the
    result when nobody will take it any more.
    """

    def __init__(
        self,
        work: Callable[[Callable[[E], None]], T],
        stop: threading.Event | None = None,
        *,
        gone: type[Exception] = Cancelled,
        discard: Callable[[T], None] | None = None,
        name: str = "omnivmed-work",
    ) -> None:
        self._work = work
        self._stop = stop
        self._gone = gone
        self._discard = discard
        self._told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._abandoned = threading.Event()
        self._handing = threading.Lock()  # the result is handed over, or nobody waits: never both
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def told(
        self, *, last_step_s: float = 0.0, passing: Callable[[E], bool] = lambda _: False
    ) -> Generator[E, None, T]:
        """Yield whatever the work tells, then return its result or raise its error. To be gone through once.

        Closing the iterator gives the work up: it ends at its next `tell`. last_step_s: how long closing waits for the
        work to have noticed, so that two steps never compute side by side. passing(told): whether this may be left out
        where something newer has been told already.
        """
        over = False
        try:
            while True:
                kind, value = self._told.get()
                while kind == "told" and passing(value) and not self._told.empty():
                    kind, value = self._told.get()
                if kind == "told":
                    yield value
                    continue
                over = True
                if kind == "error":
                    raise value
                result: T = value
                return result
        finally:
            if not over:
                self._give_up()
                self._thread.join(last_step_s)

    def _tell(self, what: E) -> None:
        if self._abandoned.is_set() or (self._stop is not None and self._stop.is_set()):
            raise self._gone
        self._told.put(("told", what))

    def _run(self) -> None:
        try:
            value = self._work(self._tell)
        except BaseException as error:  # handed to whoever waits, whatever it is
            self._told.put(("error", error))
            return
        with self._handing:
            if not self._abandoned.is_set():
                self._told.put(("result", value))
                return
        self._drop(value)

    def _give_up(self) -> None:
        with self._handing:
            self._abandoned.set()
        while not self._told.empty():  # a result that came too late to be taken
            kind, value = self._told.get()
            if kind == "result":
                self._drop(value)

    def _drop(self, value: T) -> None:
        if self._discard is not None:
            self._discard(value)


def told_by(
    work: Callable[[Callable[[E], None]], T],
    stop: threading.Event | None = None,
    *,
    last_step_s: float = 0.0,
    name: str = "omnivmed-read",
) -> Generator[E, None, T]:
    """`Beside(…).told()`, started by the first `next`. Setting `stop` raises Cancelled here."""
    return (yield from Beside(work, stop, name=name).told(last_step_s=last_step_s))


def in_background(
    work: Callable[[Progress], T], stop: threading.Event | None = None
) -> Generator[tuple[int, int], None, T]:
    """`told_by` for work that reports progress: yields (done, total)."""

    def run(tell: Callable[[tuple[int, int]], None]) -> T:
        return work(lambda _stage, done, total: tell((done, total)))

    return (yield from told_by(run, stop))
