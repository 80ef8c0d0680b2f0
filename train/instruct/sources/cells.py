"""What the papers count, as a plan; and the plan beside what was found and what was made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from train.recipes.catalogue import ALIGN, INSTRUCT, MIXED
from train.recipes.config import Source

PUBLISHED = {
    # Training rows as published; what is not listed is not known before the set is there.
    "vqa_rad": 1_793, "slake": 4_919, "pathvqa": 19_700,
}  # fmt: skip
SURGICAL = ("cholec80", "endovis18", "psi_ava", "conversations")


@dataclass(frozen=True)
class Cell:
    """One cell of a paper's plan. dimension: "2D", "3D", "video" or "" for several; rows None: the paper gives none."""

    name: str
    dimension: str
    rows: int | None


def planned(source: Source) -> int | None:
    """Rows that are planned of a source, None where they are known only when it is there."""
    if source.limit is not None:
        return source.limit
    if source.reader == "pubmedvision":
        return ALIGN.samples if source.split == "alignment" else INSTRUCT.samples
    return PUBLISHED.get(source.reader)


def cells() -> list[Cell]:
    """OmniV-Med §3: 647K captions, 647K instructions, 252K of the mixed stage by part. The paper gives the sum of its
    2D sets, reports and surgical clips as what is left; the parts that are known stand alone."""
    found = [
        Cell("PubMedVision, captions", "", ALIGN.samples),
        Cell("PubMedVision, instructions", "", INSTRUCT.samples),
    ]
    by_set: dict[str, int] = {}
    known = 0
    for source in MIXED.sources:
        rows = planned(source)
        known += rows or 0
        if source.reader.startswith("m3d"):
            by_set["M3D"] = by_set.get("M3D", 0) + (rows or 0)
        elif rows is not None:
            found.append(Cell(f"mixed: {source.path}", "" if source.reader == "pubmedvision" else "2D", rows))
    found.append(Cell("mixed: M3D", "3D", by_set["M3D"]))
    found.append(Cell("mixed: MIMIC-CXR reports and surgical clips", "", MIXED.samples - known))
    return found


def table(parts: Iterable[tuple[str, int | None, int, int]], kept: Mapping[str, int] | None = None) -> str:
    """A row a source: planned, found, made; with `kept` (name -> rows) also what a selection left of it.

    parts: (name, planned, found, made).
    """
    rows = list(parts)
    head = "| source | planned | found | made |" + (" selected |" if kept is not None else "")
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    for name, plan, found, made in rows:
        last = f" {kept.get(name, 0):,} |" if kept is not None else ""
        lines.append(
            f"| {name} | {'not known' if plan is None else f'{plan:,}'} | {found:,} | {made:,} |{last}"
        )
    total = sum(plan or 0 for _, plan, _, _ in rows)
    ends = f" {sum(kept.values()):,} |" if kept is not None else ""
    lines.append(f"| all | {total:,} | {sum(r[2] for r in rows):,} | {sum(r[3] for r in rows):,} |{ends}")
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """The papers' plan as a table."""
    lines = ["| cell | dimension | rows planned |", "|---|---|---|"]
    lines += [
        f"| {c.name} | {c.dimension or 'several'} | {c.rows:,} |" for c in cells() if c.rows is not None
    ]
    return "\n".join(lines) + "\n"
