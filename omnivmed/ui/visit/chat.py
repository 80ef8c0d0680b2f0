"""One question from the page to the model and back: events in, states of the conversation out.

`ask` is a generator of `Progressing` states and knows no Gradio: the page, the API and the side-by-side view
all use it. Stopping is cooperative: `session.stop` goes to the engine as its cancel flag; the engine ends within
one step and its last event carries the answer so far. When the generator itself is closed because the visitor
went away, the engine's iterator is closed with it, which stops the computation as well.
"""

from __future__ import annotations

import html
import logging
import re
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from omnivmed.errors import Cancelled, ModelError, OmniVMedError
from omnivmed.inference.events import Done, Failed, MaskReady, Stage, Text
from omnivmed.inference.guided import immediate
from omnivmed.inference.options import AskOptions
from omnivmed.spoken.questions import place_in, stretch_in, with_neighbours
from omnivmed.ui import texts
from omnivmed.ui.visit.background import Step
from omnivmed.ui.visit.clock import clip_time
from omnivmed.ui.visit.opened import OpenStudy, Turn
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from omnivmed.inference import Answer, Assistant
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study

log = logging.getLogger("omnivmed.ui")
SHOWN_TURNS = 12
TELL_EVERY_S = 0.06  # at most about 16 updates a second reach the page


class Refused(Exception):
    """A question that is not passed to the model; the message is for the person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Progressing:
    """Where an answer is. `mask` is set once, the moment the model's own mask is known."""

    question: str
    text: str = ""
    step: Step | None = None
    mask: KeepMask | None = None
    answer: Answer | None = None
    error: str | None = None
    stopped: bool = False
    facts: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will come: answered, failed or stopped."""
        return self.answer is not None or self.error is not None or self.stopped


def check_question(context: Context, session: Session, question: Any) -> tuple[str, OpenStudy]:
    """The question, cleaned, and the study it is about. Raises Refused with a sentence for the person."""
    text = str(question or "").strip()
    if not text:
        raise Refused(texts.NO_QUESTION)
    if len(text) > context.limits.max_question_chars:
        raise Refused(texts.TOO_LONG.format(limit=context.limits.max_question_chars))
    if session.glimpse is not None:  # what is on the screen is not what a model would be given
        raise Refused(texts.STILL_OPENING)
    opened = session.current
    if opened is None:
        if session.ended is not None:
            minutes = context.limits.idle_minutes
            raise Refused(texts.ENDED[session.ended].format(minutes=minutes))
        raise Refused(texts.NO_STUDY)
    if opened.study.needs_confirmation and not opened.confirmed:
        raise Refused(texts.CONFIRM_ASK)
    return text, opened


def ask(
    context: Context,
    session: Session,
    question: str,
    options: AskOptions,
    *,
    history: bool = True,
    record: bool = True,
) -> Generator[Progressing, None, None]:
    """Ask about the session's study; yields until the answer is over.

    history: whether earlier turns go into the prompt; record: whether this one joins the conversation.
    Raises Refused before anything is computed.
    """
    question, opened = check_question(context, session, question)
    if not session.answering.acquire(blocking=False):
        raise Refused(texts.ALREADY)
    began = time.monotonic()
    code = "closed"
    state = Progressing(question)
    if record:
        session.begin_turn()
    try:
        for state in _answer(context, session, opened, question, options, history):
            if state.over:
                code = "error" if state.error else "stopped" if state.stopped else "ok"
                if record and not state.error:
                    name = context.service.name
                    session.record(
                        opened, Turn(question, state.text, name, state.facts, state.answer, state.stopped)
                    )
            elif record:
                session.write(opened, _broken_off(context, state))
            yield state
    finally:
        if (
            code == "closed" and record and state.text
        ):  # the page was left in the middle: what was written stays
            session.record(opened, _broken_off(context, state))
        session.answering.release()
        session.touch()
        context.counts.answered(code, time.monotonic() - began)
        log.info(
            "session=%s ask kind=%s seconds=%.2f code=%s",
            session.tag, opened.study.kind, time.monotonic() - began, code,
        )  # fmt: skip


def _broken_off(context: Context, state: Progressing) -> Turn:
    """The turn as it stands if nothing more comes."""
    return Turn(state.question, state.text, context.service.name, texts.STOPPED, None, stopped=True)


def _answer(
    context: Context,
    session: Session,
    opened: OpenStudy,
    question: str,
    options: AskOptions,
    with_history: bool,
) -> Generator[Progressing, None, None]:
    state = Progressing(question)
    earlier = session.history(context.limits) if with_history else []
    asked, options = placed(opened.study, question, options)
    if (
        context.service.assistant is None
    ):  # what the file knows needs no model: one may still load, or have failed
        before = earlier[-1][0] if earlier else ""
        at_once = immediate(opened.study, asked, before, context.service.knows, options)
        if at_once is not None:
            yield replace(state, text=at_once.text, answer=at_once, facts=answer_facts(at_once))
            return
    try:
        loading = context.service.awaited(session.stop)
        while True:
            yield replace(state, step=next(loading))
    except StopIteration as loaded:
        assistant: Assistant = loaded.value
    except Cancelled:
        yield replace(state, stopped=True)
        return
    except ModelError as error:
        yield replace(state, error=error.message)
        return
    began = time.monotonic()
    events = assistant.stream(
        opened.study,
        asked,
        history=earlier,
        options=options,
        cancel=session.stop,
    )
    pieces: list[str] = []
    mask: KeepMask | None = None
    told = 0.0
    try:
        for event in events:
            if isinstance(event, Done):
                context.service.learn_cost(event.answer)
                yield replace(
                    state,
                    text=event.answer.text,
                    step=None,
                    answer=event.answer,
                    stopped=event.stopped == "cancelled",
                    facts=looked_at(answer_facts(event.answer), opened.study, options, event.answer.mask),
                )
                return
            if isinstance(event, Failed):
                if isinstance(event.error, Cancelled):
                    break
                yield replace(state, step=None, error=event.message)
                return
            now = time.monotonic()
            if isinstance(event, MaskReady):
                mask = event.mask
                if (
                    options.place is None or options.neighbours
                ):  # that of one slice is not the mask of the study on the screen
                    yield replace(state, mask=mask)
                continue
            if isinstance(event, Text):
                pieces.append(event.piece)
                state = replace(state, text="".join(pieces).lstrip(), step=None)
            elif isinstance(event, Stage) and not pieces:
                state = replace(state, step=Step(event.name, event.done, event.total))
            if now - told >= TELL_EVERY_S:
                told = now
                yield state
        facts = stopped_facts(mask, time.monotonic() - began)
        yield replace(state, step=None, stopped=True, facts=facts)
    except OmniVMedError as error:
        yield replace(state, step=None, error=error.message)
    except MemoryError:
        yield replace(state, step=None, error=texts.OUT_OF_MEMORY)
    except Exception as error:
        log.error("session=%s code=%s at=%s", session.tag, type(error).__name__, place_of(error))
        yield replace(state, step=None, error=texts.UNEXPECTED)
    finally:
        if isinstance(events, Generator):
            events.close()


def place_of(error: BaseException) -> str:
    """File and line where an error arose: code of ours, no values of anybody's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"


# ------------------------------------------------------------------------------------- how it reads


def placed(study: Study, question: str, options: AskOptions) -> tuple[str, AskOptions]:
    """A question that begins with a place ("On slice 57: …", "At 3.5 s: …") or names a stretch of a clip ("between 1:20
    and 1:50") without it, and the options that look there alone; any other as it is.

    A place or stretch that the study has not is left to the engine to refuse.
    """
    if study.kind == "image":
        return question, options
    found = place_in(question)
    if found is None:
        stretch = stretch_in(question) if study.kind == "video" and options.span_s is None else None
        return (question, options) if stretch is None else (stretch[2], replace(options, span_s=stretch[:2]))
    unit, value, rest = found
    options = replace(options, neighbours=int(with_neighbours(question)))
    if unit == "number":
        return rest, replace(options, place=int(value) - 1)
    return (
        (question, options)
        if study.times_s is None
        else (rest, replace(options, place=study.index_at(value)))
    )


def looked_at(facts: str, study: Study, options: AskOptions, mask: KeepMask | None) -> str:
    """The short line below an answer says what was looked at: one slice or frame, a stretch, so many of so many."""
    short, line_break, rest = facts.partition("\n")
    if study.kind == "image" or not line_break or mask is None:  # the file alone has answered
        return facts
    if options.place is not None and options.neighbours:
        first, last = (int(mask.frame_index[k]) + 1 for k in (0, -1))
        return f"{texts.ANSWER_NEAR[study.kind].format(first=first, last=last)} · {facts}"
    if options.place is not None:
        return f"{texts.ANSWER_PLACE[study.kind].format(number=options.place + 1)} · {facts}"
    taken, frames = len(mask.frame_index), study.shape[0]
    if mask.span_s is not None:
        begin, end = (clip_time(s) for s in mask.span_s)
        short += " · " + texts.ANSWER_SPAN.format(taken=taken, frames=frames, begin=begin, end=end)
    elif taken < frames:
        short += " · " + texts.ANSWER_TAKEN[study.kind].format(taken=taken, frames=frames)
    return f"{short}\n{rest}"


def answer_facts(answer: Answer) -> str:
    """What stands below an answer: a short line, and behind a line break the rest, which a click shows: tokens and
    seconds, all of them this run's, and what was left out and why."""
    usage, seconds = answer.usage, answer.timings_s
    before, after = usage.visual_tokens_before, usage.visual_tokens_after
    if not before:
        return texts.ANSWER_UNASKED[answer.source]
    share = f" ({100 * after / before:.0f} %)"
    parts = [
        texts.ANSWER_TOKENS.format(after=after, before=before, share=share),
        texts.ANSWER_OUT.format(count=usage.output_tokens),
    ]
    parts.append(texts.ANSWER_FIRST.format(seconds=seconds.first_token))
    parts.append(texts.ANSWER_TOTAL.format(seconds=seconds.total))
    if usage.encoder_frames == 0:
        parts.append(texts.ANSWER_CACHED)
    if answer.stopped == "length":
        parts.append(texts.LENGTH)
    short = texts.ANSWER_SHORT.format(seconds=seconds.total, tokens=after)
    if answer.stopped == "cancelled":
        short = f"{texts.STOPPED} · {short}"
    return f"{short}\n{' · '.join([*parts, *answer.notes])}"


def stopped_facts(mask: KeepMask | None, seconds: float) -> str:
    """The same for an answer that was stopped."""
    short = texts.STOPPED_AFTER.format(seconds=seconds)
    if mask is None:
        return short
    return f"{short}\n{texts.ANSWER_TOKENS.format(after=mask.kept, before=mask.total, share='')}"


_SLICE = re.compile(r"\b(slice|frame)s? (?:number )?(\d{1,6})\b", re.IGNORECASE)
_TIME = re.compile(r"\b(?:at|time|second) (\d{1,6}(?:\.\d+)?) ?(?:s|seconds)?\b", re.IGNORECASE)
_AUTOLINK = re.compile(r":(?=//)|(?<=www)\.|@", re.IGNORECASE)  # what makes a bare address a link
_MARKDOWN = re.compile(r"([\\`*_\[\]|~]|^[#+-])", re.MULTILINE)


def plain(text: str) -> str:
    """Text of a person or a model as Markdown that shows exactly these characters: no tags, pictures, links."""
    escaped = _MARKDOWN.sub(r"\\\1", html.escape(text, quote=False)).replace("\n", "  \n")
    return _AUTOLINK.sub(lambda found: f"&#{ord(found[0])};", escaped)


def linked(text: str, frames: int, seconds: float | None) -> str:
    """`plain`, with "slice 12" or "at 3.5 s" made a link that moves the viewer, when the study has that place."""
    out: list[str] = []
    at = 0
    marks = [
        (m.start(), m.end(), f"#slice-{m.group(2)}", 1 <= int(m.group(2)) <= frames)
        for m in _SLICE.finditer(text)
    ]
    if seconds is not None:
        marks += [
            (m.start(), m.end(), f"#time-{m.group(1)}", float(m.group(1)) <= seconds)
            for m in _TIME.finditer(text)
        ]
    for start, end, target, exists in sorted(marks):
        if start < at or not exists or frames < 2:
            continue
        out += [plain(text[at:start]), f"[{plain(text[start:end])}]({target})"]
        at = end
    return "".join([*out, plain(text[at:])])


def messages(session: Session, running: Progressing | None = None) -> list[dict[str, Any]]:
    """The conversation for `gr.Chatbot`: the last recorded turns, then the one being answered.

    Every update sends all that is shown, so a long lesson would get slower with every question; the whole conversation
    is in the download.
    """
    with session.lock:
        turns = list(session.turns)
        study = session.current.study if session.current is not None else None
    frames = study.shape[0] if study is not None else 0
    times = study.times_s if study is not None else None
    seconds = float(times[-1]) if times is not None and len(times) else None
    shown: list[dict[str, Any]] = []
    if len(turns) > SHOWN_TURNS:
        earlier = texts.EARLIER_TURNS.format(count=len(turns) - SHOWN_TURNS)
        shown.append(
            {"role": "assistant", "content": f'<small class="ov-facts">{html.escape(earlier)}</small>'}
        )
    for turn in turns[-SHOWN_TURNS:]:
        shown += _pair(turn.question, linked(turn.text, frames, seconds), turn.facts)
    if running is not None:
        body = linked(running.text, frames, seconds)
        if running.error:
            body = f"{body}\n\n**{plain(running.error)}**" if body else f"**{plain(running.error)}**"
        shown += _pair(running.question, body, running.facts)
    return shown


def _pair(question: str, body: str, facts: str) -> list[dict[str, Any]]:
    """The question, the answer, and the answer's numbers as a small line of their own; a click shows the rest."""
    shown = [{"role": "user", "content": plain(question)}, {"role": "assistant", "content": body or "…"}]
    short, _, rest = facts.partition("\n")
    if rest:  # a block of its own: inside another element the browser would close the paragraph round it and repeat it
        line = f"<summary>{html.escape(short)}</summary>{html.escape(rest)}"
        shown.append({"role": "assistant", "content": f'<details class="ov-facts">{line}</details>'})
    elif short:
        shown.append(
            {"role": "assistant", "content": f'<small class="ov-facts">{html.escape(short)}</small>'}
        )
    return shown
