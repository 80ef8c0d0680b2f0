"""However this program is told to stop, it stops the same way: work ends, every file goes, within three seconds.

Ctrl-C (SIGINT), a service manager or container that stops it (SIGTERM) and a terminal that closes (SIGHUP) differ
only in the number. Python's default for the latter two ends the process on the spot, and the visitors' files stay.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

log = logging.getLogger("omnivmed.ui")

ENDS = ("SIGINT", "SIGTERM", "SIGHUP")
#: Files are deleted after this long, whether or not everybody has stopped by then.
PATIENCE_S = 1.5


def end_tidily(
    stop: Callable[[], None], remove: Callable[[], None], leave: Callable[[int], None] = os._exit
) -> None:
    """Have every signal of `ENDS` call `stop()` (flags, visitors), then `remove()` (files), then leave.

    `stop` may need locks that a stuck thread holds, so it runs beside and gets `PATIENCE_S`; `remove` must need none.
    The exit code is 130 for Ctrl-C, as shells expect, and 0 otherwise: being told to stop is no failure. A second
    signal leaves at once. Call from the main thread (a condition of Python's `signal`).
    """
    begun = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        if begun.is_set():
            leave(128 + number)
        begun.set()
        stopping = threading.Thread(target=_quietly(stop), name="omnivmed-stop", daemon=True)
        stopping.start()
        stopping.join(PATIENCE_S)
        _quietly(remove)()
        leave(128 + number if number == signal.SIGINT else 0)

    for name in ENDS:
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), end)


def _quietly(work: Callable[[], None]) -> Callable[[], None]:
    """The same, but an error is a line in the log: the next step of the end has to come."""

    def run() -> None:
        try:
            work()
        except Exception as error:
            log.warning("ending: code=%s", type(error).__name__)

    return run
