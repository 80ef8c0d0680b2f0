"""Run a function that reports progress by callback, and give that progress out as an iterator."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from omnivmed.errors import Cancelled
from omnivmed.progress import Progress

T = TypeVar("T")


def in_background(
    work: Callable[[Progress], T], stop: threading.Event | None = None
) -> Generator[tuple[int, int], None, T]:
    """Yield (done, total) as `work` reports them, then return its result or raise its error.

    Closing the iterator, or setting `stop`, ends the work at its next report; the latter raises Cancelled here.
    """
    told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    abandoned = threading.Event()

    def report(_stage: str, done: int, total: int) -> None:
        if abandoned.is_set() or (stop is not None and stop.is_set()):
            raise Cancelled
        told.put(("progress", (done, total)))

    def run() -> None:
        try:
            told.put(("result", work(report)))
        except BaseException as error:
            told.put(("error", error))

    threading.Thread(target=run, name="omnivmed-read", daemon=True).start()
    try:
        while True:
            kind, value = told.get()
            if kind == "progress":
                yield value
            elif kind == "error":
                raise value
            else:
                result: T = value
                return result
    finally:
        abandoned.set()
