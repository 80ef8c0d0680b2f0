"""The tab in which one asks: the model's card, the conversation, the settings of a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from omnivmed.inference.options import AskOptions
from omnivmed.spoken.reply import suggestions
from omnivmed.ui import texts
from omnivmed.ui.canvas.container import payload_path
from omnivmed.ui.canvas.payload import pack_mask
from omnivmed.ui.page import parts
from omnivmed.ui.page.export import conversation_markdown
from omnivmed.ui.tabs.bench import Bench, Tab
from omnivmed.ui.tabs.options import OptionsPage, build_options
from omnivmed.ui.tabs.screen import Updates
from omnivmed.ui.upstream import event_data
from omnivmed.ui.visit import chat
from omnivmed.ui.visit.clock import clip_time
from omnivmed.ui.visit.opened import OpenStudy, Turn
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context

SUGGESTIONS = 4
TICK_S = 1.0  # while the model loads, its card is looked at this often
# In the page only: the viewer's cost estimate begins when the model is known, not with the next study.
TELL_VIEWER = "facts => window.omnivmedViewer && window.omnivmedViewer.model(facts)"


@dataclass(frozen=True)
class AskPage:
    """The components of the tab."""

    model: Any  # the card, for the person
    facts: Any  # `ModelFacts` as JSON, for the viewer; never seen
    timer: Any
    chat: Any
    suggestions: tuple[Any, ...]
    question: Any
    ask: Any
    stop: Any
    options: OptionsPage
    save_chat: Any
    fresh: Any


def build(context: Context) -> AskPage:
    """Lay the tab out; call inside a `gr.Tab`."""
    model = gr.HTML(parts.model_card(context.service), elem_id="ov-model", padding=False)
    facts = gr.JSON(context.service.facts.model_dump(), visible=False)
    timer = gr.Timer(TICK_S)
    talk = gr.Chatbot(
        label=texts.CHAT_LABEL,
        show_label=False,
        height=380,
        buttons=[],
        feedback_options=None,
        layout="bubble",
        placeholder=texts.CHAT_EMPTY,
        allow_tags=False,
        latex_delimiters=[],  # what people and models write is shown as written
        elem_id="ov-chat",
    )
    with gr.Row(elem_id="ov-suggest"):
        suggestions = tuple(
            gr.Button(" ", size="sm", visible=False, elem_id=f"suggest-{k}") for k in range(SUGGESTIONS)
        )
    with gr.Row(elem_id="ov-ask-row"):
        question = gr.Textbox(
            show_label=False,
            label=texts.ASK,
            placeholder=texts.ASK_PLACEHOLDER,
            container=False,
            max_lines=4,
            scale=6,
            max_length=context.limits.max_question_chars,
            elem_id="ov-question",
        )
        ask = gr.Button(texts.ASK, variant="primary", scale=1, elem_id="ov-ask")
        stop = gr.Button(texts.STOP, interactive=False, scale=1, elem_id="ov-stop")
    options = build_options(context)
    with gr.Row():
        save_chat = gr.DownloadButton(
            texts.DOWNLOAD_CHAT, size="sm", interactive=False, elem_id="ov-save-chat"
        )
        fresh = gr.Button(texts.NEW_CHAT, size="sm", elem_id="ov-fresh")
    return AskPage(
        model, facts, timer, talk, suggestions, question, ask, stop, options, save_chat, fresh
    )  # fmt: skip


class Ask:
    """Handlers of the tab."""

    def __init__(self, bench: Bench, page: AskPage) -> None:
        self.bench = bench
        self.context = bench.context
        self.screen = bench.screen
        self.page = page

    # ------------------------------------------------------------------------------------- asking

    def begin(self, request: gr.Request, question: Any) -> Updates:
        """Show the question at once and note it for `answer`, which may have to wait for its turn."""
        page, session = self.page, self.screen.session(request)
        try:
            text, _ = chat.check_question(self.context, session, question)
            if not session.expect(text):
                raise chat.Refused(texts.ALREADY)
        except chat.Refused as refusal:
            return {self.screen.page.status: parts.error(refusal.message)}
        return {
            page.chat: chat.messages(session, chat.Progressing(text)),
            page.question: "",
            page.ask: gr.Button(interactive=False),
            page.stop: gr.Button(interactive=True),
        }

    def answer(
        self,
        request: gr.Request,
        threshold: Any,
        reference: Any,
        max_frames: Any,
        max_new_tokens: Any,
        remember: Any,
    ) -> Iterator[Updates]:
        """Stream the answer to the noted question; `remember`: whether earlier turns go along."""
        page, screen = self.page, self.screen
        session = screen.session(request)
        question = session.take_question()
        if question is None:
            yield {page.chat: gr.skip()}
            return
        options = AskOptions.bounded(self.context.limits, threshold, reference, max_frames, max_new_tokens)
        opened = session.current
        running = chat.ask(self.context, session, question, options, history=bool(remember))
        try:
            for state in running:
                updates: Updates = {}
                if state.mask is not None and opened is not None and session.current is opened:
                    path = payload_path(session.served_folder(), "mask")
                    pack_mask(state.mask, path, content_id=opened.study.content_id)
                    session.use_mask(opened, state.mask, path, answered=True)
                    if session.glimpse is None:
                        updates[screen.page.viewer] = screen.viewer_value(opened)
                if session.current is not opened:
                    return  # another study is on the screen; its own handler has cleared the conversation
                done = state.over and state.error is None
                if state.answer is not None and opened is not None and session.glimpse is None:
                    # What reading a token costs is known now.
                    updates[screen.page.viewer] = screen.viewer_value(opened)
                updates[page.chat] = chat.messages(session, None if done else state)
                updates[screen.page.status] = (
                    parts.progress(state.step) if state.step else parts.status(opened)
                )
                yield updates
        except chat.Refused as refusal:
            yield {screen.page.status: parts.error(refusal.message), page.chat: chat.messages(session)}
        finally:
            running.close()

    def finish(self, request: gr.Request) -> Updates:
        """After an answer, a stop or a full queue: the buttons as they were."""
        page, session = self.page, self.screen.session(request)
        updates: Updates = {page.ask: gr.Button(interactive=True), page.stop: gr.Button(interactive=False)}
        never_asked = session.take_question()
        if never_asked is not None:  # the queue was full and `answer` never ran
            updates[page.question] = never_asked
            updates[self.screen.page.status] = parts.error(texts.BUSY)
            updates[page.chat] = chat.messages(session)
        return updates

    def tell(self, request: gr.Request) -> Updates:
        """An answer is over: every tab that shows something of it is told, once."""
        session = self.screen.session(request)
        last = session.last_turn()
        if last is None:
            return {self.page.save_chat: gr.skip()}
        return self.bench.when_answered(session, *last)

    def stop_answer(self, request: gr.Request) -> None:
        """Ask the engine to stop; it does within a step, and the answer so far stays."""
        session = self.context.store.peek(request.session_hash)
        if session is not None:
            session.stop.set()

    def start_over(self, request: gr.Request) -> Updates:
        """Forget the conversation, keep the study."""
        session = self.screen.session(request)
        session.start_over()
        return {self.page.chat: [], self.screen.page.status: parts.status(session.current)}

    def ask_slice(self, event: gr.EventData) -> Updates:
        """Begin a question about the slice, the moment or the stretch that was marked."""
        data = event_data(event)
        ends = [float(data[name]) for name in ("from_s", "to_s") if isinstance(data.get(name), (int, float))]
        time_s = data.get("time_s")
        if len(ends) == 2:
            begin, end = (clip_time(end) for end in ends)
            start = texts.ASK_STRETCH.format(begin=begin, end=end)
        elif data.get("around") and isinstance(time_s, (int, float)):
            start = texts.ASK_AROUND.format(at=clip_time(time_s))
        elif data.get("around") and isinstance(data.get("index"), int):
            start = texts.ASK_NEIGHBOURS.format(number=data["index"] + 1)
        elif isinstance(time_s, (int, float)):
            start = texts.ASK_AT_TIME.format(seconds=time_s)
        elif isinstance(data.get("index"), int):
            start = texts.ASK_ON_SLICE.format(number=data["index"] + 1)
        else:
            start = ""
        return {self.page.question: start}

    # ------------------------------------------------------------------------------------- moments

    def shown(self, opened: OpenStudy) -> Updates:
        """Another study: an empty conversation, questions that fit."""
        page = self.page
        return {page.chat: [], page.save_chat: gr.DownloadButton(interactive=False), **self.suggested(opened)}

    def back(self, session: Session, opened: OpenStudy) -> Updates:
        """The page was loaded anew: the conversation as it was."""
        return {self.page.chat: chat.messages(session)}

    def answered(self, session: Session, opened: OpenStudy, turn: Turn) -> Updates:
        """The conversation as a file."""
        path = session.new_served("omnivmed-conversation.md")
        path.write_text(conversation_markdown(opened, session.turns), encoding="utf-8")
        updates: Updates = {self.page.save_chat: gr.DownloadButton(value=str(path), interactive=True)}
        if turn.answer is not None and turn.answer.offers:  # what it names instead is one click away
            usual = suggestions(opened.study, self.context.service.knows)
            updates |= self.chips(list(dict.fromkeys([*turn.answer.offers, *usual])))
        return updates

    def suggested(self, opened: OpenStudy | None) -> Updates:
        """Questions to begin with: those that the file or the model answers of this very study (`spoken.reply`)."""
        kind = opened.study.kind if opened is not None else "image"
        service = self.context.service
        assistant = service.assistant
        if assistant is not None and assistant.knows is None:
            found = list(assistant.questions.get(kind) or texts.QUESTIONS[kind])
        else:
            found = [] if opened is None else suggestions(opened.study, service.knows)
        return self.chips(found)

    def chips(self, questions: Sequence[str]) -> Updates:
        """The buttons with these questions; those left over are hidden."""
        questions = [*questions[:SUGGESTIONS], *[""] * (SUGGESTIONS - len(questions))]
        return {
            button: gr.Button(value=text or " ", visible=bool(text))
            for button, text in zip(self.page.suggestions, questions, strict=True)
        }

    def model_tick(self, request: gr.Request) -> Updates:
        """While the model loads: how far it is. The timer ends when all is known of it."""
        page, service = self.page, self.context.service
        updates: Updates = {
            page.model: parts.model_card(service),
            page.facts: service.facts.model_dump(),
        }
        if service.state in ("ready", "failed"):
            updates[page.timer] = gr.Timer(active=not service.settled)
            updates[page.options.remember] = service.follows_conversations
            updates |= self.suggested(self.screen.session(request).current)
            updates |= self.bench.when_known()
        return updates


def wire(bench: Bench, page: AskPage) -> None:
    """Events of the tab."""
    ask, screen = Ask(bench, page), bench.screen.page
    bench.when_shown.add(ask.shown, [page.chat, page.save_chat, *page.suggestions])
    bench.screen.when_back.add(ask.back, [page.chat])
    bench.when_answered.add(ask.answered, [page.save_chat, *page.suggestions])
    page.model.change(None, page.facts, None, js=TELL_VIEWER)
    screen.viewer.ask_slice(ask.ask_slice, None, page.question, **bench.light)
    page.stop.click(ask.stop_answer, None, None, **bench.light)
    page.fresh.click(ask.start_over, None, [page.chat, screen.status], **bench.light)

    begun = [page.chat, page.question, page.ask, page.stop, screen.status]
    answered = [page.chat, screen.viewer, screen.status]
    starts = [(page.ask.click, page.question), (page.question.submit, page.question)]
    starts += [(button.click, button) for button in page.suggestions]

    def wire_answers() -> None:
        told = bench.when_answered.outputs
        for trigger, source in starts:
            asked = trigger(ask.begin, source, begun, **bench.light)
            done = asked.then(ask.answer, page.options.asking, answered, **bench.model)
            done.then(ask.finish, None, begun, **bench.light).then(ask.tell, None, told, **bench.quick)

    def wire_timer() -> None:
        told = [page.model, page.facts, page.timer, page.options.remember, *page.suggestions]
        page.timer.tick(ask.model_tick, None, [*told, *bench.when_known.outputs], **bench.light)

    bench.at_last(wire_answers)
    bench.at_last(wire_timer)


TAB = Tab(build, wire, id="ask", title=texts.ASK_TAB)
