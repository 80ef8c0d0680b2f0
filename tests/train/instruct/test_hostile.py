"""Services that misbehave in every way: the run ends, every row is accounted for, nothing unscored is selected."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.train.instruct.services import Stub, serving
from train.instruct.graph import steps
from train.instruct.rows import shards
from train.instruct.rows.record import Record
from train.instruct.select.rules import points_of
from train.instruct.services.client import HttpService
from train.instruct.services.stub import ELSEWHERE, WordOverlap, Writer

ROWS = 12
SAYS = {
    "well": "A clear view of the lung with number {}.",
    "refusal": "I'm sorry, I cannot help with medical pictures.",
    "repetition": "the same words again " * 10,
    "other language": "Das Bild zeigt die Lunge und ist nicht auffällig.",
    "nonsense": "}}{{ 0x1f %% 77",
}


class Hostile(Stub):
    """Says a thing of `SAYS`, or hangs; after `dies_after` requests it does not answer at all."""

    def __init__(self, manner: str, dies_after: int | None = None) -> None:
        super().__init__()
        self.manner, self.dies_after = manner, dies_after

    def say(self, body: dict[str, Any]) -> str:
        if self.manner == "hangs":
            time.sleep(0.4)
        if self.dies_after is not None and len(self.requests) > self.dies_after:
            raise ConnectionAbortedError
        if self.manner in SAYS:
            return SAYS[self.manner].format(body["seed"])
        return super().say(body)


def rows(folder: Path) -> None:
    made = (
        Record(f"r{n}", "text", (), "What is shown?", f"A clear view of lung {n}.", source="s")
        for n in range(ROWS)
    )
    shards.write_shards(made, folder / "records", 5)


def run(folder: Path, writer: Stub, judge: Stub) -> dict[str, shards.Count]:
    def ask(stub: Stub, name: str) -> HttpService:
        return HttpService(stub.url, name, timeout_s=0.1 if stub.manner == "hangs" else 5, tries=2, wait_s=0)  # type: ignore[attr-defined]

    graph = steps.caption_steps(Path(), ask(writer, "writer"), [ask(judge, "one"), ask(judge, "two")], 2)
    return steps.run(graph, folder, say=lambda line: None, at_once=4)


def exact(folder: Path, counts: dict[str, shards.Count]) -> None:
    """Rows in = rows out + rejects at every step; of what is selected all judges have spoken."""
    before = ROWS
    for name, count in counts.items():
        assert count.read == before, name
        assert sum(shards.reasons(folder / name).values()) == count.dropped
        before = count.kept
    told = json.loads((folder / "counts.json").read_text())
    assert told == {name: vars(count) for name, count in counts.items()}
    chosen = steps.select_captions(folder)
    assert chosen["read"] == before == chosen["kept"] + chosen["rejected"]
    for record in shards.records_of(folder / "selected"):
        place = int(record.scores["candidate"])
        judges = {j["judge"] for j in record.judgements if j["candidate"] == place and points_of(j)}
        assert judges == {"one", "two"}
        assert not record.candidates[place]["fault"]


@pytest.mark.parametrize("manner", ["refusal", "repetition", "other language", "nonsense", "hangs"])
def test_a_captioner_that_misbehaves(tmp_path: Path, manner: str) -> None:
    rows(tmp_path)
    with serving(Hostile(manner)) as writer, serving(Hostile("")) as judge:
        counts = run(tmp_path, writer, judge)
    exact(tmp_path, counts)
    assert counts["4-judge"].kept == 0
    step = "1-candidates" if manner == "hangs" else "2-sound"
    assert counts[step].dropped == ROWS


@pytest.mark.parametrize("manner", ["refusal", "repetition", "other language", "nonsense", "hangs"])
def test_a_judge_that_misbehaves(tmp_path: Path, manner: str) -> None:
    rows(tmp_path)
    with serving(Hostile("well")) as writer, serving(Hostile(manner)) as judge:
        counts = run(tmp_path, writer, judge)
    exact(tmp_path, counts)
    assert steps.select_captions(tmp_path)["kept"] == 0
    assert counts["1-candidates"].kept == ROWS


def test_services_that_die_midway_and_come_back(tmp_path: Path) -> None:
    rows(tmp_path)
    with serving(Hostile("well", dies_after=9)) as writer, serving(Hostile("", dies_after=11)) as judge:
        counts = run(tmp_path, writer, judge)
    exact(tmp_path, counts)
    assert 0 < counts["1-candidates"].kept < ROWS
    kept = steps.select_captions(tmp_path)["kept"]
    assert kept < counts["1-candidates"].kept
    # Whoever wants the lost rows deletes the steps' folders: answers that came are in the cache, if one is given.


def test_planted_captions_through_the_whole_graph(tmp_path: Path) -> None:
    """Stub judges err by a standard deviation of 0.7; of 600 rows with one candidate about half have a bad one."""
    total = 600
    made = (
        Record(f"r{n}", "text", (), "What is shown?", f"A clear view of lung {n}.", source="s")
        for n in range(total)
    )
    shards.write_shards(made, tmp_path / "records", 200)
    judges = [WordOverlap("first"), WordOverlap("second")]
    steps.run(steps.caption_steps(Path(), Writer(), judges, 1), tmp_path, say=lambda line: None)
    good = {r.id for r in shards.records_of(steps.last(tmp_path)) if r.candidates[0]["text"] != ELSEWHERE}
    steps.select_captions(tmp_path)
    kept = {r.id for r in shards.records_of(tmp_path / "selected")}
    assert 0.4 < len(good) / total < 0.6
    assert len(kept & good) / len(kept) >= 0.95
    assert len(kept & good) / len(good) >= 0.8
