"""A clock that counts through sleep and is never set."""

from __future__ import annotations

import time


def boot_clock() -> float:
    """Seconds since the computer started, those included in which it slept (on Linux; elsewhere `time.monotonic`).

    `time.monotonic` stands still while a laptop is shut, so files would outlive the night; the time of day jumps when
    it is set.
    """
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.monotonic()
