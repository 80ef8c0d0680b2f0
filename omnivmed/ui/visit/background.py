"""Long work in a thread, its progress as a stream: so that a generator handler can yield while it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from omnivmed.background import Beside

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


def run_with_progress(
    work: Callable[[Reporter], T], discard: Callable[[T], None] | None = None
) -> Generator[Step, None, T]:
    """Run `work(progress)` in a thread; yield its steps, return its value, raise its error.

    When the generator is closed early, the work ends at its next progress call; a value that nobody will take
    is handed to `discard`.
    """
    beside: Beside[Step, T] = Beside(
        lambda tell: work(Reporter(tell)), gone=Abandoned, discard=discard, name="omnivmed-ui-work"
    )
    steps = beside.told(passing=lambda step: step.sight is None)  # only the newest number matters
    told = 0.0
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as over:
                value: T = over.value
                return value
            now = time.monotonic()
            if now - told >= BEAT_S or step.done >= step.total or step.sight is not None:
                told = now
                yield step
    finally:
        steps.close()
