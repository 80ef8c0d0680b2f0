"""What a model on this machine makes besides answers: reports of studies, and pictures where it has the weights."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from omnivmed.errors import ModelError
from omnivmed.inference.drawing import Artist, DrawOptions
from omnivmed.inference.events import Text
from omnivmed.inference.options import AskOptions
from omnivmed.inference.reply import Picture, Replied, Reply, ReplyEvent, whole
from omnivmed.inference.report import STYLE, report_events, write_report
from omnivmed.spoken.attributes import named

if TYPE_CHECKING:
    from omnivmed.generation import CounterfactualResult, GeneratedImage
    from omnivmed.generation.abilities import Task
    from omnivmed.inference.assistant import Assistant
    from omnivmed.study import Study

NO_WEIGHTS = (
    "This model cannot draw: there are no drawing weights here. Asking and writing reports work without."
)
REFERENCE = "For comparison, drawn by the model, not this patient: {prompt}."
NO_REFERENCE = (
    "No picture was drawn for comparison: the report does not name both a kind of image and a body part."
)


@runtime_checkable
class Draws(Protocol):
    """An assistant that may be able to draw."""

    artist: Artist | None


def artist_of(assistant: object) -> Artist | None:
    """Who draws for this assistant; None for one that cannot."""
    return assistant.artist if isinstance(assistant, Draws) else None


def slice_of(study: Study, index: int | None = None) -> np.ndarray:
    """One slice or frame as it is shown, uint8 (H, W, 3) with square pixels; the middle one unless `index` is given."""
    import cv2

    frames, rows, columns = study.shape
    at = frames // 2 if index is None else min(max(int(index), 0), frames - 1)
    picture: np.ndarray = study.take([at])[0]
    if abs(study.pixel_aspect - 1) < 0.01:
        return picture
    size = (columns, max(1, round(rows * study.pixel_aspect)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))


def reference_prompt(text: str) -> str | None:
    """What to draw beside a report, in the words the report itself uses; None where it names too little."""
    found = {attribute: named(attribute, text) for attribute in ("plane", "modality", "organ")}
    modality, organ = (found[name][:1] for name in ("modality", "organ"))
    if not modality or not organ:
        return None
    plane = f"{found['plane'][0]} " if found["plane"] else ""
    return f"{plane}{modality[0]} of the {organ[0]}"


def report_with_picture(
    assistant: Assistant,
    study: Study,
    options: AskOptions | None = None,
    draw: DrawOptions | None = None,
    *,
    picture: bool = False,
    cancel: threading.Event | None = None,
) -> Generator[ReplyEvent, None, None]:
    """The report as events; with `picture` one drawn for comparison follows it, of what the report says it is.

    Without drawing weights, or where the report names too little to draw, a note of the reply says so.
    """
    reply: Reply | None = None
    for event in report_events(assistant, study, options, cancel=cancel):
        if isinstance(event, Replied):
            reply = event.reply
        else:
            yield event
    if reply is None:
        return  # `Failed` has been told
    artist = artist_of(assistant)
    if not picture or reply.stopped == "cancelled":
        yield Replied(reply)
        return
    prompt = reference_prompt(reply.text)
    if artist is None or "text_to_image" not in artist.abilities.tasks or prompt is None:
        why = NO_REFERENCE if artist is not None and prompt is None else NO_WEIGHTS
        yield Replied(_joined(reply, "", (), 0.0, why))
        return
    lead = f"\n{REFERENCE.format(prompt=prompt)}\n"
    yield Text(lead)
    for event in artist.stream(prompt, None, draw or DrawOptions(), cancel=cancel):
        if isinstance(event, Replied):
            yield Replied(_joined(reply, lead, event.reply.pictures, event.reply.seconds))
        else:
            yield event


def _joined(reply: Reply, text: str, pictures: tuple[Picture, ...], seconds: float, note: str = "") -> Reply:
    notes = (*reply.notes, note) if note else reply.notes
    return Reply(
        f"{reply.text}\n{text}".strip(), pictures, reply.model, reply.seconds + seconds, reply.stopped, notes
    )


class Making:
    """Reports and pictures, for an `Assistant` with an `artist` or without."""

    artist: Artist | None = None

    def write_report(self: Any, study: Study, style: str = STYLE) -> Iterator[str]:
        """Findings and impression in pieces of text as they are written, out of what this model may say.

        What did not pass the ship rule is said to be held back. Raises StudyError, ModelError, Busy.
        """
        return write_report(self, study, style)

    def report(
        self: Any,
        study: Study,
        options: AskOptions | None = None,
        draw: DrawOptions | None = None,
        *,
        picture: bool = False,
        cancel: threading.Event | None = None,
    ) -> Generator[ReplyEvent, None, None]:
        """The same as events (`omnivmed.inference.reply`), with a picture drawn for comparison where it is wanted."""
        return report_with_picture(self, study, options, draw, picture=picture, cancel=cancel)

    def draw(
        self,
        prompt: str,
        image: Study | np.ndarray | None = None,
        options: DrawOptions | None = None,
        *,
        task: Task = "text_to_image",
        cancel: threading.Event | None = None,
    ) -> Generator[ReplyEvent, None, None]:
        """Draw from words, or change a picture as they say, as events: stages, previews, the picture, words about it.

        image: a study, of which the middle slice or frame is taken, or uint8 (H, W, 3). task: what the weights were
        trained for; see `artist.abilities`. Raises ModelError("WeightsMissing") where there are no drawing weights.
        """
        artist = self._artist()
        given = image if image is None or isinstance(image, np.ndarray) else slice_of(image)
        return artist.stream(prompt, given, options or DrawOptions(), task=task, cancel=cancel)

    def generate_image(
        self,
        prompt: str,
        image: Study | np.ndarray | None = None,
        *,
        task: Task | None = None,
        **settings: Any,
    ) -> GeneratedImage:
        """One picture, stamped. settings: those of `DrawOptions`; `seed=None` takes a new one, which the result names.

        task: by default drawing from words without a picture, super-resolution with one. Raises ModelError,
        QuestionError, Busy.
        """
        chosen: Task = task or ("text_to_image" if image is None else "super_resolution")
        return self._picture(prompt, image, chosen, settings).image

    def counterfactual(
        self, image: Study | np.ndarray, instruction: str, **settings: Any
    ) -> CounterfactualResult:
        """The picture changed as told, what is different, and an explanation. Raises like `generate_image`."""
        made = self._picture(instruction, image, "counterfactual", settings).change
        assert made is not None
        return made

    def _picture(self, prompt: str, image: Any, task: Task, settings: Mapping[str, Any]) -> Picture:
        reply = whole(self.draw(prompt, image, DrawOptions(**settings), task=task))
        return reply.pictures[0]

    def _artist(self) -> Artist:
        if self.artist is None:
            raise ModelError("WeightsMissing", NO_WEIGHTS)
        return self.artist


__all__ = ["Draws", "Making", "artist_of", "reference_prompt", "report_with_picture", "slice_of"]
