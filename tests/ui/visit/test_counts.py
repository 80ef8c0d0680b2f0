"""Figures for the operator."""

from __future__ import annotations

from prometheus_client import generate_latest

from omnivmed.ui.visit.counts import Counts


def test_what_happened_is_counted_by_outcome() -> None:
    counts = Counts()
    counts.answered("ok", 0.3)
    counts.answered("stopped", 3)
    counts.opened("Corrupt", 0.1)
    counts.refuse("full")
    counts.refuse("full")
    assert (counts.total("answers"), counts.total("openings"), counts.total("refused")) == (2, 1, 2)
    text = generate_latest(counts.registry).decode()
    assert 'omnivmed_answer_seconds_bucket{code="ok",le="0.5"} 1.0' in text
    assert 'omnivmed_answer_seconds_bucket{code="ok",le="0.25"} 0.0' in text
    assert 'omnivmed_refused_total{reason="full"} 2.0' in text


def test_two_pages_in_one_process_count_apart() -> None:
    one, other = Counts(), Counts()
    one.refuse("door")
    assert other.total("refused") == 0
