"""What the file itself tells of the study, as a table to unfold: rows of `omnivmed.spoken.header`, so no name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from omnivmed.spoken.header import rows_of
from omnivmed.ui.page import parts
from omnivmed.ui.tabs.bench import Bench, Panel
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.studies import Context


@dataclass(frozen=True)
class AboutPage:
    """Its one component."""

    table: Any


def build(context: Context) -> AboutPage:
    """A closed fold; empty while there is no study."""
    return AboutPage(gr.HTML("", elem_id="ov-about", padding=False))


def wire(bench: Bench, page: AboutPage) -> None:
    """Another study, or another window for this one: another table."""

    def shown(opened: OpenStudy) -> Updates:
        return {page.table: parts.about(rows_of(opened.study))}

    bench.when_shown.add(shown, [page.table])
    bench.when_planned.add(shown, [page.table])


PANEL = Panel(build, wire)
