"""One picture, or one report, from the page to the model and back: events in, states of the tab out.

`make` is a generator of `Making` states and knows no Gradio: the page and the API use it. It holds `session.answering`
like an answer does, so a page has one thing made at a time; stopping and leaving work as they do for answers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from omnivmed.errors import Cancelled, ModelError, OmniVMedError
from omnivmed.generation.abilities import Task
from omnivmed.inference.drawing import DrawOptions
from omnivmed.inference.events import Failed, Stage, Text
from omnivmed.inference.making import NO_WEIGHTS, artist_of, report_with_picture, slice_of
from omnivmed.inference.options import AskOptions
from omnivmed.inference.reply import Picture, Preview, Replied, Reply, ReplyEvent
from omnivmed.ui import texts
from omnivmed.ui.visit import chat
from omnivmed.ui.visit.background import Step
from omnivmed.ui.visit.chat import Refused, place_of
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context

if TYPE_CHECKING:
    from omnivmed.inference import Assistant

log = logging.getLogger("omnivmed.ui")
What = Task | Literal["report"]
TELL_EVERY_S = 0.06


@dataclass(frozen=True)
class Wish:
    """What is to be made. prompt: the words, or the instruction; unused for a report.

    index: which slice or frame of the open study is changed, None for the middle one. options: how it is drawn.
    ask: how a report's questions are asked. with_picture: a report is to be followed by one drawn for comparison.
    """

    what: What
    prompt: str = ""
    index: int | None = None
    options: DrawOptions = field(default_factory=DrawOptions)
    ask: AskOptions = field(default_factory=AskOptions)
    with_picture: bool = False


@dataclass(frozen=True)
class Making:
    """Where it is. `preview` is the newest one; `picture` is set once, when it is finished."""

    step: Step | None = None
    preview: Preview | None = None
    picture: Picture | None = None
    text: str = ""
    reply: Reply | None = None
    error: str | None = None
    stopped: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.reply is not None or self.error is not None or self.stopped


def make(context: Context, session: Session, wish: Wish) -> Generator[Making, None, None]:
    """Draw, change or write; yields until it is over. Raises Refused before anything is computed."""
    opened = _study(context, session, wish)
    if not session.answering.acquire(blocking=False):
        raise Refused(texts.ALREADY)
    began, code = time.monotonic(), "closed"
    try:
        for state in _make(context, session, opened, wish):
            if state.over:
                code = "error" if state.error else "stopped" if state.stopped else "ok"
            yield state
    finally:
        session.answering.release()
        session.touch()
        seconds = time.monotonic() - began
        context.counts.answered(code, seconds)
        log.info("session=%s %s seconds=%.2f code=%s", session.tag, wish.what, seconds, code)


def _study(context: Context, session: Session, wish: Wish) -> OpenStudy | None:
    """The study that is changed or reported on; None for drawing from words."""
    if wish.what == "text_to_image":
        if not wish.prompt.strip():
            raise Refused(texts.DRAW_NO_PROMPT)
        return None
    _, opened = chat.check_question(context, session, wish.prompt if wish.what != "report" else wish.what)
    return opened


def _make(
    context: Context, session: Session, opened: OpenStudy | None, wish: Wish
) -> Generator[Making, None, None]:
    state, events = Making(), None
    pieces: list[str] = []
    told = 0.0
    try:
        loading = context.service.awaited(session.stop)
        try:
            while True:
                yield replace(state, step=next(loading))
        except StopIteration as loaded:
            assistant: Assistant = loaded.value
        events = _events(assistant, session, opened, wish)
        for event in events:
            if isinstance(event, Failed):
                if isinstance(event.error, Cancelled):
                    break
                yield replace(state, step=None, error=event.message)
                return
            if isinstance(event, Replied):
                stopped = event.reply.stopped == "cancelled"
                yield replace(
                    state, step=None, preview=None, text=event.reply.text, reply=event.reply, stopped=stopped
                )
                return
            if isinstance(event, Picture):
                state = replace(state, step=None, preview=None)
                yield replace(state, picture=event)
                continue
            if isinstance(event, Text):
                pieces.append(event.piece)
                state = replace(state, text="".join(pieces), step=None)
            elif isinstance(event, Preview):
                state = replace(state, preview=event)
            elif isinstance(event, Stage):
                state = replace(state, step=Step(event.name, event.done, event.total))
            now = time.monotonic()
            if now - told >= TELL_EVERY_S or isinstance(event, Preview):
                told = now
                yield state
        yield replace(state, step=None, stopped=True)
    except Cancelled:
        yield replace(state, step=None, stopped=True)
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


def _events(
    assistant: Assistant, session: Session, opened: OpenStudy | None, wish: Wish
) -> Iterator[ReplyEvent]:
    if wish.what == "report":
        assert opened is not None
        return report_with_picture(
            assistant, opened.study, wish.ask, wish.options, picture=wish.with_picture, cancel=session.stop
        )
    artist = artist_of(assistant)
    if artist is None:
        raise ModelError("WeightsMissing", NO_WEIGHTS)
    image = None if opened is None else slice_of(opened.study, wish.index)
    return artist.stream(wish.prompt, image, wish.options, task=wish.what, cancel=session.stop)
