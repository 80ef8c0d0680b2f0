"""The tab "Rules": every rule's own count, one slice, no model; stills are told that there is nothing to prune."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from omnivmed.errors import ModelError
from omnivmed.pruning.compare import compare
from omnivmed.pruning.rules import RULES
from omnivmed.study import Study
from omnivmed.ui.app import make_context
from omnivmed.ui.tabs import rules
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.vision import NANO_BUDGET, prepare
from tests import phantoms

REQUEST: Any = SimpleNamespace(session_hash="page")


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[rules.Rules]:
    def fails(*_: Any, **__: Any) -> Any:
        raise ModelError("WeightsMissing", "There are none.")

    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    with (tmp_path / "alive").open("w") as alive:
        root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", alive)
        context = make_context(AppSettings(model="nano"), root, fails)
        with gr.Blocks():
            page = rules.build(context)
        yield rules.Rules(context, page)
        context.store.close()
        context.shelf.close()


def show(tab: rules.Rules, study: Study) -> None:
    session = tab.context.store.get("page")
    session.show(OpenStudy(study, "a study"), session.begin_opening())


def event(outlines: Any) -> gr.EventData:
    return gr.EventData(None, {"outlines": outlines})


BOX = {"first": 0, "last": 10**6, "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}


def kept_of(cell: Any, tokens: int) -> int:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(cell.keep), np.uint8))
    assert not bits[tokens:].any()
    return int(bits[:tokens].sum())


def test_every_rule_is_drawn_with_its_own_mask_in_time(tab: rules.Rules) -> None:
    study = tab.context.shelf.open("ct_abdomen")
    session = tab.context.store.get("page")
    session.show(OpenStudy(study, "CT", sample="ct_abdomen", shared=True), session.begin_opening())
    tab.draw(REQUEST, False, "model")  # imports
    began = time.process_time()
    value = tab.draw(REQUEST, False, "model")[tab.page.board]
    assert time.process_time() - began < 1.5
    assert [cell.name for cell in value.rules] == list(RULES)
    for cell, one in zip(value.rules, compare(prepare(study, NANO_BUDGET)), strict=True):
        assert kept_of(cell, 512) == one.kept
        assert cell.words.startswith(f"{one.kept:,} kept ({100 * one.kept / one.keep.size:.0f} %)")
        assert (cell.note != "") == one.rule.comparison
        assert cell.region == ""
        assert len(cell.shares) == 32
    assert len(value.frames) == len(value.places) == 32
    assert (value.edges_x[0], round(value.edges_x[-1], 3)) == (0, 1)
    assert "Of 512 tokens (budget: nano)" in value.note
    assert json.loads(value.report)["budget"] == "nano"


def test_another_budget_has_another_grid(tab: rules.Rules) -> None:
    show(tab, phantoms.ct_study())
    nano, full = (tab.draw(REQUEST, False, name)[tab.page.board] for name in ("model", "published"))
    assert len(full.edges_x) > len(nano.edges_x)
    assert nano.of != full.of


def test_matched_rules_keep_one_number(tab: rules.Rules) -> None:
    show(tab, phantoms.ct_study())
    value = tab.draw(REQUEST, True, "model")[tab.page.board]
    kept = compare(prepare(phantoms.ct_study(), NANO_BUDGET), ["previous"])[0].kept
    assert {cell.words.split()[0] for cell in value.rules} == {f"{kept:,}"}


def test_a_drawn_region_is_counted_under_every_rule(tab: rules.Rules) -> None:
    show(tab, phantoms.ct_study())
    whole = tab.draw(REQUEST, False, "model")[tab.page.board]
    value = tab.region(REQUEST, False, "model", event([BOX]))[tab.page.board]
    assert value.of == whole.of
    assert value.frames == (), "the pictures are there already"
    for cell in value.rules:  # the region is everything
        assert cell.region.split("(")[1] == cell.words.split("(")[1].split(",")[0]
    assert json.loads(value.report)["rules"][0]["region_tokens"] == len(value.frame_index) * (
        len(value.edges_x) - 1
    ) * (len(value.edges_y) - 1)
    cleared = tab.region(REQUEST, False, "model", event([]))[tab.page.board]
    assert {cell.region for cell in cleared.rules} == {""}


@pytest.mark.parametrize(
    "outlines",
    [
        None,
        [{"first": 0, "last": 0, "points": [[0, 0], [1, 1]]}],
        [{"first": -1, "last": 0, "points": BOX["points"]}],
        [{"first": 3, "last": 2, "points": BOX["points"]}],
        [{"first": 0, "last": 0, "points": [[0, 0], [1, 1], ["x", 2]]}],
        [BOX] * 33,
        [{**BOX, "more": 1}],
    ],
)
def test_an_outline_that_is_none_is_said(tab: rules.Rules, outlines: Any) -> None:
    show(tab, phantoms.ct_study())
    told = tab.region(REQUEST, False, "model", event(outlines))
    assert "draw it again" in told[tab.page.status]
    assert tab.page.board not in told


def test_nothing_is_drawn_of_a_still_or_of_no_study(tab: rules.Rules) -> None:
    told = tab.draw(REQUEST, False, "model")
    assert "ov-error" in told[tab.page.status]
    still = tab.context.shelf.open("chest_xray")
    session = tab.context.store.get("page")
    session.show(OpenStudy(still, "X-ray", shared=True, confirmed=True), session.begin_opening())
    told = tab.draw(REQUEST, False, "model")
    assert "single picture" in told[tab.page.status]
    assert told[tab.page.board] is None
    assert tab.shown(session.current)[tab.page.board] is None  # type: ignore[arg-type]
