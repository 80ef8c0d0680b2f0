"""Cutting off edges with names in them: four sliders, a picture that shows what would go, and the cut itself.

The cut is made on the study (`Study.with_crop`), so viewer, pruning, model and downloads all get the part and
nothing else. The picture with the dark edges stays in the browser while the sliders move.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from omnivmed.errors import StudyError
from omnivmed.frames import inside_margins
from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page import parts
from omnivmed.ui.tabs.bench import Bench, Panel
from omnivmed.ui.tabs.screen import Screen, Updates
from omnivmed.ui.visit import opening
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from omnivmed.study import Study

EDGE = 420  # longest edge of the small picture, pixels
MOST = 60  # per cent that one slider goes to
MOVE = """(top, bottom, left, right) => {
  const picture = document.querySelector("#ov-crop-look .ov-cut");
  if (picture) Object.entries({ top, bottom, left, right }).forEach(([side, value]) =>
    picture.style.setProperty("--" + side, (value || 0) + "%"));
}"""


@dataclass(frozen=True)
class CropPage:
    """The components of the tool."""

    panel: Any
    look: Any
    sides: tuple[Any, ...]  # top, bottom, left, right, per cent
    cut: Any
    whole: Any


def build(context: Context) -> CropPage:
    """The closed panel below the warnings."""
    with gr.Accordion(texts.CROP, open=False, elem_id="ov-crop") as panel, gr.Row():
        look = gr.HTML("", elem_id="ov-crop-look", padding=False)
        with gr.Column(min_width=220):
            gr.HTML(f"<p>{escape(texts.CROP_INFO)}</p>", elem_id="ov-crop-info", padding=False)
            sides = []
            for pair in (texts.CROP_SIDES[:2], texts.CROP_SIDES[2:]):
                with gr.Row(elem_classes=["ov-crop-sides"]):
                    sides += [
                        gr.Slider(0, MOST, 0, step=0.5, label=name, min_width=100, buttons=[])
                        for name in pair
                    ]
            with gr.Row():
                cut = gr.Button(texts.CROP_CUT, size="sm", variant="primary", elem_id="ov-crop-cut")
                whole = gr.Button(texts.CROP_WHOLE, size="sm", elem_id="ov-crop-whole")
    return CropPage(panel, look, tuple(sides), cut, whole)


class Crop:
    """What its buttons do."""

    def __init__(self, context: Context, screen: Screen, tool: CropPage) -> None:
        self.context = context
        self.screen = screen
        self.tool = tool

    def follow(self, request: gr.Request) -> Updates:
        """After a study was opened: closed and at rest, or open where a name may be in the picture."""
        session = self.context.store.get(request.session_hash)
        opened, tool = session.current, self.tool
        if opened is None:
            return {tool.panel: gr.skip()}
        if opened.cut is not None:
            return {tool.panel: gr.Accordion(open=True)}
        asked = opened.study.needs_confirmation and not opened.confirmed
        updates: Updates = dict.fromkeys(tool.sides, 0)
        updates[tool.panel] = gr.Accordion(open=asked)
        updates[tool.look] = picture_html(opened.study) if asked else ""
        return updates

    def draw(self, request: gr.Request, *margins: Any) -> Updates:
        """The panel was opened: its picture."""
        opened = self.context.store.get(request.session_hash).current
        if opened is None:
            return {self.tool.look: ""}
        try:
            whole = (opened.whole or opened.study).with_painted(opened.painted)
            return {self.tool.look: picture_html(whole, margins)}
        except StudyError as error:
            return {self.tool.look: parts.error(error.message)}

    def cut(
        self,
        request: gr.Request,
        top: Any,
        bottom: Any,
        left: Any,
        right: Any,
        threshold: Any,
        reference: Any,
        max_frames: Any,
    ) -> Iterator[Updates]:
        """Show only the part inside the margins (per cent of height and width), from now on and everywhere."""
        session, status = self.screen.session(request), self.screen.page.status
        opened = session.current
        if opened is None:
            yield {status: parts.error(texts.NO_STUDY)}
            return
        _, height, width = (opened.whole or opened.study).shape
        try:
            margins = [float(value) for value in (top, bottom, left, right)]
            left_over = inside_margins(height, width, *margins)
        except (TypeError, ValueError):
            yield {status: parts.error(texts.CROP_TOO_MUCH)}
            return
        options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames)
        states = opening.open_part(self.context, session, opened, left_over, opened.painted, options)
        yield from self.screen.told(session, states)

    def whole(
        self, request: gr.Request, threshold: Any, reference: Any, max_frames: Any
    ) -> Iterator[Updates]:
        """The picture as it was uploaded."""
        yield from self.cut(request, 0, 0, 0, 0, threshold, reference, max_frames)


def picture_html(study: Study, margins: Any = (0, 0, 0, 0)) -> str:
    """The middle frame, small, under four dark edges that the sliders move."""
    import cv2

    frame = study.take([study.shape[0] // 2])[0]
    height, width = frame.shape[0] * study.pixel_aspect, float(frame.shape[1])
    ratio = EDGE / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_NEAREST)
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 80])
    if not done:
        raise RuntimeError(f"could not encode a {size} picture")
    names = ("top", "bottom", "left", "right")
    style = ";".join(f"--{name}:{_percent(value)}%" for name, value in zip(names, margins, strict=True))
    edges = "".join(f'<i class="ov-{name}"></i>' for name in names)
    code = base64.b64encode(bytes(data)).decode()
    return (
        f'<div class="ov-cut" style="{style}"><img src="data:image/jpeg;base64,{code}" '
        f'alt="{escape(texts.CROP_ALT)}" width="{size[0]}" height="{size[1]}">{edges}</div>'
    )


def _percent(value: Any) -> float:
    try:
        return min(max(float(value), 0.0), 100.0)
    except (TypeError, ValueError):
        return 0.0


def wire(bench: Bench, tool: CropPage) -> None:
    """Events of the tool."""
    crop, sides = Crop(bench.context, bench.screen, tool), list(tool.sides)
    tool.panel.expand(crop.draw, sides, tool.look, **bench.light)
    gr.on([side.change for side in sides], None, sides, None, js=MOVE, **bench.light)
    bench.opens(tool.cut.click, crop.cut, sides)
    bench.opens(tool.whole.click, crop.whole, [])
    bench.after_opening(crop.follow, None, [tool.panel, tool.look, *sides], bench.light)


PANEL = Panel(build, wire)
