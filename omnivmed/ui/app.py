"""The page: where everything stands, and which tabs it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from omnivmed.inference.cards import title_of
from omnivmed.ui import texts, upstream
from omnivmed.ui.page import parts
from omnivmed.ui.tabs import about, ask, compare, crop, generate, paint, rules, saw, teach
from omnivmed.ui.tabs.api import add_api
from omnivmed.ui.tabs.bench import Bench, Panel, Tab
from omnivmed.ui.tabs.planning import wire_planning
from omnivmed.ui.tabs.screen import Screen, build_pick, build_screen
from omnivmed.ui.visit.clock import boot_clock
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.line import Line
from omnivmed.ui.visit.service import Loader, Meter, ModelService, SampleShelf
from omnivmed.ui.visit.session import on_forget
from omnivmed.ui.visit.sessions import SessionStore
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.studies import Context
from omnivmed.ui.visit.uploads import Uploads
from omnivmed.ui.web.launch import launch

__all__ = ["PANELS", "TABS", "build_demo", "launch", "make_context"]

# Beside the picture, from left to right, and between its notes and itself. A new one is a module in tabs/ (the
# pattern stands in tabs/bench.py) and a word here.
TABS: tuple[Tab[Any], ...] = (ask.TAB, saw.TAB, compare.TAB, rules.TAB, generate.TAB)
PANELS: tuple[Panel[Any], ...] = (paint.PANEL, crop.PANEL)


def make_context(
    settings: AppSettings,
    root: PrivateRoot,
    loader: Loader | None = None,
    meter: Meter | None = None,
    clock: Callable[[], float] = boot_clock,
) -> Context:
    """The shared parts of one app. `loader` and `meter` are those of `ModelService` (tests).

    clock: seconds by which sessions and waiting uploads grow old; another one for trying what a long sleep does.
    """
    service = ModelService(settings, loader, meter)
    store = SessionStore(root.sessions, root.served, settings.limits, clock)
    on_forget(service.forget)
    return Context(
        settings,
        root,
        store,
        service,
        SampleShelf(settings),
        Uploads(root.served, clock),
        line=Line(settings.limits.workers),
    )


def build_demo(
    context: Context, tabs: Sequence[Tab[Any]] = TABS, panels: Sequence[Panel[Any]] = PANELS
) -> gr.Blocks:
    """The whole page, ready for `launch`. `tabs` begin with `ask.TAB`, which holds the settings all others read.

    Raises `upstream.UnknownGradio` for a version of Gradio this page cannot be built with.
    """
    upstream.check()
    pages: list[tuple[Panel[Any], Any]] = []

    def build(panel: Panel[Any]) -> Any:
        page = panel.build(context)
        pages.append((panel, page))
        return page

    demo: gr.Blocks
    with gr.Blocks(
        title=texts.TITLE, analytics_enabled=False, delete_cache=(300, 1800), fill_width=True
    ) as demo:
        gr.HTML(parts.header(context.settings), elem_id="ov-top", padding=False)
        with gr.Row(elem_id="ov-pick"):
            pick = build_pick()
        gr.HTML(parts.switch(), elem_id="ov-switch", padding=False)
        with gr.Row(elem_id="ov-work"):
            with gr.Column(scale=7, elem_id="ov-left"):
                screen = Screen(context, build_screen(pick, lambda: [build(panel) for panel in panels]))
            with gr.Column(scale=5, elem_id="ov-right"):
                with gr.Tabs(elem_id="ov-tabs"):
                    for tab in tabs:
                        with gr.Tab(tab.title, id=tab.id):
                            build(tab)
                build(about.PANEL)
        gr.HTML(
            parts.footer(context.limits, title_of(context.settings.model)), elem_id="ov-foot", padding=False
        )
        bench = Bench(context, screen, dict(pages)[ask.TAB].options)
        for panel, page in pages:
            panel.wire(bench, page)
        wire_planning(bench)
        bench.finish(demo)
        add_api(bench)
    with demo.route(texts.TEACH_TITLE, "/teach", show_in_navbar=False):
        teach.wire(demo, teach.build(context), context)
    return demo
