"""Answers on disk first, numbers made of them afterwards: one JSONL file per arm of an experiment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omnivmed.eval.intervals import bootstrap, paired_difference


@dataclass(frozen=True)
class Said:
    """One answer. case: picture or study; group: patient (intervals are drawn over these); cost: tokens, seconds."""

    case: str
    group: str
    task: str
    question: str
    target: str
    said: str
    kind: str = "image"
    tokens: int = 0
    seconds: float = 0.0
    prefill_s: float = 0.0

    @property
    def right(self) -> bool:
        return self.said.strip() == self.target.strip()

    @property
    def key(self) -> tuple[str, str, str]:
        return self.case, self.task, self.question


@dataclass(frozen=True)
class Cell:
    """One number with its 95 % interval. ``value`` in 0..1 for shares, else in ``unit``."""

    arm: str
    measure: str
    value: float
    low: float
    high: float
    n: int
    unit: str = "%"
    protocol: str = "exact"

    def text(self) -> str:
        """For a table, protocol included."""
        end = f"({self.protocol}, n={self.n})"
        if self.unit == "%":
            return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}] {end}"
        return f"{self.value:.3g} {self.unit} [{self.low:.3g}, {self.high:.3g}] {end}"


@dataclass(frozen=True)
class Difference:
    """``first`` minus ``second`` on the same questions, in points of share."""

    first: str
    second: str
    measure: str
    value: float
    low: float
    high: float
    n: int

    def text(self) -> str:
        return (
            f"{self.first} - {self.second}, {self.measure}: {100 * self.value:+.1f} points "
            f"[{100 * self.low:+.1f}, {100 * self.high:+.1f}] (n={self.n})"
        )


def write(path: Path, rows: Iterable[Said]) -> None:
    """All answers of an arm at once: a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    part.replace(path)


def read(path: Path) -> list[Said]:
    return [Said(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def score(arm: str, measure: str, rows: Sequence[Said], protocol: str = "exact") -> Cell:
    """Share of exact answers, bootstrapped over patients. protocol: its name in every cell."""
    hits = [float(r.right) for r in rows]
    low, high = bootstrap(hits, [r.group for r in rows] or None)
    return Cell(arm, measure, sum(hits) / len(hits) if hits else 0.0, low, high, len(hits), protocol=protocol)


def average(arm: str, measure: str, rows: Sequence[Said], values: Sequence[float], unit: str) -> Cell:
    """A mean of costs, bootstrapped over patients."""
    low, high = bootstrap(values, [r.group for r in rows] or None)
    return Cell(arm, measure, sum(values) / max(1, len(values)), low, high, len(values), unit, "measured")


def difference(
    first: str, ours: Sequence[Said], second: str, theirs: Sequence[Said], measure: str
) -> Difference:
    """On the questions that both were asked. Raises ValueError when they share none."""
    other = {r.key: r for r in theirs}
    pairs = [(r, other[r.key]) for r in ours if r.key in other]
    if not pairs:
        raise ValueError(f"{first} and {second} were asked no common question")
    value, low, high = paired_difference(
        [float(a.right) for a, _ in pairs], [float(b.right) for _, b in pairs], [a.group for a, _ in pairs]
    )
    return Difference(first, second, measure, value, low, high, len(pairs))
