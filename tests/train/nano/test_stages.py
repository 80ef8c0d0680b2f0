"""One table holds the order: it is complete, without circles, and the README follows it."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pytest

from train.nano import stages
from train.nano.fit.tuning import TuneConfig
from train.nano.stages import STAGES, before

README = Path(stages.__file__).parent / "README.md"


def test_every_stage_comes_after_what_it_needs() -> None:
    order = list(STAGES)
    for name, stage in STAGES.items():
        assert all(order.index(one) < order.index(name) for one in stage.after), name
    aside = {n for n, s in STAGES.items() if s.aside}
    assert not any(before(n) & aside for n in STAGES), "all never needs what it leaves out"


def test_legs_have_their_own_numbers_and_names() -> None:
    legs = {n: s.config for n, s in STAGES.items() if s.config is not None}
    assert list(legs) == ["align", "instruct", "mixed", "polish", "refine", "forms", "texts"]
    for name, config in legs.items():
        made = config(7.0)
        assert isinstance(made, TuneConfig)
        assert (made.name, made.seconds) == (name, 7.0)


def test_the_adapted_encoder_reads_all_that_follow_it() -> None:
    read = {n for n in STAGES if "adapt" in before(n)}
    assert read == {
        "polish",
        "refine",
        "blend",
        "forms",
        "texts",
        "settle",
        "familiar",
        "export",
        "eval",
        "card",
        "gate",
    }


def test_readme_and_table_name_the_same_stages_in_one_order() -> None:
    told = re.findall(r"run (\w+)", README.read_text())
    own = [n for n, s in STAGES.items() if not s.aside]
    assert [n for n in dict.fromkeys(told) if n in own] == own
    assert set(STAGES) | {"all"} == set(told)


def test_all_goes_through_them_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(stages.subprocess, "run", lambda command, check: calls.append(command[3:]))
    monkeypatch.setattr(sys, "argv", ["x", "all", "--processes", "2"])
    stages.run(argparse.Namespace(stage="all", processes=2))
    assert calls == [[n, "--processes", "2"] for n, s in STAGES.items() if not s.aside]
