"""Published numbers beside a report: only of the same protocol, named as not measured here."""

from __future__ import annotations

from omnivmed.eval.anchors import ANCHORS, lines
from omnivmed.eval.predictions import Header
from omnivmed.eval.registry import find, find_protocol
from omnivmed.eval.report import Row, markdown


def test_every_anchor_belongs_to_a_protocol_that_is_computed_here() -> None:
    for benchmark, protocol in ANCHORS:
        assert find_protocol(find(benchmark), protocol).name == protocol
    assert all(0 < a.value < 100 and a.source for found in ANCHORS.values() for a in found)


def test_a_report_shows_them_under_their_own_protocol_only() -> None:
    header = Header("vqa_rad", "test", "A", "0", "nano", 0.1, "", 1)
    text = markdown("Scores", [Row(header, ())])
    assert "not measured here" in text
    assert "- OmniV-Med-1.5B: open recall 59.22, closed accuracy 84.93 (OmniV-Med" in text
    other = Header("vqa_rad", "test", "B without judge", "0", "nano", 0.1, "", 1)
    assert "not measured here" not in markdown("Scores", [Row(other, ())])
    assert lines("cholec80:16x0.5", "surgical") == lines("cholec80", "surgical") != []
    assert lines("clips", "B without judge") == []
