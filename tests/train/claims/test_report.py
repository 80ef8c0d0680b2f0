"""The figure of a claim as a page: what is under the pointer, and nothing from a network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from train.claims.record import Cell
from train.claims.report import interactive


def _drawn(page: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(traces, layout) out of the page's call of plotly."""
    found = re.search(
        r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*(\{.*?\}),\s*\{\"responsive\"", page, re.DOTALL
    )
    assert found is not None
    return json.loads(found[1]), json.loads(found[2])


def test_points_bars_and_what_they_say(tmp_path: Path) -> None:
    low, high = Cell("a", "all", 0.5, 0.4, 0.65, 10), Cell("a", "all", 0.75, 0.7, 0.8, 20)
    time = Cell("b", "all", 3.0, 2.0, 5.0, 4, unit="s", protocol="timed")
    series = {"right": [(120, low), (480, high)], "seconds": [(480, time)]}
    interactive(tmp_path / "scaling" / "figure.html", series, "questions", "right, %", logarithmic=True)
    page = (tmp_path / "scaling" / "figure.html").read_text()
    traces, layout = _drawn(page)
    assert [t["name"] for t in traces] == ["right", "seconds"]
    assert traces[0]["y"] == [50.0, 75.0]
    assert traces[0]["error_y"]["array"] == pytest.approx([15.0, 5.0])
    assert traces[0]["error_y"]["arrayminus"] == pytest.approx([10.0, 5.0])
    assert traces[0]["text"][0] == "120: 50.0 [40.0, 65.0] (exact, n=10)"
    assert traces[1]["y"] == [3.0]
    assert layout["xaxis"]["type"] == "log"
    assert 'src="../plotly.min.js"' in page
    assert (tmp_path / "plotly.min.js").stat().st_size > 1_000_000
    assert len(page) < 20_000
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page) == []


def test_named_places_are_not_joined(tmp_path: Path) -> None:
    cell = Cell("a", "all", 0.5, 0.4, 0.6, 10)
    interactive(
        tmp_path / "x" / "figure.html", {"one": [("head", cell), ("chest", cell)]}, "part", "right, %"
    )
    traces, layout = _drawn((tmp_path / "x" / "figure.html").read_text())
    assert traces[0]["mode"] == "markers"
    assert layout["xaxis"]["ticktext"] == ["head", "chest"]
