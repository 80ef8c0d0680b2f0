"""Rows that never became samples: written down, counted, a reason to stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnivmed.records import Media, Sample, SampleSet, Skipped
from train.data.dropped import Account, take
from train.data.skips import TooManyBadSamples


def account(good: int, bad: int, ruled: int = 0) -> Account:
    samples = tuple(Sample(str(i), Media("text"), (("Q", "A"),)) for i in range(good))
    skipped = [Skipped(f"a.jsonl line {i}", "file missing") for i in range(bad)]
    skipped += [Skipped(f"a.jsonl line {i}", "not English", by_rule=True) for i in range(ruled)]
    return Account(
        {"conversations:a.jsonl:train": SampleSet(samples, tuple(skipped), (Skipped("b", "moved"),))}
    )


def test_every_row_is_told_and_written(tmp_path: Path) -> None:
    said: list[str] = []
    take(account(1000, 1, 500), tmp_path, 0.001, said.append)
    assert said == [
        "conversations:a.jsonl:train: 1 left out: file missing, first a.jsonl line 0",
        "conversations:a.jsonl:train: 500 left out by the set's own rule: not English, first a.jsonl line 0",
        "conversations:a.jsonl:train: 1 read otherwise than written: moved, first b",
    ]
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert len(rows) == 502
    assert rows[0] == {
        "source": "conversations:a.jsonl:train",
        "row": "a.jsonl line 0",
        "reason": "file missing",
        "use": "left out",
    }
    take(account(1000, 1, 500), tmp_path, 0.001, said.append)
    assert (
        len((tmp_path / "dropped.jsonl").read_text().splitlines()) == 502
    )  # a resume does not add them again


@pytest.mark.parametrize(("good", "bad"), [(15, 5), (500, 500), (998, 2)])
def test_too_many_end_the_run_before_it_begins(tmp_path: Path, good: int, bad: int) -> None:
    with pytest.raises(
        TooManyBadSamples, match=f"{bad} of {good + bad} rows cannot be used .* a.jsonl line 0"
    ):
        take(account(good, bad), tmp_path, 0.001, lambda line: None)
    assert (tmp_path / "dropped.jsonl").is_file()  # to look into


@pytest.mark.parametrize(("good", "bad", "ruled"), [(19, 1, 0), (3000, 3, 0), (10, 9, 0), (10, 0, 1000)])
def test_few_or_ruled_out_rows_do_not(tmp_path: Path, good: int, bad: int, ruled: int) -> None:
    take(account(good, bad, ruled), None, 0.001, lambda line: None)
