"""Painting out text that was found in the pixels: one line, one click, and one back.

The search runs after a study has come on the screen (`studies.search_text`; on a public page before), in a worker. The
painting is made on the study (`Study.with_painted`), so viewer, pruning, model and downloads all get the painted one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page import parts
from omnivmed.ui.tabs.bench import Bench, Panel
from omnivmed.ui.tabs.screen import Screen, Updates
from omnivmed.ui.visit import opening, studies
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.studies import Context


@dataclass(frozen=True)
class PaintPage:
    """The components of the line."""

    line: Any
    said: Any
    out: Any
    back: Any


def build(context: Context) -> PaintPage:
    """The line below the warnings; not there while nothing was found."""
    with gr.Row(visible=False, elem_id="ov-paint") as line:
        said = gr.HTML("", elem_id="ov-paint-said", padding=False)
        out = gr.Button(texts.PAINT_OUT, size="sm", variant="primary", elem_id="ov-paint-out", min_width=110)
        back = gr.Button(texts.PAINT_BACK, size="sm", elem_id="ov-paint-back", min_width=110)
    return PaintPage(line, said, out, back)


class Paint:
    """What its buttons do."""

    def __init__(self, context: Context, screen: Screen, tool: PaintPage) -> None:
        self.context = context
        self.screen = screen
        self.tool = tool

    def shown(self, opened: OpenStudy) -> Updates:
        """What was found in this study, or painted out of it."""
        tool, found, painted = self.tool, opened.study.text_boxes or (), opened.painted
        sentences = []
        if painted:
            done = texts.PAINT_DONE_ONE if len(painted) == 1 else texts.PAINT_DONE
            sentences.append(done.format(count=len(painted)))
        if found:
            seen = texts.PAINT_FOUND_ONE if len(found) == 1 else texts.PAINT_FOUND
            sentences.append(seen.format(count=len(found)))
        return {
            tool.line: gr.Row(visible=bool(sentences)),
            tool.said: f'<p role="status">{escape(" ".join(sentences))}</p>' if sentences else "",
            tool.out: gr.Button(visible=bool(found)),
            tool.back: gr.Button(visible=bool(painted)),
        }

    def search(self, request: gr.Request) -> Updates:
        """Look for text in the study on the screen, if nobody has; samples are known to have none."""
        session = self.screen.session(request)
        opened = session.current
        nothing: Updates = {self.tool.said: gr.skip()}
        if opened is None or opened.sample is not None or opened.study.text_boxes is not None:
            return nothing
        try:
            found = studies.search_text(self.context, session, opened.study)
        except ValueError:  # closed meanwhile
            return nothing
        if found.text_boxes is None or not session.use_text(opened, found) or session.glimpse is not None:
            return nothing
        return {**self.screen.text_found(opened), **self.shown(opened)}

    def out(self, request: gr.Request, threshold: Any, reference: Any, max_frames: Any) -> Iterator[Updates]:
        """Replace the pixels of everything that was found, from now on and everywhere."""
        opened = self.screen.session(request).current
        painted = () if opened is None else studies.painted_with(opened)
        yield from self._repaint(request, painted, threshold, reference, max_frames)

    def back(self, request: gr.Request, threshold: Any, reference: Any, max_frames: Any) -> Iterator[Updates]:
        """The pixels as they were uploaded."""
        yield from self._repaint(request, (), threshold, reference, max_frames)

    def _repaint(
        self, request: gr.Request, painted: tuple[Any, ...], threshold: Any, reference: Any, max_frames: Any
    ) -> Iterator[Updates]:
        session = self.screen.session(request)
        opened = session.current
        if opened is None:
            yield {self.screen.page.status: parts.error(texts.NO_STUDY)}
            return
        options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames)
        states = opening.open_part(self.context, session, opened, opened.cut, painted, options)
        yield from self.screen.told(session, states)


def wire(bench: Bench, tool: PaintPage) -> None:
    """Events of the line."""
    paint, page = Paint(bench.context, bench.screen, tool), bench.screen.page
    components = [tool.line, tool.said, tool.out, tool.back]
    bench.when_shown.add(paint.shown, components)
    bench.opens(tool.out.click, paint.out, [])
    bench.opens(tool.back.click, paint.back, [])
    bench.after_opening(
        paint.search, None, [page.viewer, page.notes, page.confirm, *components], bench.search
    )


PANEL = Panel(build, wire)
