"""Answers are kept on disk; processes, restarts and the order of batches do not change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from train.loop.processes import Group
from train.nano.measure import answers as module
from train.nano.measure.answers import Asking, digest, gathered, read_predictions
from train.nano.measure.door import Opened
from train.nano.text.questions import QA


@dataclass
class Parrot:
    """Says what it was shown and asked; counts the studies of every call."""

    calls: list[int] = field(default_factory=list)

    def answers(self, cases: Sequence[tuple[Any, Sequence[Any]]], hold_back: bool) -> list[list[str]]:
        assert not hold_back
        self.calls.append(len(cases))
        return [[f"{read} {question} {len(history)}" for question, history in asked] for read, asked in cases]


def a_parrot() -> Any:
    """In the place of a `Batch`."""
    return Parrot()


def some_cases() -> list[tuple[Opened, list[QA]]]:
    kinds = ("image", "image", "volume", "image", "video", "volume")
    out = []
    for i, kind in enumerate(kinds):
        reads: Any = (f"study{i}", f"black{i}")
        opened = Opened(f"r{i}", kind, {}, "s", lambda reads=reads: reads)  # type: ignore[arg-type, misc]
        out.append((opened, [QA("organ", "sentence", f"{q}?", "x", "head") for q in ("a", "b")]))
    return out


def test_answers_on_disk_are_not_asked_for_again(tmp_path: Path) -> None:
    cases, parrot = some_cases(), a_parrot()
    named = {"a": cases[:3], "b": [(s, list(q)) for s, q in cases[2:5]]}
    first = Asking(parrot, tmp_path, "w", Group()).run(named)
    assert parrot.calls == [5], "the study that two sets ask about is read once"
    again = Asking(parrot, tmp_path, "w", Group())
    assert again.run(named) == first
    assert len(parrot.calls) == 1
    again.run({"a": cases[:4]})
    assert len(parrot.calls) == 2, "other questions are asked"
    assert {k: len(v) for k, v in read_predictions(tmp_path / "predictions.jsonl").items()} == {
        "a": 8,
        "b": 6,
    }
    Asking(parrot, tmp_path, "other weights", Group()).run(named)
    assert len(parrot.calls) == 3


def test_two_processes_share_the_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = some_cases()
    for visual in ("own", "blank", "shuffled"):
        alone = Asking(a_parrot(), tmp_path / visual, "w", Group()).run({"a": cases}, visual)["a"]
        kept: list[Any] = []
        monkeypatch.setattr(
            module, "gathered", lambda group, own, kept=kept: (kept.append(own), [own, own])[1]
        )
        for rank in range(2):
            Asking(a_parrot(), tmp_path / f"{visual}{rank}x", "w", Group(rank, 2)).run({"a": cases}, visual)
        shares = [own for own in kept if own]
        monkeypatch.setattr(module, "gathered", lambda group, own, shares=shares: shares)
        both = Asking(a_parrot(), tmp_path / f"{visual}2", "w", Group(1, 2)).run({"a": cases}, visual)["a"]
        monkeypatch.setattr(module, "gathered", gathered)
        assert [r[3] for r in both] == [r[3] for r in alone]
        assert not (tmp_path / f"{visual}2").exists(), "only the first process writes"


def test_what_is_looked_at(tmp_path: Path) -> None:
    cases = some_cases()
    seen = {
        visual: [
            r[3].split()[0]
            for r in Asking(a_parrot(), tmp_path / visual, "w", Group()).run({"a": cases}, visual)["a"]
        ][::2]
        for visual in ("own", "blank", "shuffled")
    }
    assert seen["own"] == [f"study{i}" for i in range(6)]
    assert seen["blank"] == [f"black{i}" for i in range(6)]
    swapped = [int(name.removeprefix("study")) for name in seen["shuffled"]]
    assert all(i != k for i, k in enumerate(swapped)), "always another one"
    assert sorted(swapped) == list(range(6))


def test_other_weights_have_another_digest(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"1")
    (tmp_path / "config.json").write_text("{}")
    one = digest(tmp_path)
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert digest(tmp_path) == one
    (tmp_path / "a.safetensors").write_bytes(b"2")
    assert digest(tmp_path) != one
