"""A clock that counts through sleep and is never set; and times of a clip as the viewer writes them."""

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


def clip_time(seconds: float) -> str:
    """A time in a clip as it stands beside the slider: "1:20.5", "1:02:03" from an hour on."""
    tenths = round(max(0.0, seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"
    return f"{minutes}:{rest // 10:02d}.{rest % 10}"
