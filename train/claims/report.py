"""Cells → markdown, JSON and a figure. Nothing is left out because it came out the wrong way."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from train.claims.record import Cell, Difference

SEEN_ENOUGH = "One seed. An interval that holds 0 means that this run shows no difference."


@dataclass(frozen=True)
class Outcome:
    """name: folder and command. protocol: what was asked of whom, on which budget, one sentence a line."""

    name: str
    title: str
    paper: str
    protocol: tuple[str, ...]
    cells: tuple[Cell, ...]
    differences: tuple[Difference, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


def markdown(outcome: Outcome) -> str:
    """Measures down, arms across; the paired differences and the protocol below."""
    arms = list(dict.fromkeys(c.arm for c in outcome.cells))
    measures = list(dict.fromkeys(c.measure for c in outcome.cells))
    by = {(c.arm, c.measure): c for c in outcome.cells}
    lines = [f"### {outcome.title}", "", f"The paper: {outcome.paper}", ""]
    lines += ["| | " + " | ".join(arms) + " |", "|---" * (len(arms) + 1) + "|"]
    for measure in measures:
        cells = [by[a, measure].text() if (a, measure) in by else "" for a in arms]
        lines.append(f"| {measure} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {d.text()}" for d in outcome.differences), ""]
    lines += [*(f"- {line}" for line in (*outcome.protocol, SEEN_ENOUGH)), ""]
    lines.append(
        "Values in % with 95 % intervals, bootstrapped over patients. exact: the whole sentence is right; probe: a "
        "linear probe's label. Not for clinical use."
    )
    return "\n".join(lines) + "\n"


Point = tuple[float | str, Cell]


# Okabe and Ito: apart for every kind of colour vision
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")


def places(
    series: Mapping[str, Sequence[Point]], logarithmic: bool
) -> tuple[dict[str, list[float]], list[str]]:
    """Where on the x axis every point stands, a little beside those of the other series, so that no bar hides
    another; and the names of the axis where x is not a number."""
    given = list(dict.fromkeys(p[0] for points in series.values() for p in points))
    names = [str(x) for x in given] if any(isinstance(x, str) for x in given) else []
    numbers = dict(zip(given, range(len(given)), strict=True)) if names else {x: float(x) for x in given}
    span = max(numbers.values()) - min(numbers.values()) or 1.0
    step = 0.7 / max(len(series), 2) if names else 0.008 * span
    out = {}
    for k, (name, points) in enumerate(series.items()):
        beside = k - (len(series) - 1) / 2
        if logarithmic:
            out[name] = [float(numbers[p[0]]) * 2 ** (0.03 * beside) for p in points]
        else:
            out[name] = [float(numbers[p[0]]) + step * beside for p in points]
    return out, names


def bars(points: Sequence[Point]) -> tuple[list[float], list[float], list[float]]:
    """(values, lengths below, lengths above) of 95 % bars; shares become percent."""
    scale = [100.0 if p[1].unit == "%" else 1.0 for p in points]
    values = [p[1].value * s for p, s in zip(points, scale, strict=True)]
    low = [max(0.0, (p[1].value - p[1].low) * s) for p, s in zip(points, scale, strict=True)]
    high = [max(0.0, (p[1].high - p[1].value) * s) for p, s in zip(points, scale, strict=True)]
    return values, low, high


def interactive(
    path: Path, series: Mapping[str, Sequence[Point]], x_label: str, y_label: str, logarithmic: bool = False
) -> None:
    """The figure as a page of its own: value, interval and n of every point under the pointer, series on and off.

    It reads ``../plotly.min.js`` (4.8 MB, once for all claims) and nothing from a network.
    """
    import plotly.graph_objects as go
    from plotly.offline import get_plotlyjs

    where, names = places(series, logarithmic)
    picture = go.Figure()
    for k, (name, points) in enumerate(series.items()):
        values, low, high = bars(points)
        picture.add_scatter(
            x=where[name],
            y=values,
            error_y={"type": "data", "symmetric": False, "array": high, "arrayminus": low, "thickness": 1.2},
            mode="markers" if names else "lines+markers",
            marker={"color": COLOURS[k % len(COLOURS)]},
            name=name,
            text=[f"{point}: {cell.text()}" for point, cell in points],
            hovertemplate="%{text}<extra>%{fullData.name}</extra>",
        )
    picture.update_layout(xaxis_title=x_label, yaxis_title=y_label, template="plotly_white")
    if names:
        picture.update_xaxes(tickvals=list(range(len(names))), ticktext=names)
    if logarithmic:
        picture.update_xaxes(type="log", dtick=math.log10(2))
    path.parent.mkdir(parents=True, exist_ok=True)
    library = path.parent.parent / "plotly.min.js"
    if not library.exists():
        library.write_text(get_plotlyjs(), encoding="utf-8")
    picture.write_html(path, include_plotlyjs=f"../{library.name}")


def figure(
    path: Path, series: Mapping[str, Sequence[Point]], x_label: str, y_label: str, logarithmic: bool = False
) -> None:
    """Points with 95 % bars, side by side; joined by a line where x is a number, not where it is a name.

    A picture for documents, by matplotlib: plotly draws pictures by way of an installed Chrome only (decision 0008).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(7.2, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.add_subplot()
    where, names = places(series, logarithmic)
    for k, (name, points) in enumerate(series.items()):
        values, low, high = bars(points)
        axes.errorbar(
            where[name],
            values,
            yerr=[low, high],
            fmt="o" if names else "o-",
            color=COLOURS[k % len(COLOURS)],
            markersize=4,
            linewidth=1.2,
            elinewidth=0.9,
            capsize=2,
            label=name,
        )
    if names:
        axes.set_xticks(range(len(names)), names)
    if logarithmic:
        axes.set_xscale("log", base=2)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    picture.legend(loc="outside right upper", fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path)


def save(
    outcome: Outcome,
    folder: Path,
    series: Mapping[str, Sequence[Point]],
    x_label: str,
    y_label: str = "right, %",
    logarithmic: bool = False,
) -> str:
    """``table.md``, ``table.json``, ``figure.png`` and ``figure.html`` in ``folder``; returns the markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(outcome)
    (folder / "table.md").write_text(text, encoding="utf-8")
    numbers = {
        "name": outcome.name,
        "cells": [asdict(c) for c in outcome.cells],
        "differences": [asdict(d) for d in outcome.differences],
        "protocol": list(outcome.protocol),
        "facts": dict(outcome.facts),
    }
    (folder / "table.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    figure(folder / "figure.png", series, x_label, y_label, logarithmic)
    interactive(folder / "figure.html", series, x_label, y_label, logarithmic)
    return text
