"""The model under every rule and over the threshold: each row under its own mask, streamed, stoppable, one encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from omnivmed.inference.options import AskOptions
from omnivmed.pruning.rules import RULES
from omnivmed.study import Study
from omnivmed.ui.app import make_context
from omnivmed.ui.tabs import rules_said
from omnivmed.ui.tabs.rules_said import THRESHOLDS, plan
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.settings import AppSettings
from tests import phantoms
from tests.inference.mock import MockRuntime, assistant

REQUEST: Any = SimpleNamespace(session_hash="page")


@pytest.fixture
def runtime() -> MockRuntime:
    return MockRuntime("A chest.")


@pytest.fixture
def said(tmp_path: Path, runtime: MockRuntime) -> Iterator[rules_said.Said]:
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    with (tmp_path / "alive").open("w") as alive:
        root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", alive)
        context = make_context(AppSettings(model="nano"), root, lambda *_, **__: assistant(runtime))
        context.service.start()
        with gr.Blocks():
            page = rules_said.build(context)
        yield rules_said.Said(context, page)
        context.store.close()
        context.shelf.close()


def show(said: rules_said.Said, study: Study) -> None:
    session = said.context.store.get("page")
    session.show(OpenStudy(study, "a study", confirmed=True), session.begin_opening())
    session.stop.clear()


def ran(said: rules_said.Said, over: str, match: bool = False) -> list[Any]:
    return list(said.run(REQUEST, "What?", over, match, 0.1, "previous", 0))


def test_every_rule_answers_under_its_own_mask_and_the_study_is_encoded_once(
    said: rules_said.Said, runtime: MockRuntime
) -> None:
    show(said, phantoms.ct_study())
    last = ran(said, "rules")[-1][said.page.table]
    assert [mask.rule for mask in runtime.masks] == ["", *[name for name in RULES if name != "previous"]]
    assert runtime.encoder_frames == len(runtime.masks[0].frame_index)
    for mask in runtime.masks:
        assert f'<td class="n">{mask.kept:,} / {mask.total:,}</td>' in last
    assert last.count("A chest.") == len(RULES)
    assert last.count('<td class="n">0.75 · 0.75</td>') == len(RULES)
    assert "<mark>" not in last


def test_matched_rules_are_asked_with_one_number_of_tokens(
    said: rules_said.Said, runtime: MockRuntime
) -> None:
    show(said, phantoms.ct_study())
    ran(said, "rules", match=True)
    assert len({mask.kept for mask in runtime.masks}) == 1


def test_over_the_threshold_each_row_has_its_own(said: rules_said.Said, runtime: MockRuntime) -> None:
    show(said, phantoms.ct_study())
    ran(said, "thresholds")
    assert tuple(mask.threshold for mask in runtime.masks) == THRESHOLDS
    kept = [mask.kept for mask in runtime.masks]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > kept[-1]


def test_a_stop_ends_the_rows(said: rules_said.Said, runtime: MockRuntime) -> None:
    show(said, phantoms.ct_study())
    running = said.run(REQUEST, "What?", "rules", False, 0.1, "previous", 0)
    for update in running:
        if "A chest." in str(update.get(said.page.table)):
            said.stop(REQUEST)
    assert len(runtime.masks) < len(RULES)


def test_a_still_and_no_study_are_told_so(said: rules_said.Said, runtime: MockRuntime) -> None:
    assert "ov-error" in ran(said, "rules")[-1][said.page.status]
    show(said, phantoms.image_study())
    assert "single picture" in ran(said, "rules")[-1][said.page.status]
    assert runtime.masks == []


def test_the_first_row_is_the_pages_own_setting() -> None:
    rows = plan(AskOptions(threshold=0.2, reference="last_kept"), "rules", False)
    assert rows[0].options.rule is None
    assert "last_kept, 0.2" in rows[0].label
    assert [row.options.rule for row in rows[1:]] == [name for name in RULES if name != "last_kept"]
