"""Scores → markdown. Every cell names its protocol; the baselines stand in the same table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from omnivmed.eval import anchors
from omnivmed.eval.predictions import Header
from omnivmed.eval.protocol import Score


@dataclass(frozen=True)
class Row:
    """One system on one benchmark. tokens_removed: share of visual tokens pruned, None when not counted."""

    header: Header
    scores: tuple[Score, ...]
    tokens_removed: float | None = None
    seconds_per_answer: float | None = None
    failed: int = 0


def markdown(title: str, rows: Sequence[Row], command: str = "") -> str:
    """One table per benchmark and split: measures down, systems across; below it what the numbers rest on."""
    out = [f"## {title}", ""]
    if command:
        out += [f"Command: `{command}`", ""]
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.header.benchmark, row.header.split), []).append(row)
    for (benchmark, split), members in groups.items():
        out += [f"### {benchmark}, {split}", ""]
        out += ["| measure | " + " | ".join(m.header.model for m in members) + " |"]
        out += ["|---" * (len(members) + 1) + "|"]
        measures = list(dict.fromkeys(s.measure for m in members for s in m.scores))
        for measure in measures:
            cells = [_cell(member, measure) for member in members]
            out.append(f"| {measure} | " + " | ".join(cells) + " |")
        out += ["", *[_line(member) for member in members], ""]
        published = anchors.lines(benchmark, members[0].header.protocol)
        if published:
            out += ["Published under this protocol, not measured here:", "", *published, ""]
    out.append("Values in %, 95 % interval in brackets. Not for clinical use.")
    return "\n".join(out) + "\n"


def _cell(row: Row, measure: str) -> str:
    for score in row.scores:
        if score.measure == measure:
            if math.isnan(score.low):
                return f"{100 * score.value:.1f} ({score.protocol}, n={score.n})"
            return score.cell()
    return ""


def _line(row: Row) -> str:
    header = row.header
    parts = [f"{header.note}", f"prompts {header.prompt_hash}", "judge: none"]
    if header.threshold is not None:
        parts.append(f"threshold {header.threshold:g}")
    if row.tokens_removed is not None:
        parts.append(f"{100 * row.tokens_removed:.0f} % of visual tokens removed")
    if row.seconds_per_answer is not None:
        parts.append(f"{row.seconds_per_answer:.2f} s per answer")
    if row.failed:
        parts.append(f"{row.failed} questions failed and count as empty")
    return f"- {header.model}: " + "; ".join(part for part in parts if part) + "."
