"""Bad samples: skipped, counted, named, never replaced by another; too many end the run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 20
"""Samples seen before the rate is judged: one bad file among the first five is no verdict."""


class TooManyBadSamples(RuntimeError):
    """The share of bad samples went over the limit; the message names the worst reasons."""


@dataclass
class SkipLog:
    """Counts of one stage. path: JSONL to which every bad sample is appended; None keeps them in memory only."""

    limit: float
    path: Path | None = None
    seen: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    @property
    def skipped(self) -> int:
        """Bad samples so far."""
        return sum(self.reasons.values())

    def add(self, good: int, bad: list[tuple[str, str]]) -> None:
        """Count `good` samples and the (id, reason) of bad ones. Raises TooManyBadSamples past the limit.

        At least one bad sample is allowed in any run, so that one damaged file in a small set does not end it.
        """
        self.seen += good + len(bad)
        for name, reason in bad:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            self.names.append(name)
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"id": name, "reason": reason, "seen": self.seen}) + "\n")
        allowed = max(1.0, self.limit * self.seen)
        if bad and self.seen >= GRACE and self.skipped > allowed:
            worst = ", ".join(f"{count} x {reason}" for reason, count in sorted(self.reasons.items()))
            raise TooManyBadSamples(
                f"{self.skipped} of {self.seen} samples were bad ({worst}; last {self.names[-1]}); the limit is"
                f" {100 * self.limit:g} %. Look at the data folder, or raise max_skip_rate in the recipe"
            )
