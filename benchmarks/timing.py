"""Variants run in turn, round by round, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Samples:
    """Seconds of one variant, one entry per round: on the clock, and of processor time over all threads."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Spread:
    """Median with first and third quartile."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    """Median and quartiles; of fewer than three values, the extremes."""
    if len(values) < 3:
        return Spread(statistics.median(values), min(values), max(values))
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(baseline: list[float], ours: list[float]) -> list[float]:
    """Baseline by ours, round by round: above 1, ours is faster."""
    return [b / max(o, 1e-9) for b, o in zip(baseline, ours, strict=True)]


def interleave(variants: dict[str, Callable[[], object]], rounds: int, warmup: int = 1) -> dict[str, Samples]:
    """Run every variant once per round, the order turned round by round, after `warmup` unmeasured rounds."""
    samples = {name: Samples() for name in variants}
    names = list(variants)
    for number in range(-warmup, rounds):
        for name in names if number % 2 == 0 else reversed(names):
            wall, cpu = time.perf_counter(), time.process_time()
            variants[name]()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if number >= 0:
                samples[name].wall_s.append(wall)
                samples[name].cpu_s.append(cpu)
    return samples
