"""Rows that a reader left out: told, written down by file and line, and counted against the run's limit.

A row that never became a sample is as lost as one that failed to open. Without this, a data folder with half of its
pictures missing trains on the other half without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from omnivmed.records import SampleSet, Skipped, by_reason
from train.data.skips import GRACE, TooManyBadSamples


@dataclass(frozen=True)
class Told:
    """An `Account` without its rows. samples, bad: how many of all sources; worst, first: for the sentence that ends a
    run."""

    lines: tuple[str, ...]
    samples: int
    bad: int
    worst: str
    first: str

    def check(self, limit: float) -> None:
        """Raises TooManyBadSamples when the rows left out are more than `limit` (a share) of all rows.

        One is allowed in any set, and fewer than twenty rows are no measure, as for samples that do not open.
        """
        seen = self.samples + self.bad
        if seen < GRACE or self.bad <= max(1.0, limit * seen):
            return
        raise TooManyBadSamples(
            f"{self.bad} of {seen} rows cannot be used ({self.worst}; first {self.first}); the limit is"
            f" {100 * limit:g} %. Look at the data folder, or raise max_skip_rate in the recipe"
        )


@dataclass(frozen=True)
class Account:
    """What the sources of a stage hold. name: "reader:path:split" of a source; counts: samples of those whose samples
    went elsewhere as they were read."""

    sets: Mapping[str, SampleSet]
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Samples of all sources."""
        return sum(self.counts.get(name, len(found.samples)) for name, found in self.sets.items())

    @property
    def bad(self) -> list[tuple[str, Skipped]]:
        """(source, row) of every row that could not be used; those a protocol leaves out are not among them."""
        return [(name, row) for name, found in self.sets.items() for row in found.skipped if not row.by_rule]

    def lines(self) -> list[str]:
        """For the log: a line per source and reason, with the first row of each; nothing when all is well."""
        out = []
        for name, found in self.sets.items():
            for rows, what in (
                ([r for r in found.skipped if not r.by_rule], "left out"),
                ([r for r in found.skipped if r.by_rule], "left out by the set's own rule"),
                (list(found.altered), "read otherwise than written"),
            ):
                for reason, count in by_reason(rows).items():
                    first = next(row.name for row in rows if row.reason == reason)
                    out.append(f"{name}: {count} {what}: {reason}, first {first}")
        return out

    def write(self, path: Path) -> None:
        """Every row that was left out or read otherwise, one JSON line each; the same file for the same data."""
        rows = []
        for name, found in self.sets.items():
            for row in found.skipped:
                use = "by rule" if row.by_rule else "left out"
                rows.append({"source": name, "row": row.name, "reason": row.reason, "use": use})
            rows += [
                {"source": name, "row": row.name, "reason": row.reason, "use": "altered"}
                for row in found.altered
            ]
        draft = path.with_suffix(".part")
        draft.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
        draft.replace(path)

    def told(self) -> Told:
        """What is said of it, and judged."""
        bad = self.bad
        counted = by_reason(row for _, row in bad).items()
        worst = ", ".join(f"{count} x {reason}" for reason, count in counted)
        first = f"{bad[0][1].name} of {bad[0][0]}" if bad else ""
        return Told(tuple(self.lines()), self.samples, len(bad), worst, first)

    def check(self, limit: float) -> None:
        """As `Told.check`."""
        self.told().check(limit)


def take(account: Account, folder: Path | None, limit: float, say: Callable[[str], None]) -> None:
    """Say what was left out, write `dropped.jsonl` into the folder (None: another process does), then judge it."""
    told = account.told()
    for line in told.lines:
        say(line)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        account.write(folder / "dropped.jsonl")
    told.check(limit)
