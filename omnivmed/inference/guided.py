"""A question on its way past the file: what the file knows is said from it, what is about no study gets its reply, and
the model is asked the rest (`omnivmed.spoken.reply`).

`guided` is a generator between the listener and the model's own events. A file's answer needs no model at all: its text
is there before anything is read, encoded or waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from omnivmed.inference.events import Answer, Done, Event, Failed, Text, Timings, Usage
from omnivmed.inference.options import AskOptions
from omnivmed.inference.work import Request
from omnivmed.spoken.reply import Knows, Reply, Source, difference, reply
from omnivmed.study import Study

Alone = Callable[[str], Generator[Event, None, None]]
"""The model's own events for a question."""


def guided(request: Request, knows: Knows, alone: Alone) -> Generator[Event, None, None]:
    """Events of the whole answer."""
    study, question, options = request.study, request.question, request.options
    before = request.history[-1][0] if request.history else ""
    told = reply(study, question, knows, before)
    if told is None:
        yield from alone(question)
        return
    said = told.text
    if said:
        yield Text(said)
    if told.ask is None:
        yield _done(_answer(said.strip(), told, knows, options))
        return
    events = alone(told.ask)
    try:
        words = ""
        for event in events:
            if isinstance(event, Text):
                words += event.piece
                if not told.quiet:
                    yield event
            elif isinstance(event, Done):
                yield from _closed(event.answer, said, words, told, knows)
            elif (
                isinstance(event, Failed) and told.quiet
            ):  # the file has answered; the model was only to be compared
                yield _done(_answer(said.strip(), told, knows, options))
            else:
                yield event
    finally:
        events.close()


def immediate(study: Study, question: str, before: str, knows: Knows, options: AskOptions) -> Answer | None:
    """The answer of a file or a fixed reply where no model is needed, or not there.

    None where only the model could say, or it alone was asked for.
    """
    if options.alone:
        return None
    told = reply(study, question, knows, before)
    if told is None or (told.ask is not None and not told.quiet):
        return None
    return _answer(told.text.strip(), told, knows, options)


def _closed(answer: Answer, said: str, words: str, told: Reply, knows: Knows) -> Generator[Event, None, None]:
    """The end of an answer that file and model gave together; where they differ, both are said."""
    if answer.source == "fixed":  # the model does not know such pictures: what the file tells stands alone
        text = said.strip() if told.quiet else f"{said}{answer.text}"
        source: Source = "file" if said.strip() else "fixed"
        yield _done(replace(answer, text=text.strip(), source=source, offers=told.offers or answer.offers))
        return
    more = difference(told.known, words, knows.name) if answer.stopped != "cancelled" else ""
    if more:
        yield Text(f" {more}")
    text = f"{said} {more}" if told.quiet else f"{said}{words} {more}"
    source = ("both" if more else "file") if told.quiet else told.source
    yield _done(replace(answer, text=" ".join(text.split(" ")).strip(), source=source, offers=told.offers))


def _answer(text: str, told: Reply, knows: Knows, options: AskOptions) -> Answer:
    return Answer(
        text=text,
        usage=Usage(),
        timings_s=Timings(),
        mask=None,
        model=knows.name,
        threshold=options.threshold,
        reference=options.reference,
        window=None,
        stopped="end",
        source="file" if told.source == "both" else told.source,
        offers=told.offers,
    )


def _done(answer: Answer) -> Done:
    return Done(answer, answer.stopped)
