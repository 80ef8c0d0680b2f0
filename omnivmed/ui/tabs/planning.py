"""Threshold, reference, frames and window: what a question would use now, shown before one is asked."""

from __future__ import annotations

from typing import Any

import gradio as gr

from omnivmed.errors import StudyError
from omnivmed.inference.options import AskOptions
from omnivmed.ui.canvas.container import payload_path
from omnivmed.ui.canvas.payload import pack_mask
from omnivmed.ui.page import parts
from omnivmed.ui.tabs.bench import Bench
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.upstream import event_data
from omnivmed.ui.visit import studies
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Session

MOST_WINDOW = 1e7  # raw units; no study has such values


class Planning:
    """Handlers of the settings and of the viewer's own threshold and window."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.context = bench.context
        self.screen = bench.screen

    def replan(self, request: gr.Request, threshold: Any, reference: Any, max_frames: Any) -> Updates:
        """Threshold, reference or frame limit changed: show the mask a question would use now."""
        session, page = self.screen.session(request), self.screen.page
        opened = session.current
        if opened is None or opened.payload is None or session.glimpse is not None:
            return {page.viewer: gr.skip()}
        options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames)
        study = opened.study
        try:
            mask = studies.plan(self.context, study, options)
        except StudyError as error:
            return {page.status: parts.error(error.message)}
        path = payload_path(session.served_folder(), "mask")
        pack_mask(mask, path, content_id=study.content_id)
        if not session.use_mask(opened, mask, path, answered=False):
            return {
                page.viewer: gr.skip()
            }  # another study is on the screen, whose handler has filled the page
        return {
            page.viewer: self.screen.viewer_value(opened),
            page.status: parts.status(opened),
            **self.bench.when_planned(opened),
        }

    def threshold_let_go(self, request: gr.Request, event: gr.EventData, max_frames: Any) -> Updates:
        """The viewer's own threshold slider was let go: the next question uses that value."""
        data, page = event_data(event), self.bench.options
        options = AskOptions.bounded(
            self.context.limits, data.get("threshold"), data.get("reference"), max_frames
        )
        return {page.threshold: options.threshold, page.reference: options.reference}

    def back(self, session: Session, opened: OpenStudy) -> Updates:
        """The page was loaded anew, or by a link: the settings are those of the mask on the screen."""
        page, mask = self.bench.options, opened.mask
        if mask is None:
            return {}
        return {page.threshold: mask.threshold, page.reference: mask.reference}

    def use_window(
        self, request: gr.Request, event: gr.EventData, threshold: Any, reference: Any, max_frames: Any
    ) -> Updates:
        """ "Give the model this window": the same pixels under another window, pruned again."""
        session = self.screen.session(request)
        opened, data = session.current, event_data(event)
        try:
            window = (float(data["level"]), float(data["width"]))
            if opened is None or not all(abs(v) < MOST_WINDOW for v in window):
                raise ValueError
            session.use_window(opened, window)
        except (KeyError, TypeError, ValueError):
            return {self.screen.page.viewer: gr.skip()}
        return self.replan(request, threshold, reference, max_frames)


def wire_planning(bench: Bench) -> None:
    """Events of settings and viewer that plan anew."""
    planning, page, viewer = Planning(bench), bench.options, bench.screen.page.viewer
    bench.screen.when_back.add(planning.back, [page.threshold, page.reference])

    def wire() -> None:
        outputs = [viewer, bench.screen.page.status, *bench.when_planned.outputs]
        again: dict[str, Any] = {"fn": planning.replan, "inputs": page.planning, "outputs": outputs}
        for trigger in (page.threshold.release, page.reference.input, page.max_frames.release):
            trigger(**again, **bench.quick)
        viewer.threshold_release(
            planning.threshold_let_go, page.max_frames, [page.threshold, page.reference], **bench.light
        ).then(**again, **bench.quick)
        viewer.use_window(planning.use_window, page.planning, outputs, **bench.quick)

    bench.at_last(wire)
