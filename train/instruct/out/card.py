"""The card of a built set: what is in it, under which terms, what was left out and why. Every number is counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from train.data.statistics import NOT_SAID, Statistics, figure
from train.instruct.graph import steps
from train.instruct.rows import shards
from train.instruct.rows.licences import licence_of
from train.instruct.rows.record import Record
from train.instruct.sources import cells, gather

EXAMPLES, LONGEST = 2, 160
FIGURE = "distribution.png"


@dataclass
class Contents:
    """Counts over the selected rows."""

    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    patients: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """Count one row."""
        modality = record.modality or ("text" if record.kind == "text" else NOT_SAID)
        self.cells[modality, record.task or NOT_SAID, record.dimension] += 1
        self.sources[record.source or NOT_SAID] += 1
        self.splits[record.split] += 1
        self.patients.add(record.patient)


def contents(records: Iterable[Record]) -> Contents:
    """Counts of some rows."""
    out = Contents()
    for record in records:
        out.add(record)
    return out


def write(folder: Path, out: Path, title: str) -> str:
    """Write `README.md` and its figure into `out` for the graph's `folder`; returns the text."""
    out.mkdir(parents=True, exist_ok=True)
    found = contents(shards.records_of(folder / "selected"))
    counts: dict[tuple[str, str, str, str], float] = {("", *cell): n for cell, n in found.cells.items()}
    figure(Statistics(counts, len(found.patients)), out / FIGURE)
    text = "\n".join(_lines(folder, found, title)) + "\n"
    (out / "README.md").write_text(text, encoding="utf-8")
    return text


def _lines(folder: Path, found: Contents, title: str) -> Iterable[str]:
    total = sum(found.cells.values())
    yield f"# {title}\n"
    splits = ", ".join(f"{n:,} {name}" for name, n in sorted(found.splits.items()))
    yield f"{total:,} rows ({splits}, split by patient) of {len(found.patients):,} patients or pictures."
    yield "\nNot for clinical use. Machine-written captions are unchecked unless an audit is named below.\n"
    yield f"![rows by modality and task]({FIGURE})\n"
    yield "## Modality x task x dimension\n\n| modality | task | dimension | rows |\n|---|---|---|---|"
    for (modality, task, dimension), n in sorted(found.cells.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"| {modality} | {task} | {dimension} | {n:,} |"
    yield (
        "\n## Sources and terms\n\n| source | rows | licence | rows may be passed on | what must be known |\n|"
        + "---|" * 5
    )
    for source, n in found.sources.most_common():
        terms = licence_of(source)
        yield f"| {source} | {n:,} | {terms.name} | {'yes' if terms.may_share else 'no'} | {terms.note} |"
    closed = sorted(s for s in found.sources if not licence_of(s).may_share)
    if closed:
        yield f"\n**This set may not be passed on as a whole**, as far as is known, for: {', '.join(closed)}."
    if parts := gather.read_account(folder / "sources.json"):
        yield "\n## Planned, found, made\n"
        yield cells.table((p.source, p.planned, p.found, p.made) for p in parts)
        yield from _reader_reasons(parts)
    yield from _stages(folder, total)
    yield from _judges(folder)
    yield from _audit(folder)


def _reader_reasons(parts: Iterable[gather.Part]) -> Iterable[str]:
    for part in parts:
        for reason, n in part.left_out.items():
            yield f"- {part.source}: {n:,} x {reason}"


def _stages(folder: Path, total: int) -> Iterable[str]:
    names = [p.name for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0].isdigit()]
    names = [n for n in ("unleaked", "checked") if (folder / n).is_dir()] + names
    before = "records"
    yield "\n## What was left out\n\n| stage | rows in | rows out |\n|---|---|---|"
    for name in names:
        count = shards.counted(folder / before, folder / name)
        yield f"| {name} | {count.read:,} | {count.kept:,} |"
        before = name
    yield f"| selection | {shards.counted(folder / before, folder / before).kept:,} | {total:,} |"
    accepted = contents(shards.records_of(folder / before)).sources
    chosen = contents(shards.records_of(folder / "selected")).sources
    yield "\n| source | judged | selected | share |\n|---|---|---|---|"
    for source, n in accepted.most_common():
        yield f"| {source} | {n:,} | {chosen[source]:,} | {chosen[source] / n:.0%} |"
    for name in names:
        examples: dict[str, list[str]] = {}
        for reject in shards.rejects_of(folder / name):
            held = examples.setdefault(str(reject["reason"]), [])
            record = reject.get("record")
            if len(held) < EXAMPLES and isinstance(record, dict):
                held.append(_short(f"{record['question']} {record['answer']}"))
        for reason, n in shards.reasons(folder / name).items():
            yield f"\n{n:,} x {reason} ({name}). For example:\n"
            yield from (f"- {text}" for text in examples[reason])


def _short(text: str) -> str:
    text = " ".join(text.split()).replace("|", "/").replace("<", "(").replace("`", "'")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _judges(folder: Path) -> Iterable[str]:
    agreement, drift = steps.agreement(folder), steps.drift(folder)
    if not drift:
        return
    yield "\n## Judges\n"
    for pair, kappa in agreement.items():
        yield f"- {pair}: weighted kappa {kappa:.2f}"
    for judge, means in drift.items():
        level = ", ".join(f"{m:.2f}" for m in means if m == m)
        yield f"- {judge}: mean points in each tenth of the rows {level}"


def _audit(folder: Path) -> Iterable[str]:
    path = folder / "audit.json"
    yield "\n## Audit by a person\n"
    if not path.is_file():
        yield "None was made."
        return
    verdicts = Counter(row["verdict"] for row in json.loads(path.read_text(encoding="utf-8")).values())
    seen = sum(verdicts.values())
    told = ", ".join(f"{verdicts[name]} {name}" for name in ("accepted", "edited", "rejected"))
    yield f"{seen:,} rows were looked at: {told}."
