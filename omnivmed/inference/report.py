"""A report in the form of findings and impression, out of what a model may say.

Nothing new is claimed: a report is a row of the questions a model was tested on, each asked through `Assistant.stream`,
so that the ship rule holds back what did not pass it and says so in its own words. Which question comes next depends on
what was said: an X-ray has no plane. A model that names nothing it was tested on is asked for findings and impression
in plain words instead.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from omnivmed.errors import Cancelled, ModelError, OmniVMedError
from omnivmed.inference.events import Done, Failed, MaskReady, Stage, StopReason, Text
from omnivmed.inference.options import AskOptions
from omnivmed.inference.reply import Replied, Reply, ReplyEvent
from omnivmed.spoken.attributes import named
from omnivmed.spoken.withhold import HELD_NOTE, NAMES

if TYPE_CHECKING:
    from omnivmed.inference.assistant import Assistant
    from omnivmed.study import Study

STYLE = "findings+impression"
NOUN = {"image": "image", "volume": "scan", "video": "recording"}
CLOSING = "Written by {model}, a program that knows a few things about pictures. No statement about disease is made."
HELD = "Held back, because this model was not right often enough about it when it was tested: {names}."
NOTICE = "Not for clinical use."
LONGEST = 160  # tokens of one sentence of the report


@dataclass(frozen=True)
class Part:
    """One sentence of the findings: the attribute it is about, its heading, the question that is asked."""

    attribute: str
    heading: str
    question: str


def parts_of(kind: str) -> tuple[Part, ...]:
    """What is asked of this kind of study, in the order of the report. `sequence` and `view` come where they fit."""
    noun = NOUN[kind]
    return (
        Part("modality", "Kind", f"What kind of {noun} is this?"),
        Part("organ", "Body part", "Which part of the body is shown?"),
        Part("plane", "Plane", f"In which plane was this {'slice' if kind == 'image' else noun} taken?"),
        Part("sequence", "Sequence", "Which MR sequence is this?"),
        Part("view", "View", "Which view is this?"),
        Part("state", "Lungs", "Are the lungs normal or abnormal?"),
    )


def fits(attribute: str, kind: str, said: dict[str, str]) -> bool:
    """Whether a question makes sense after what was said: attribute → answer."""
    modality = named("modality", said.get("modality", ""))
    if attribute == "plane":
        return kind != "video" and bool({"CT", "MRI"} & set(modality))
    if attribute == "sequence":
        return "MRI" in modality
    chest = "X-ray" in modality and "chest" in named("organ", f"{said.get('organ', '')} {said['modality']}")
    return chest if attribute in ("view", "state") else True


def report_events(
    assistant: Assistant,
    study: Study,
    options: AskOptions | None = None,
    *,
    style: str = STYLE,
    cancel: threading.Event | None = None,
) -> Generator[ReplyEvent, None, None]:
    """The report as it is written; ends in `Replied` or `Failed`. Closing the iterator stops the work."""
    if style != STYLE:
        yield Failed(
            ModelError("Unsupported", f"A report is written as {STYLE}; there is no other style yet.")
        )
        return
    writer = _Writer(assistant, study, options or AskOptions(), cancel or threading.Event())
    try:
        yield from writer.findings()
        yield from writer.impression()
        yield from writer.closing()
    except Cancelled:
        writer.stopped = "cancelled"
    except OmniVMedError as error:
        yield Failed(error)
        return
    yield Replied(writer.reply())


def write_report(
    assistant: Assistant, study: Study, style: str = STYLE, *, cancel: threading.Event | None = None
) -> Iterator[str]:
    """The report in pieces of text as they are written. Raises the error it ends with, if it does."""
    for event in report_events(assistant, study, style=style, cancel=cancel):
        if isinstance(event, Text):
            yield event.piece
        elif isinstance(event, Failed):
            raise event.error


class _Writer:
    """One report being written."""

    def __init__(
        self, assistant: Assistant, study: Study, options: AskOptions, cancel: threading.Event
    ) -> None:
        self.assistant = assistant
        self.study = study
        self.options = replace(options, max_new_tokens=min(options.max_new_tokens, LONGEST), alone=True)
        self.cancel = cancel
        self.began = time.perf_counter()
        self.pieces: list[str] = []
        self.notes: list[str] = []
        self.said: dict[str, str] = {}
        self.stopped: StopReason = "end"

    def findings(self) -> Generator[ReplyEvent, None, None]:
        """One line each, of what is asked of this kind of study; in one paragraph from a model without a list."""
        yield self._write("FINDINGS\n")
        if not self.assistant.answers:
            text = yield from self._ask(f"Describe the findings in this {NOUN[self.study.kind]}.")
            self.said["findings"] = text
            yield self._write("\n")
            return
        for part in parts_of(self.study.kind):
            if not fits(part.attribute, self.study.kind, self.said):
                continue
            yield self._write(f"{part.heading}: ")
            self.said[part.attribute] = yield from self._ask(part.question)
            yield self._write("\n")

    def impression(self) -> Generator[ReplyEvent, None, None]:
        """One sentence that sums it up."""
        yield self._write("\nIMPRESSION\n")
        noun = NOUN[self.study.kind].replace("recording", "video")
        question = "Give the impression in one or two sentences."
        yield from self._ask(f"Describe this {noun}." if self.assistant.answers else question)
        yield self._write("\n")

    def closing(self) -> Generator[ReplyEvent, None, None]:
        """Who wrote it, what was held back, and what it is not for."""
        lines = [*self._told_notes(), CLOSING.format(model=self.assistant.name), NOTICE]
        yield self._write("\n" + "\n".join(lines) + "\n")

    def reply(self) -> Reply:
        """All of it."""
        seconds = time.perf_counter() - self.began
        text = "".join(self.pieces).strip()
        return Reply(text, (), self.assistant.name, seconds, self.stopped, self._told_notes())

    def _told_notes(self) -> tuple[str, ...]:
        """What the answers noted, each once; what was held back in one sentence of plain words."""
        held = [note for note in self.notes if note.startswith(HELD_NOTE)]
        names = [name for name in NAMES.values() if any(name in note for note in held)]
        rest = [note for note in self.notes if note not in held]
        return (*([HELD.format(names=", ".join(names))] if names else []), *dict.fromkeys(rest))

    def _write(self, piece: str) -> Text:
        self.pieces.append(piece)
        return Text(piece)

    def _ask(self, question: str) -> Generator[ReplyEvent, None, str]:
        """One answer, its pieces written as they come; one line, whatever the model breaks it into."""
        answer = self.assistant.stream(self.study, question, options=self.options, cancel=self.cancel)
        text, gap = "", ""  # white space is written with the word after it
        for event in answer:
            if isinstance(event, Stage):
                if not self.pieces or event.name in ("waiting", "encoding"):
                    yield event
            elif isinstance(event, Text):
                piece = re.sub(r"\s+", " ", gap + event.piece)
                words = piece.rstrip()
                gap = " " if piece != words and (text or words) else ""
                words = words if text else words.lstrip()
                if words:
                    text += words
                    yield self._write(words)
            elif isinstance(event, Failed):
                raise event.error
            elif isinstance(event, Done):
                self.notes += event.answer.notes
                if event.stopped == "cancelled":
                    raise Cancelled
            else:
                assert isinstance(event, MaskReady)
        return text.strip()
