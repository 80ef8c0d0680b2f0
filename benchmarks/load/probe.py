"""How fast is the machine just now? A fixed computation, timed again and again beside what is measured.

Seconds on a shared machine say as much about its other work as about the page. Divided by how much longer than at its
best the fixed computation took in the same minute, they can be compared over an hour.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import defaultdict
from types import TracebackType

from benchmarks.load.visitor import percentile

Timed = tuple[float, float]  # (minute, seconds)

#: About as much work as the page does for one opening, in a process of its own; a line of seconds every two.
WORK = """
import time
while True:
    began = time.perf_counter()
    sum(k * k for k in range(300_000))
    print(time.perf_counter() - began, flush=True)
    time.sleep(2)
"""


class Probe:
    """`with Probe() as probe:` and then `probe.seen`: (minute since the beginning, seconds of the computation)."""

    def __init__(self) -> None:
        self.seen: list[Timed] = []
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", WORK], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen.append(((time.monotonic() - self._began) / 60, float(line)))

    def __enter__(self) -> Probe:
        self._reader.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)


def slowness(seen: list[Timed]) -> dict[int, float]:
    """minute → how many times longer than at its best (10th percentile of all) the computation took, on the mean."""
    if not seen:
        return {}
    best = percentile([seconds for _, seconds in seen], 0.1)
    minutes: dict[int, list[float]] = defaultdict(list)
    for minute, seconds in seen:
        minutes[int(minute)].append(seconds)
    return {minute: sum(found) / len(found) / best for minute, found in minutes.items()}


def evened(values: list[Timed], seen: list[Timed]) -> list[Timed]:
    """Seconds as they would be at the machine's best: each by the slowness of its minute."""
    slow = slowness(seen)
    return [(minute, seconds / slow.get(int(minute), 1.0)) for minute, seconds in values]


def thirds(values: list[Timed], minutes: float, share: float = 0.95) -> list[float]:
    """The percentile of each third of the time."""
    return [
        percentile([s for minute, s in values if k <= 3 * minute / minutes < k + 1], share) for k in range(3)
    ]


def per_visit(by_minute: list[dict[str, float]], minutes: float) -> list[float]:
    """Processor seconds of the server for one visit, in each third of the time; 0 where nothing can be said."""
    told = []
    for k in range(3):
        third = [line for line in by_minute if k <= 3 * line["minute"] / minutes < k + 1]
        before = [line for line in by_minute if third and line["minute"] < third[0]["minute"]]
        third = [*before[-1:], *third]  # from the last line before on
        visits = third[-1]["visits"] - third[0]["visits"] if len(third) > 1 else 0
        told.append((third[-1]["cpu_s"] - third[0]["cpu_s"]) / visits if visits else 0.0)
    return told
