"""Bad samples: skipped, counted once by id, named, never replaced by another; too many end the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 20
"""Samples seen before the rate is judged: one bad file among the first five is no verdict."""


class TooManyBadSamples(RuntimeError):
    """The share of bad samples went over the limit; the message names the worst reasons."""


@dataclass
class SkipLog:
    """Counts of one stage.

    limit: share of bad samples that ends the run. path: JSONL to which every bad sample is appended; None keeps
    them in memory only. What is in the file already (an earlier start of the same run) counts and is not written
    again. rows: of the stage's sources, 0: not known; dropped: those among them that no reader could use. first:
    this process writes what every process finds, the samples that `lose` is told of.
    """

    limit: float
    path: Path | None = None
    rows: int = 0
    dropped: int = 0
    first: bool = True
    seen: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    lost: int = 0
    _known: set[str] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.is_file():
            return
        text = self.path.read_text(encoding="utf-8")
        if self.first and text and not text.endswith("\n"):
            self.path.write_text(text + "\n", encoding="utf-8")
        for line in text.splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # a process was killed while it wrote
                continue
            self._count(row["id"], row["reason"])
            self.seen = max(self.seen, row["seen"])
            self.lost += row.get("lost", False)

    @property
    def skipped(self) -> int:
        """Bad samples so far, those that were lost before the first step included; dropped rows are not."""
        return sum(self.reasons.values())

    def lose(self, rows: Iterable[tuple[str, str]]) -> None:
        """Count (id, reason) of samples that no step will take. Raises TooManyBadSamples past the limit."""
        for name, reason in rows:
            self.lost += self._note(name, reason, lost=True)
        self._judge(self.dropped + self.lost, self.rows)

    def add(self, good: int, bad: Iterable[tuple[str, str]]) -> None:
        """Count `good` samples and the (id, reason) of bad ones. Raises TooManyBadSamples past the limit.

        At least one bad sample is allowed in any run, so that one damaged file in a small set does not end it.
        """
        bad = list(bad)
        self.seen += good + len({name for name, _ in bad} - self._known)
        new = [self._note(name, reason) for name, reason in bad]
        if not any(new):
            return
        if self.seen >= GRACE:
            self._judge(self.skipped - self.lost, min(self.seen, self.rows or self.seen))
        self._judge(self.dropped + self.skipped, self.rows)

    def note(self, bad: Iterable[tuple[str, str]]) -> None:
        """Count and write without a verdict: held-out samples, after the last step."""
        for name, reason in bad:
            self._note(name, reason)

    def _judge(self, bad: int, of: int) -> None:
        if bad <= max(1.0, self.limit * of) or not of:
            return
        told = [f"{count} x {reason}" for reason, count in sorted(self.reasons.items())]
        worst = ", ".join([*([f"{self.dropped} rows left out"] if self.dropped else []), *told])
        where = f"; all are in {self.path.parent.name}/{self.path.name}" if self.path else ""
        raise TooManyBadSamples(
            f"{bad} of {of} samples were bad ({worst}; last {self.names[-1]}){where}; the limit is"
            f" {100 * self.limit:g} %. Look at the data folder, or raise max_skip_rate in the recipe"
        )

    def _note(self, name: str, reason: str, lost: bool = False) -> bool:
        """Whether the sample was not known to be bad yet."""
        if not self._count(name, reason):
            return False
        if self.path is not None and (self.first or not lost):
            row = {"id": name, "reason": reason, "seen": self.seen} | ({"lost": True} if lost else {})
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        return True

    def _count(self, name: str, reason: str) -> bool:
        if name in self._known:
            return False
        self._known.add(name)
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        self.names.append(name)
        return True
