"""A new tab is one module and one word in a list: a tiny one, registered beside those of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from omnivmed.ui.app import PANELS, TABS, build_demo, make_context
from omnivmed.ui.tabs.bench import Bench, Panel, Tab
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.opened import OpenStudy, Turn
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.studies import Context, label_of
from tests import phantoms
from tests.scripted import ScriptedAssistant

# ------------------------------------------------------------------ this much is a tab


@dataclass(frozen=True)
class TinyPage:
    size: Any
    double: Any


def build(context: Context) -> TinyPage:
    return TinyPage(
        gr.Number(label="slices", elem_id="tiny-size"), gr.Button("double", elem_id="tiny-double")
    )


class Tiny:
    def __init__(self, page: TinyPage) -> None:
        self.page = page

    def shown(self, opened: OpenStudy) -> Updates:
        return {self.page.size: opened.study.shape[0]}

    def answered(self, session: Session, opened: OpenStudy, turn: Turn) -> Updates:
        return {self.page.size: len(session.turns)}

    def double(self, request: gr.Request, size: Any) -> Updates:
        return {self.page.size: 2 * size}


def wire(bench: Bench, page: TinyPage) -> None:
    tiny = Tiny(page)
    bench.when_shown.add(tiny.shown, [page.size])
    bench.when_answered.add(tiny.answered, [page.size])
    page.double.click(tiny.double, page.size, page.size, **bench.light)


TAB = Tab(build, wire, id="tiny", title="Tiny")

# ------------------------------------------------------------------


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Any]:
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    with (tmp_path / "alive").open("w") as alive:
        root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", alive)
        made = make_context(AppSettings(model="scripted"), root, lambda *_, **__: ScriptedAssistant())
        yield made
        made.store.close()
        made.shelf.close()


def parts_of(demo: gr.Blocks) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    config = demo.get_config_file()
    return config["components"], config["dependencies"]


def test_a_tab_is_one_module_and_one_line(context: Any) -> None:
    components, events = parts_of(build_demo(context, tabs=(*TABS, TAB)))
    titles = [c["props"]["label"] for c in components if c["type"] == "tabitem"]
    assert titles == [*(tab.title for tab in TABS), "Tiny"]
    size = next(c["id"] for c in components if c["props"].get("elem_id") == "tiny-size")
    sample = next(c["id"] for c in components if c["props"].get("elem_id") == "sample-mr_head")
    opens = next(e for e in events if [sample, "click"] in [list(t) for t in e["targets"]])
    assert size in opens["outputs"], "it hears of a study"
    assert all(
        e["api_visibility"] != "public" or e["api_name"] in ("ask", "prune", "generate") for e in events
    )
    plain, fewer = parts_of(build_demo(context))
    assert len(events) == len(fewer) + 1  # its own click; the moments need none
    assert [c for c in plain if c["props"].get("elem_id", "").startswith("tiny")] == []


def test_its_moments_come_with_those_of_the_others(context: Any, tmp_path: Path) -> None:
    built: list[Bench] = []

    def spy(bench: Bench, page: TinyPage) -> None:
        built.append(bench)
        wire(bench, page)

    build_demo(context, tabs=(*TABS, Tab(build, spy, id="tiny", title="Tiny")))
    bench = built[0]
    session = context.store.get("page")
    study = phantoms.clip_study()
    opened = OpenStudy(study, label_of(study))
    session.show(opened, session.begin_opening())
    told = {getattr(c, "elem_id", None): update for c, update in bench.screen.shown(opened).items()}
    assert told["tiny-size"] == study.shape[0]
    assert {"viewer", "ov-status", "ov-chat", "ov-saw", "cmp-question"} <= set(told)
    assert set(bench.screen.shown(opened)) <= set(bench.screen.outputs)


def test_a_panel_stands_between_notes_and_picture(context: Any) -> None:
    page = build_demo(context, panels=(*PANELS, Panel(build, lambda bench, page: None)))
    components, _ = parts_of(page)
    order = [c["props"].get("elem_id") for c in components]
    assert order.index("ov-notes") < order.index("ov-crop") < order.index("tiny-size") < order.index("viewer")


def test_every_component_is_one_the_front_end_knows(context: Any) -> None:
    """A subclass that is called something else is looked for at an address that is closed (404 in the console)."""
    import gradio.blocks
    import gradio.components
    import gradio.layouts

    known = {
        name.lower()
        for module in (gradio.components, gradio.layouts)
        for name in dir(module)
        if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), gradio.blocks.Block)
    }
    components, _ = parts_of(build_demo(context))
    assert {c["type"] for c in components} - known == set()
