"""What a mixture is made of: rows by modality, task and dimension, as a table and as a figure (OmniV-Med, Figure 2).

Rows that do not say their modality or task are counted as "not said", never guessed. Samples are counted as an epoch
draws them: by the weights of the sources, after their limits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnivmed.eval.kinds import MODALITIES, TASKS
from omnivmed.records import Sample

DIMENSIONS = ("2D", "multi-image", "3D", "video", "text")
NOT_SAID = "not said"
Key = tuple[str, str, str, str]
"""(source, modality, task, dimension)"""


@dataclass(frozen=True)
class Statistics:
    """Weighted number of samples of every (source, modality, task, dimension); `patients`: distinct ones known."""

    counts: Mapping[Key, float]
    patients: int

    @property
    def total(self) -> float:
        """Samples an epoch."""
        return sum(self.counts.values())

    def by(self, axis: int) -> dict[str, float]:
        """One axis of `Key` -> samples, the most frequent first, "not said" last."""
        sums: defaultdict[str, float] = defaultdict(float)
        for key, count in self.counts.items():
            sums[key[axis]] += count
        return dict(sorted(sums.items(), key=lambda pair: (pair[0] == NOT_SAID, -pair[1], pair[0])))

    def cross(self) -> dict[str, dict[str, float]]:
        """Modality -> dimension -> samples, in the order of `MODALITIES`; those that do not occur are left out."""
        out: dict[str, dict[str, float]] = {}
        for modality in (*MODALITIES, NOT_SAID):
            row = {
                d: sum(c for k, c in self.counts.items() if k[1] == modality and k[3] == d)
                for d in DIMENSIONS
            }
            if sum(row.values()):
                out[modality] = row
        return out


def statistics_of(parts: Sequence[tuple[Sequence[Sample], float]]) -> Statistics:
    """Of (samples, weight) of each source."""
    counts: defaultdict[Key, float] = defaultdict(float)
    patients: set[tuple[str, str]] = set()
    for samples, weight in parts:
        for sample in samples:
            about = sample.about
            dimension = sample.media.dimension
            modality = about.modality or (NOT_SAID if dimension != "text" else "text")
            key = (about.source or NOT_SAID, modality, about.task or NOT_SAID, dimension)
            counts[key] += weight
            if about.patient:
                patients.add((about.source, about.patient))
    return Statistics(dict(counts), len(patients))


def markdown(statistics: Statistics, title: str, command: str, planned: int | None = None) -> str:
    """Counts and shares by source, modality x dimension, and task. planned: samples an epoch as the recipe says."""
    total = statistics.total
    of_plan = "" if planned is None else f" of {planned:,} planned"
    named = [m for m in statistics.by(1) if m in MODALITIES]
    tasks = [t for t in statistics.by(2) if t in TASKS]
    lines = [
        f"# {title}",
        "",
        f"{total:,.0f} samples an epoch{of_plan}, {len(named)} of {len(MODALITIES)} modalities,"
        f" {len(tasks)} of {len(TASKS)} tasks, {statistics.patients:,} patients or cases named. `{command}`",
        "",
        "| source | samples | share |",
        "|---|---|---|",
        *(f"| {name} | {n:,.0f} | {_share(n, total)} |" for name, n in statistics.by(0).items()),
        "",
        "| modality | " + " | ".join(DIMENSIONS) + " | share |",
        "|---" * (len(DIMENSIONS) + 2) + "|",
    ]
    cross = statistics.cross()
    text = sum(c for k, c in statistics.counts.items() if k[1] == "text")
    if text:
        cross["text"] = {d: text if d == "text" else 0.0 for d in DIMENSIONS}
    for modality, row in cross.items():
        cells = " | ".join(f"{row[d]:,.0f}" if row[d] else "" for d in DIMENSIONS)
        lines.append(f"| {modality} | {cells} | {_share(sum(row.values()), total)} |")
    lines += ["", "| task | samples | share |", "|---|---|---|"]
    lines += [f"| {name} | {n:,.0f} | {_share(n, total)} |" for name, n in statistics.by(2).items()]
    return "\n".join(lines) + "\n"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def figure(statistics: Statistics, path: Path) -> None:
    """Bars side by side: modalities, stacked by dimension, and tasks. PNG, by matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Okabe and Ito: apart for every kind of colour vision
    colours = dict(zip(DIMENSIONS, ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#999999"), strict=True))
    cross = statistics.cross()
    tasks = statistics.by(2)
    rows = max(len(cross), len(tasks), 4)
    picture = Figure(figsize=(9.6, 0.32 * rows + 1.2), dpi=120, layout="constrained")
    FigureCanvasAgg(picture)
    left, right = picture.subplots(1, 2)
    names = list(cross)[::-1]
    start = [0.0] * len(names)
    for dimension in DIMENSIONS:
        values = [cross[name][dimension] for name in names]
        if any(values):
            left.barh(names, values, left=start, color=colours[dimension], label=dimension)
            start = [a + b for a, b in zip(start, values, strict=True)]
    left.set_xlabel("samples an epoch, by modality")
    left.legend(fontsize=8, frameon=False)
    order = list(tasks)[::-1]
    right.barh(order, [tasks[name] for name in order], color="#0072B2")
    right.set_xlabel("samples an epoch, by task")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path)
