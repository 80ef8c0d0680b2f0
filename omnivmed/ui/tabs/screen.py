"""What all tabs stand beside: the samples, the upload, the picture with its notes, and what opens a study.

`Screen` turns the states of `omnivmed.ui.visit.opening` into updates of the page. What a tab wants to change when a
study comes on the screen it says itself, through the hooks of `omnivmed.ui.tabs.bench`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from omnivmed import __version__
from omnivmed.errors import StudyError
from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.canvas.viewer import StudyViewer, ViewerValue, show
from omnivmed.ui.page import parts
from omnivmed.ui.page.upload import study_upload
from omnivmed.ui.visit import opening, studies
from omnivmed.ui.visit.background import Abandoned, run_with_progress
from omnivmed.ui.visit.link import Link
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.opening import Openings
from omnivmed.ui.visit.samples import FIRST, SAMPLES
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.sessions import Crowded
from omnivmed.ui.visit.studies import Context
from omnivmed.ui.visit.uploads import PAGE_HEADER

Updates = dict[Any, Any]  # component of the page → what it shows from now on
CLIP_BEAT_S = 1.0


class Hooks:
    """Who wants to change something of the page at one moment: functions of what happened, merged into one update."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []
        self._tellers: list[Any] = []

    def add(self, tell: Any, outputs: list[Any]) -> None:
        """`tell(*what happened) -> Updates` of these components."""
        self._tellers.append(tell)
        self.outputs += outputs

    def __call__(self, *what: Any) -> Updates:
        updates: Updates = {}
        for tell in self._tellers:
            updates |= tell(*what)
        return updates


@dataclass(frozen=True)
class PickPage:
    """The row above everything."""

    samples: tuple[Any, ...]  # one button each, in the order of SAMPLES
    upload: Any


@dataclass(frozen=True)
class ScreenPage:
    """The components of the row above and of the left side."""

    samples: tuple[Any, ...]
    upload: Any
    status: Any
    series: Any
    confirm: Any
    notes: Any
    viewer: Any


def build_pick() -> PickPage:
    """Samples and upload; call inside a `gr.Row`."""
    with gr.Row(elem_id="ov-samples"):
        samples = tuple(
            gr.Button(sample.name, elem_id=f"sample-{sample.key}", min_width=104) for sample in SAMPLES
        )
    upload = study_upload("ov-upload")
    gr.HTML(parts.folder_button(), elem_id="ov-folder", padding=False)
    return PickPage(samples, upload)


def build_screen(pick: PickPage, panels: Any = lambda: None) -> ScreenPage:
    """The left side; call inside a `gr.Column`. `panels()` lays out what stands between notes and picture."""
    status = gr.HTML(parts.progress(None), elem_id="ov-status", padding=False)
    series = gr.Dropdown(label=texts.SERIES, choices=[], visible=False, interactive=True, elem_id="ov-series")
    confirm = gr.Checkbox(label=texts.CONFIRM_LABEL, visible=False, elem_id="ov-confirm")
    notes = gr.HTML("", elem_id="ov-notes", padding=False)
    panels()
    viewer = StudyViewer(elem_id="viewer")
    return ScreenPage(pick.samples, pick.upload, status, series, confirm, notes, viewer)


class Screen:
    """Handlers of the left side, and what the tabs need of it."""

    def __init__(self, context: Context, page: ScreenPage) -> None:
        self.context = context
        self.page = page
        self.when_shown = Hooks()  # of the OpenStudy
        self.when_back = (
            Hooks()
        )  # of Session and OpenStudy: the page was loaded anew and has what it had before

    def session(self, request: gr.Request, *, begins: bool = False) -> Session:
        """The visitor behind this request; `begins`: it is the page's first, which may find what its tab had before."""
        page = dict(request.headers or {}).get(PAGE_HEADER)
        try:
            session = self.context.store.get(request.session_hash, page if begins else None)
        except Crowded:
            raise gr.Error(texts.CROWDED_PAGES, print_exception=False) from None
        session.page = page
        return session

    def look_after(self, request: gr.Request) -> Updates:
        """From time to time: say so when the study was deleted while the page stood open."""
        page = self.page
        why = self.context.store.told_of_end(request.session_hash)
        if why is None:
            return {page.status: gr.skip()}
        said = texts.ENDED[why].format(minutes=self.context.limits.idle_minutes)
        return {page.status: parts.error(said), page.viewer: None, page.notes: ""}

    @property
    def outputs(self) -> list[Any]:
        """Everything that changes when a study comes on the screen."""
        page = self.page
        own = [page.status, page.notes, page.viewer, page.series, page.confirm, *page.samples]
        every = own + self.when_shown.outputs + self.when_back.outputs
        return list({id(component): component for component in every}.values())

    # ------------------------------------------------------------------------------------- opening

    def open_first(
        self, request: gr.Request, threshold: Any, reference: Any, max_frames: Any
    ) -> Iterator[Updates]:
        """A new page opens on the sample its address names, else on the first; one that was loaded anew has its own."""
        session = self.session(request, begins=True)
        if session.current is not None:
            yield {**self.shown(session.current), **self.when_back(session, session.current)}
            self.context.service.start()
            return
        link = Link.of(dict(request.query_params or {}))
        if link.threshold is not None:
            threshold = link.threshold
        for updates in self.sample_opener(link.study or FIRST.key)(request, threshold, reference, max_frames):
            opened = session.current
            if self.page.viewer in updates and opened is not None:
                updates = {**updates, **self.when_back(session, opened)}
            yield updates
        self.context.service.start()
        opened = session.current
        if opened is not None and opened.sample == FIRST.key:
            self.context.first.make(opened)

    def sample_opener(self, key: str) -> Any:
        """A click handler that opens this sample."""

        def opener(request: gr.Request, threshold: Any, reference: Any, max_frames: Any) -> Iterator[Updates]:
            session = self.session(request)
            options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames)
            yield from self.told(session, opening.open_sample(self.context, session, key, options))

        return opener

    def open_files(
        self, request: gr.Request, files: Any, threshold: Any, reference: Any, max_frames: Any
    ) -> Iterator[Updates]:
        """Take an upload in, decode it, put it on the screen."""
        if not files:
            yield {self.page.status: gr.skip()}
            return
        session = self.session(request)
        options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames)
        yield from self.told(session, opening.open_files(self.context, session, files, options))

    def choose_series(
        self, request: gr.Request, index: Any, threshold: Any, reference: Any, max_frames: Any
    ) -> Iterator[Updates]:
        """Another series of the same upload."""
        session = self.session(request)
        options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames)
        yield {self.page.status: gr.skip()}
        yield from self.told(session, opening.open_series(self.context, session, index, options))

    def told(self, session: Session, states: Openings) -> Iterator[Updates]:
        """The states of an opening as updates of the page."""
        page = self.page
        with closing(states):
            for state in states:
                if state.overtaken:
                    # Leave the page to the newer study. The framework repeats the last update when a handler ends,
                    # and empties every output of one that gave none: so the last one says nothing.
                    yield {page.series: gr.skip()}
                elif state.error is not None:
                    yield self._failed(session, state.error, state.code, state.lost_glimpse)
                elif state.opened is not None:
                    yield self.shown(state.opened)
                elif state.received:
                    yield {
                        page.upload: None,
                        page.status: parts.progress(None, f"{texts.UPLOADING_DONE}. "),
                    }
                elif state.step is not None and state.step.sight is not None:
                    sight = state.step.sight
                    yield {
                        page.status: parts.progress(state.step),
                        page.viewer: show(study=sight, glimpse=sight.name),
                        page.notes: "",
                    }
                else:
                    yield {page.status: parts.progress(state.step)}

    def _failed(self, session: Session, sentence: str, code: str | None, lost_glimpse: bool) -> Updates:
        """Say so; the study before comes back where a glimpse of the failed one had taken its place."""
        page, opened = self.page, session.current
        updates: Updates = {page.status: parts.error(sentence, code, still_shown=opened is not None)}
        if lost_glimpse:
            updates[page.viewer] = None if opened is None else self.viewer_value(opened)
            updates[page.notes] = parts.notes(opened)
        return updates

    def shown(self, opened: OpenStudy) -> Updates:
        """This study is on the screen now: here and in every tab."""
        page, study = self.page, opened.study
        choices = [(str(entry.get("label", entry["index"])), int(entry["index"])) for entry in study.series]
        chosen = next((e["index"] for e in study.series if e.get("selected")), None)
        return {
            page.status: parts.status(opened),
            page.notes: parts.notes(opened),
            page.viewer: self.viewer_value(opened),
            page.series: gr.Dropdown(choices=choices, value=chosen, visible=len(choices) > 1),
            page.confirm: gr.Checkbox(value=False, visible=study.needs_confirmation and not opened.confirmed),
            **{
                button: gr.Button(elem_classes=["ov-on"] if opened.sample == sample.key else [])
                for button, sample in zip(page.samples, SAMPLES, strict=True)
            },
            **self.when_shown(opened),
        }

    # ------------------------------------------------------------------------------------- the picture

    def viewer_value(self, opened: OpenStudy, video_progress: float | None = None) -> ViewerValue:
        """The viewer's whole value for what is open now."""
        for path in (opened.payload, opened.mask_payload, opened.pixels, opened.video):
            if path is not None and path.exists():
                os.utime(path)  # Gradio's cleaning goes by age
        model = self.context.service.facts
        return show(
            study=opened.payload,
            mask=opened.mask_payload,
            pixels=opened.pixels,
            video_progress=video_progress,
            video=opened.video,
            video_fps=opened.video_fps,
            video_failed=opened.video_failed,
            role="answer" if opened.answered else "preview",
            goto=studies.first_look(opened),
            seconds_per_token=model.seconds_per_token,
            model=None if model.state == "failed" else model.name,
            model_state=model.state,
            version=__version__,
            follows=opened.glimpse,
            text_boxes=[list(box) for box in opened.study.text_boxes or ()] or None,
            sample=opened.sample,
        )

    def clip_refused(self, request: gr.Request) -> Iterator[Updates]:
        """The browser cannot play the clip as it was sent: one that it can is made of its frames."""
        session = self.session(request)
        opened = session.current
        if opened is not None and opened.video is not None and opened.video_fps is None:
            session.use_clip(opened, None, None)
        yield from self.convert_clip(request)

    def convert_clip(self, request: gr.Request) -> Iterator[Updates]:
        """Make the seekable copy of a long clip while the visitor already looks at its frames."""
        page = self.page
        session = self.session(request)
        opened = session.current
        if opened is None or not opened.needs_clip or opened.video is not None:
            yield {page.viewer: gr.skip()}
            return

        def gone() -> bool:
            return session.closed or session.current is not opened

        def on_screen() -> bool:
            return not gone() and session.glimpse is None

        work = run_with_progress(
            lambda progress: studies.make_clip(self.context, session, opened, gone, progress)
        )
        told = 0.0
        try:
            while True:
                step = next(work)
                if on_screen() and time.monotonic() - told > CLIP_BEAT_S:
                    told = time.monotonic()
                    yield {page.viewer: self.viewer_value(opened, step.done / max(1, step.total))}
        except StopIteration as finished:
            clip = finished.value
        except StudyError as error:
            clip = None
            if not gone():
                session.use_clip(opened, None, None, failed=texts.NO_CLIP.format(reason=error.message))
        except Abandoned:
            clip = None
        finally:
            work.close()
        if clip is not None and not gone():
            session.use_clip(opened, clip.path, clip.fps)
        if on_screen():
            yield {page.viewer: self.viewer_value(opened)}

    def text_found(self, opened: OpenStudy) -> Updates:
        """The study on the screen knows now where text is in it."""
        asks = opened.study.needs_confirmation and not opened.confirmed
        return {
            self.page.viewer: self.viewer_value(opened),
            self.page.notes: parts.notes(opened),
            self.page.confirm: gr.Checkbox(visible=asks),
        }

    def confirm_clean(self, request: gr.Request, ticked: bool) -> Updates:
        """The visitor says that no name is written into the picture."""
        session = self.session(request)
        session.confirm(bool(ticked))
        return {self.page.notes: parts.notes(session.current)}

    def leave(self, request: gr.Request) -> None:
        """The page was closed, left or reloaded."""
        self.context.store.leave(request.session_hash)
