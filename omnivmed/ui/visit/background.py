"""Long work in a thread, its progress as a stream: so that a generator handler can yield while it waits."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

BEAT_S = 0.2  # a page is told at most this often


class Abandoned(Exception):
    """Raised inside the work, at its next progress call, when nobody waits for it any more."""


@dataclass(frozen=True)
class Step:
    """`done` of `total` units of `stage`; total 0 = not known. `sight`: a payload that can be looked at meanwhile."""

    stage: str
    done: int
    total: int
    sight: Path | None = None


class Reporter:
    """What the work tells the page; raises Abandoned once nobody waits for it any more."""

    def __init__(self, put: Callable[[Step], None]) -> None:
        self._put = put
        self._last = Step("reading", 0, 0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._last = Step(stage, done, total)
        self._put(self._last)

    def show(self, sight: Path) -> None:
        """Something to look at while the work goes on; unlike a number it is never left out."""
        self._put(replace(self._last, sight=sight))


@dataclass
class _Outcome(Generic[T]):
    value: T | None = None
    error: BaseException | None = None


def run_with_progress(
    work: Callable[[Reporter], T], discard: Callable[[T], None] | None = None
) -> Generator[Step, None, T]:
    """Run `work(progress)` in a thread; yield its steps, return its value, raise its error.

    When the generator is closed early, the work ends at its next progress call; a value that nobody will take
    is handed to `discard`.
    """
    steps: queue.SimpleQueue[Step | _Outcome[T]] = queue.SimpleQueue()
    abandoned = threading.Event()

    def put(step: Step) -> None:
        if abandoned.is_set():
            raise Abandoned
        steps.put(step)

    def run() -> None:
        outcome: _Outcome[T] = _Outcome()
        try:
            outcome.value = work(Reporter(put))
        except BaseException as error:  # handed to the waiting handler, whatever it is
            outcome.error = error
        if abandoned.is_set() and outcome.error is None and discard is not None:
            discard(outcome.value)  # type: ignore[arg-type]
        steps.put(outcome)

    thread = threading.Thread(target=run, name="omnivmed-ui-work", daemon=True)
    thread.start()
    told = 0.0
    finished = False
    try:
        while True:
            item = steps.get()
            while isinstance(item, Step) and item.sight is None and not steps.empty():
                item = steps.get()  # only the newest step matters
            if isinstance(item, _Outcome):
                finished = True
                if item.error is not None:
                    raise item.error
                return item.value  # type: ignore[return-value]
            now = time.monotonic()
            if now - told >= BEAT_S or item.done >= item.total or item.sight is not None:
                told = now
                yield item
    finally:
        if not finished:
            abandoned.set()
