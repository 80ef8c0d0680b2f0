"""What happens on each click: plain generators of updates, wired to components in `ui/app.py`.

Every handler takes Gradio's request first, then its values, and yields dictionaries {component: update} for
the components of `Page` it changes. Nothing a client sends is trusted: numbers are bounded by `Options.bounded`,
the conversation and the study live on the server.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from omnivmed import __version__
from omnivmed.errors import StudyError
from omnivmed.ui import texts
from omnivmed.ui.canvas.payload import pack_mask, payload_path
from omnivmed.ui.canvas.viewer import ViewerValue, show
from omnivmed.ui.page import parts
from omnivmed.ui.page.export import conversation_markdown
from omnivmed.ui.tabs import saw
from omnivmed.ui.tabs.controls import Page
from omnivmed.ui.visit import chat, studies
from omnivmed.ui.visit.background import Abandoned, Step, run_with_progress
from omnivmed.ui.visit.samples import SAMPLES
from omnivmed.ui.visit.session import OpenStudy, Session
from omnivmed.ui.visit.studies import Context, Options
from omnivmed.ui.visit.uploads import take_in

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask

log = logging.getLogger("omnivmed.ui")
Updates = dict[Any, Any]
SUGGESTIONS = 4
CLIP_BEAT_S = 1.0


class Handlers:
    """The handlers of one app."""

    def __init__(self, context: Context, page: Page) -> None:
        self.context = context
        self.page = page

    # ------------------------------------------------------------------------------------- studies

    def open_first(self, request: gr.Request, *settings: Any) -> Iterator[Updates]:
        """A new page opens on the first sample."""
        yield from self.open_sample(SAMPLES[0].key, request, *settings)
        self.context.service.start()

    def open_sample(self, key: str, request: gr.Request, *settings: Any) -> Iterator[Updates]:
        """Put a sample on the screen."""
        session = self.context.store.get(request.session_hash)
        options = Options.bounded(self.context.limits, *settings)
        ticket = session.begin_opening()
        work = run_with_progress(lambda progress: studies.open_sample(self.context, key, options, progress))
        yield from self.show_work(session, ticket, work)

    def sample_opener(self, key: str) -> Any:
        """A click handler that opens this sample."""

        def opener(request: gr.Request, *settings: Any) -> Iterator[Updates]:
            yield from self.open_sample(key, request, *settings)

        return opener

    def open_files(self, request: gr.Request, files: Any, *settings: Any) -> Iterator[Updates]:
        """Take an upload in, decode it, put it on the screen."""
        page = self.page
        if not files:
            yield {page.status: gr.skip()}
            return
        session = self.context.store.get(request.session_hash)
        options = Options.bounded(self.context.limits, *settings)
        ticket = session.begin_opening()
        yield {page.upload: None, page.status: parts.progress(None, f"{texts.UPLOADING_DONE}. ")}
        try:
            names = files if isinstance(files, list) else [files]
            taken = take_in([str(name) for name in names], session.sources, self.context.root.served)
        except (StudyError, OSError) as error:
            message = error.message if isinstance(error, StudyError) else texts.UNEXPECTED
            yield {page.status: parts.error(message)}
            return
        work = run_with_progress(
            lambda tell: studies.open_upload(self.context, session, taken, options, tell, sight=tell.show),
            discard=lambda opened: opened.study.close(),
        )
        failed = True
        try:
            failed = yield from self.show_work(session, ticket, work)
        finally:
            if failed:
                for path in taken:
                    path.unlink(missing_ok=True)

    def choose_series(self, request: gr.Request, index: Any, *settings: Any) -> Iterator[Updates]:
        """Another series of the same upload."""
        session = self.context.store.get(request.session_hash)
        opened = session.current
        if opened is None or not opened.sources or not isinstance(index, int):
            yield {self.page.status: gr.skip()}
            return
        if any(entry.get("selected") and entry.get("index") == index for entry in opened.study.series):
            yield {self.page.status: gr.skip()}
            return
        options = Options.bounded(self.context.limits, *settings)
        ticket = session.begin_opening()
        sources, opened.sources = opened.sources, []  # they move on to the series opened next
        work = run_with_progress(
            lambda tell: studies.open_upload(
                self.context, session, sources, options, tell, series=index, sight=tell.show
            ),
            discard=lambda fresh: fresh.study.close(),
        )
        if (yield from self.show_work(session, ticket, work)):
            session.give_back(opened, sources)

    def show_work(self, session: Session, ticket: int, work: Any) -> Generator[Updates, None, bool]:
        """Show the progress of `work`, then its study. Returns True when it failed or was overtaken."""
        page = self.page
        try:
            while True:
                step = next(work)
                if not session.look(ticket, step.sight.name if step.sight is not None else None):
                    return (yield from self._overtaken())
                if step.sight is not None:
                    value = show(study=step.sight)
                    value.state |= {"glimpse": step.sight.name}
                    yield {page.status: parts.progress(step), page.viewer: value, page.notes: ""}
                else:
                    yield {page.status: parts.progress(step)}
        except StopIteration as finished:
            opened: OpenStudy = finished.value
        except StudyError as error:
            return (yield from self._failed(session, ticket, parts.error(error.message, error.code)))
        except Abandoned:
            return True
        except Exception as error:
            log.error("session=%s code=%s at=%s", session.tag, type(error).__name__, chat.place_of(error))
            return (yield from self._failed(session, ticket, parts.error(texts.UNEXPECTED)))
        finally:
            work.close()
        if session.show(opened, ticket):
            yield self._shown(opened)
        else:
            yield from self._overtaken()
        return False

    def _overtaken(self) -> Generator[Updates, None, bool]:
        """Leave the page to the newer study. The framework repeats the last update when a handler ends, and empties
        every output of one that gave none: so the last one says nothing."""
        yield {self.page.series: gr.skip()}
        return True

    def _failed(self, session: Session, ticket: int, said: str) -> Generator[Updates, None, bool]:
        """Say so; the study before comes back where a glimpse of the failed one had taken its place."""
        if not session.wants(ticket):
            return (yield from self._overtaken())
        updates: Updates = {self.page.status: said}
        if session.glimpse is not None:
            session.glimpse, opened = None, session.current
            updates[self.page.viewer] = None if opened is None else self.viewer_value(opened)
            updates[self.page.notes] = parts.notes(opened)
        yield updates
        return True

    def _shown(self, opened: OpenStudy) -> Updates:
        page = self.page
        study = opened.study
        choices = [(str(entry.get("label", entry["index"])), int(entry["index"])) for entry in study.series]
        chosen = next((e["index"] for e in study.series if e.get("selected")), None)
        ask_first = study.needs_confirmation and not opened.confirmed
        return {
            page.status: parts.status(opened),
            page.notes: parts.notes(opened),
            page.viewer: self.viewer_value(opened),
            page.series: gr.Dropdown(choices=choices, value=chosen, visible=len(choices) > 1),
            page.confirm: gr.Checkbox(value=False, visible=ask_first),
            page.chat: [],
            page.saw: f'<div class="ov-saw"><p>{texts.SAW_EMPTY}</p></div>',
            page.save_json: gr.DownloadButton(interactive=False),
            page.save_chat: gr.DownloadButton(interactive=False),
            page.make_clip: gr.Button(interactive=opened.study.kind != "image"),
            page.save_overlay: gr.DownloadButton(visible=False),
            **self._suggested(opened),
            page.compare_question: texts.QUESTIONS[study.kind][0],
            **{
                button: gr.Button(elem_classes=["ov-on"] if opened.sample == sample.key else [])
                for button, sample in zip(page.samples, SAMPLES, strict=True)
            },
        }

    def convert_clip(self, request: gr.Request) -> Iterator[Updates]:
        """Make the seekable copy of a long clip while the visitor already looks at its frames."""
        page = self.page
        session = self.context.store.get(request.session_hash)
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
        except (StudyError, Abandoned):
            clip = None
        finally:
            work.close()
        if clip is not None and not gone():
            opened.video, opened.video_fps = clip.path, clip.fps
        if on_screen():
            yield {page.viewer: self.viewer_value(opened)}

    def viewer_value(self, opened: OpenStudy, video_progress: float | None = None) -> ViewerValue:
        """The viewer's whole value for what is open now."""
        service = self.context.service
        for path in (opened.payload, opened.mask_payload, opened.pixels, opened.video):
            if path is not None and path.exists():
                os.utime(path)  # Gradio's cleaning goes by age
        value = show(
            study=opened.payload,
            mask=opened.mask_payload,
            pixels=opened.pixels,
            video_progress=video_progress,
            video=opened.video,
            video_fps=opened.video_fps,
            role="answer" if opened.answered else "preview",
            goto=studies.first_look(opened),
            seconds_per_token=service.seconds_per_token,
        )
        value.state |= {"model": None if service.state == "failed" else service.name, "version": __version__}
        value.state |= {"model_state": service.state, "follows": opened.glimpse}
        return value

    def _suggested(self, opened: OpenStudy | None) -> Updates:
        kind = opened.study.kind if opened is not None else "image"
        assistant = self.context.service.assistant
        own = assistant.questions.get(kind) if assistant is not None else None
        questions = list(own or texts.QUESTIONS[kind])[:SUGGESTIONS]
        questions += [""] * (SUGGESTIONS - len(questions))
        return {
            button: gr.Button(value=text or " ", visible=bool(text))
            for button, text in zip(self.page.suggestions, questions, strict=True)
        }

    def confirm_clean(self, request: gr.Request, ticked: bool) -> Updates:
        """The visitor says that no name is written into the picture."""
        session = self.context.store.get(request.session_hash)
        if session.current is not None:
            session.current.confirmed = bool(ticked)
        return {self.page.notes: parts.notes(session.current)}

    # ------------------------------------------------------------------------------------- pruning

    def replan(self, request: gr.Request, *settings: Any) -> Updates:
        """Threshold, reference or frame limit changed: show the mask a question would use now."""
        session = self.context.store.get(request.session_hash)
        opened = session.current
        if opened is None or opened.payload is None or session.glimpse is not None:
            return {self.page.viewer: gr.skip()}
        options = Options.bounded(self.context.limits, *settings)
        before = opened.mask
        try:
            opened.mask = studies.plan(self.context, opened.study, options)
        except StudyError as error:
            return {self.page.status: parts.error(error.message)}
        opened.answered = False
        self._drop_stale_pixels(opened, before)
        self._serve_mask(session, opened)
        return {
            self.page.viewer: self.viewer_value(opened),
            self.page.status: parts.status(opened),
            self.page.saw: saw.saw_html(opened, opened.mask, None),
        }

    def threshold_let_go(self, request: gr.Request, event: gr.EventData, max_frames: Any) -> Updates:
        """The viewer's own threshold slider was let go: the next question uses that value."""
        data = event._data if isinstance(event._data, dict) else {}
        options = Options.bounded(
            self.context.limits, data.get("threshold"), data.get("reference"), max_frames
        )
        return {
            self.page.threshold: options.threshold,
            self.page.reference: options.reference,
        }

    def use_window(self, request: gr.Request, event: gr.EventData, *settings: Any) -> Updates:
        """ "Give the model this window": the same pixels under another window, pruned again."""
        session = self.context.store.get(request.session_hash)
        opened = session.current
        data = event._data if isinstance(event._data, dict) else {}
        try:
            window = (float(data["level"]), float(data["width"]))
            if opened is None or not all(abs(v) < 1e7 for v in window):
                raise ValueError
            opened.study = opened.study.with_window(window)
        except (KeyError, TypeError, ValueError):
            return {self.page.viewer: gr.skip()}
        return self.replan(request, *settings)

    def ask_slice(self, event: gr.EventData) -> Updates:
        """Begin a question about the slice or moment on the screen."""
        data = event._data if isinstance(event._data, dict) else {}
        if isinstance(data.get("time_s"), (int, float)):
            start = texts.ASK_AT_TIME.format(seconds=data["time_s"])
        elif isinstance(data.get("index"), int):
            start = texts.ASK_ON_SLICE.format(number=data["index"] + 1)
        else:
            start = ""
        return {self.page.question: start}

    def _drop_stale_pixels(self, opened: OpenStudy, before: KeepMask | None) -> None:
        """Pixels sent for what-ifs hold for one window and one choice of frames only."""
        now = opened.mask
        if before is None or now is None:
            return
        if before.window != now.window or before.frame_index.tolist() != now.frame_index.tolist():
            opened.pixels = None

    def _serve_mask(self, session: Session, opened: OpenStudy) -> None:
        if opened.mask is None:
            return
        path = payload_path(session.served_folder(), "mask")
        pack_mask(opened.mask, path, content_id=opened.study.content_id)
        before, opened.mask_payload = opened.mask_payload, path
        opened.served.append(path)
        if before is not None and before in opened.served:
            opened.served.remove(before)
            before.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------- asking

    def begin(self, request: gr.Request, question: Any) -> Updates:
        """Show the question at once and note it for `answer`, which may have to wait for its turn."""
        page = self.page
        session = self.context.store.get(request.session_hash)
        try:
            text, _ = chat.check_question(self.context, session, question)
            if session.answering.locked() or session.pending is not None:
                raise chat.Refused(texts.ALREADY)
        except chat.Refused as refusal:
            return {page.status: parts.error(refusal.message)}
        session.pending = text
        session.stop.clear()
        return {
            page.chat: chat.messages(session, chat.Progressing(text)),
            page.question: "",
            page.ask: gr.Button(interactive=False),
            page.stop: gr.Button(interactive=True),
        }

    def answer(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Stream the answer to the noted question; the last value says whether earlier turns go along."""
        *settings, remember = values
        page = self.page
        session = self.context.store.get(request.session_hash)
        question, session.pending = session.pending, None
        if question is None:
            yield {page.chat: gr.skip()}
            return
        options = Options.bounded(self.context.limits, *settings)
        opened = session.current
        running = chat.ask(self.context, session, question, options, history=bool(remember))
        try:
            for state in running:
                updates: Updates = {}
                if state.mask is not None and opened is not None and session.current is opened:
                    before, opened.mask, opened.answered = opened.mask, state.mask, True
                    self._drop_stale_pixels(opened, before)
                    self._serve_mask(session, opened)
                    if session.glimpse is None:
                        updates[page.viewer] = self.viewer_value(opened)
                if session.current is not opened:
                    return  # another study is on the screen; its own handler has cleared the conversation
                done = state.over and state.error is None
                if state.answer is not None and opened is not None and session.glimpse is None:
                    updates[page.viewer] = self.viewer_value(
                        opened
                    )  # what reading a token costs is known now
                updates[page.chat] = chat.messages(session, None if done else state)
                updates[page.status] = parts.progress(state.step) if state.step else parts.status(opened)
                yield updates
        except chat.Refused as refusal:
            yield {page.status: parts.error(refusal.message), page.chat: chat.messages(session)}
        finally:
            running.close()

    def finish(self, request: gr.Request) -> Updates:
        """After an answer, a stop or a full queue: the buttons as they were."""
        page = self.page
        session = self.context.store.get(request.session_hash)
        updates: Updates = {page.ask: gr.Button(interactive=True), page.stop: gr.Button(interactive=False)}
        if session.pending is not None:  # the queue was full and `answer` never ran
            updates[page.question], session.pending = session.pending, None
            updates[page.status] = parts.error(texts.BUSY)
            updates[page.chat] = chat.messages(session)
        return updates

    def stop_answer(self, request: gr.Request) -> None:
        """Ask the engine to stop; it does within a step, and the answer so far stays."""
        session = self.context.store.peek(request.session_hash)
        if session is not None:
            session.stop.set()

    def start_over(self, request: gr.Request) -> Updates:
        """Forget the conversation, keep the study."""
        session = self.context.store.get(request.session_hash)
        session.stop.set()
        with session.lock:
            session.turns = []
        return {self.page.chat: [], self.page.status: parts.status(session.current)}

    # ------------------------------------------------------------------------------------- what it saw

    def tell_saw(self, request: gr.Request) -> Updates:
        """Fill the tab "What the model saw" and its downloads after an answer."""
        page = self.page
        session = self.context.store.get(request.session_hash)
        with session.lock:
            opened, turn = session.current, session.turns[-1] if session.turns else None
        if opened is None or turn is None or opened.mask is None:
            return {page.saw: gr.skip()}
        began = time.monotonic()
        mask = turn.answer.mask if turn.answer is not None else opened.mask
        html = saw.saw_html(opened, mask, turn.answer)
        record = session.new_served("omnivmed-answer.json")
        record.write_text(saw.answer_json(opened, turn), encoding="utf-8")
        log.debug("session=%s saw seconds=%.2f", session.tag, time.monotonic() - began)
        talk = session.new_served("omnivmed-conversation.md")
        talk.write_text(conversation_markdown(opened, session.turns), encoding="utf-8")
        return {
            page.saw: html,
            page.save_json: gr.DownloadButton(value=str(record), interactive=True),
            page.save_chat: gr.DownloadButton(value=str(talk), interactive=True),
            page.make_clip: gr.Button(interactive=opened.study.kind != "image"),
        }

    def make_clip(self, request: gr.Request) -> Iterator[Updates]:
        """Draw the current mask over the frames it was made of, as an MP4 to take away."""
        from omnivmed.viz import write_overlay

        page = self.page
        session = self.context.store.get(request.session_hash)
        opened = session.current
        if opened is None or opened.mask is None:
            yield {page.status: parts.error(texts.NO_STUDY)}
            return
        mask = opened.mask
        yield {
            page.make_clip: gr.Button(interactive=False),
            page.status: parts.progress(Step("drawing", 0, 0)),
        }
        path = session.new_served("omnivmed-overlay.mp4")
        try:
            write_overlay(path, opened.study, mask, model=self.context.service.name)
        except StudyError as error:
            yield {page.make_clip: gr.Button(interactive=True), page.status: parts.error(error.message)}
            return
        yield {
            page.make_clip: gr.Button(interactive=True),
            page.save_overlay: gr.DownloadButton(value=str(path), visible=True),
            page.status: parts.status(opened),
        }

    # ------------------------------------------------------------------------------------- the model

    def model_tick(self, request: gr.Request) -> Updates:
        """While the model loads: how far it is. The timer ends when all is known of it."""
        service = self.context.service
        session = self.context.store.get(request.session_hash)
        updates: Updates = {self.page.model: parts.model_card(service)}
        if service.state in ("ready", "failed"):
            updates |= {self.page.timer: gr.Timer(active=not service.settled)} | self._suggested(
                session.current
            )
            updates[self.page.remember] = service.follows_conversations
        return updates

    def leave(self, request: gr.Request) -> None:
        """The page was closed."""
        self.context.store.drop(request.session_hash)
