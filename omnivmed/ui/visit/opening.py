"""A study on its way to the screen: one beginning and one end for samples, uploads, series, parts and lessons.

Each function is a generator of `Opening` states and knows no Gradio. It takes the session's newest ticket, works in a
thread of its own, and ends when the study is on the screen, could not be opened, or a newer one was chosen meanwhile.
Closing the generator early gives the work up.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omnivmed.errors import StudyError
from omnivmed.frames import Box, Span
from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.visit import studies
from omnivmed.ui.visit.background import Abandoned, Reporter, Step, run_with_progress
from omnivmed.ui.visit.chat import place_of
from omnivmed.ui.visit.drawn import Drawn
from omnivmed.ui.visit.line import Line
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.studies import Context

log = logging.getLogger("omnivmed.ui")
QUEUE_BEAT_S = 0.25


@dataclass(frozen=True)
class Opening:
    """Where an opening is. The last state has `opened`, `error` or `overtaken`; those before tell how far it is.

    received: the upload is here and reading begins. step: with `step.sight` there is something to look at already.
    error, code: a sentence for the person, and what to look up. lost_glimpse: something of the study that failed was
    on the screen, and what was there before has to come back. overtaken: a newer choice has the page.
    """

    step: Step | None = None
    received: bool = False
    opened: OpenStudy | None = None
    error: str | None = None
    code: str | None = None
    lost_glimpse: bool = False
    overtaken: bool = False


class Prepared(Protocol):
    """What more than the view was made of a study, such as a lesson."""

    opened: OpenStudy


Made = OpenStudy | Prepared
Make = Callable[[Reporter], Made]
Openings = Generator[Opening, None, None]


def opening(session: Session, ticket: int, make: Make) -> Generator[Opening, None, bool]:
    """Run `make(progress)` in a thread and put what it made on the screen.

    ticket: from `session.begin_opening()`. Returns whether the session took the study, shown or discarded; False
    leaves the uploaded files to the caller.
    """
    work = run_with_progress(make, _close)
    try:
        while True:
            step = next(work)
            if not session.look(ticket, step.sight.name if step.sight is not None else None):
                yield Opening(overtaken=True)
                return False
            yield Opening(step)
    except StopIteration as finished:
        made: Made = finished.value
    except StudyError as error:
        yield _failed(session, ticket, error.message, error.code)
        return False
    except Abandoned:
        return False
    except Exception as error:
        log.error("session=%s code=%s at=%s", session.tag, type(error).__name__, place_of(error))
        yield _failed(session, ticket, texts.UNEXPECTED)
        return False
    finally:
        work.close()
    opened = made if isinstance(made, OpenStudy) else made.opened
    shown = session.show(opened, ticket, lesson=None if made is opened else made)
    yield Opening(opened=opened) if shown else Opening(overtaken=True)
    return True


def open_sample(context: Context, session: Session, key: str, options: AskOptions) -> Openings:
    """Put a sample on the screen. An unknown key ends as an unexpected error."""
    ticket = session.begin_opening()
    yield from opening(session, ticket, lambda tell: studies.open_sample(context, key, options, tell))


def open_files(context: Context, session: Session, files: Any, options: AskOptions) -> Openings:
    """Take an upload in, decode it, put it on the screen. `files`: what the upload component gives."""

    def make(taken: Sequence[Path], tell: Reporter) -> OpenStudy:
        return studies.open_upload(context, session, taken, options, tell, sight=tell.show)

    yield from uploaded(context, session, files, make)


def open_drawn(context: Context, session: Session, drawn: Drawn, options: AskOptions) -> Openings:
    """A picture of the gallery as a study: its stamped file, decoded in the worker like anybody's upload."""
    ticket = session.begin_opening()
    copy = session.sources_folder() / f"{secrets.token_hex(16)}.png"
    copy.write_bytes(drawn.path.read_bytes())
    taken = yield from opening(
        session,
        ticket,
        lambda tell: studies.open_upload(context, session, [copy], options, tell, sight=tell.show),
    )
    if not taken:
        copy.unlink(missing_ok=True)


def uploaded(
    context: Context, session: Session, files: Any, make: Callable[[Sequence[Path], Reporter], Made]
) -> Openings:
    """Move an upload to the session's folder and open what `make` makes of it; without success its files go."""
    ticket = session.begin_opening()
    yield Opening(received=True)
    names = files if isinstance(files, list) else [files]
    try:
        taken = context.uploads.take_in([str(name) for name in names], session.sources_folder(), session.page)
    except StudyError as error:
        yield Opening(error=error.message)
        return
    except OSError:
        yield Opening(error=texts.UNEXPECTED)
        return
    kept = False
    place = context.line.join()
    try:
        yield from _queued(context.line, place, session, ticket)
        kept = yield from opening(session, ticket, lambda tell: make(taken, tell))
    finally:
        context.line.leave(place)
        if not kept:
            for path in taken:
                path.unlink(missing_ok=True)


def _queued(line: Line, place: object, session: Session, ticket: int) -> Openings:
    """Say how many are before this upload until it is its turn to be decoded, or a newer one was chosen."""
    while session.wants(ticket):
        ahead, waiting = line.ahead(place)
        if ahead == 0:
            return
        yield Opening(Step("waiting", ahead, waiting))
        time.sleep(QUEUE_BEAT_S)


def open_series(context: Context, session: Session, index: Any, options: AskOptions) -> Openings:
    """Another series of the upload on the screen; nothing happens when there is no such choice."""
    opened = session.current
    if opened is None or not opened.sources or not isinstance(index, int):
        return
    if any(entry.get("selected") and entry.get("index") == index for entry in opened.study.series):
        return
    ticket = session.begin_opening()
    sources = session.lend_sources(opened)

    def make(tell: Reporter) -> OpenStudy:
        return studies.open_upload(context, session, sources, options, tell, series=index, sight=tell.show)

    kept = False
    try:
        kept = yield from opening(session, ticket, make)
    finally:
        if not kept:
            session.give_back(opened, sources)


def open_part(
    context: Context,
    session: Session,
    opened: OpenStudy,
    cut: tuple[Span, Span] | None,
    painted: tuple[Box, ...],
    options: AskOptions,
) -> Openings:
    """Only these rows and columns (begin, end) of the study, with these boxes painted out, now and everywhere."""
    ticket = session.begin_opening()
    yield from opening(
        session,
        ticket,
        lambda tell: studies.open_part(context, session, opened, cut, painted, options, tell),
    )


def _failed(session: Session, ticket: int, message: str, code: str | None = None) -> Opening:
    if not session.wants(ticket):
        return Opening(overtaken=True)
    return Opening(error=message, code=code, lost_glimpse=session.drop_glimpse())


def _close(made: Made) -> None:
    """Nobody waits for it any more. Samples stay open, and a part lives in the pixels of its whole."""
    opened = made if isinstance(made, OpenStudy) else made.opened
    if not opened.shared and opened.part_of is None:
        opened.study.close()
