"""A reply of text and pictures, as it comes: what drawing, editing and writing a report tell while they work.

One request yields, in this order::

    (Stage | Preview | Text | Picture)*  Replied | Failed

Text and pictures come in the order in which they are to be read: a picture, then what was changed in it; a report,
then the picture drawn to go with it. Exactly one of `Replied` and `Failed` ends the stream, unless the listener closed
it first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from omnivmed.inference.events import Failed, Stage, StopReason, Text

if TYPE_CHECKING:
    from omnivmed.generation import CounterfactualResult, GeneratedImage


@dataclass(frozen=True, slots=True)
class Preview:
    """The picture as far as it is: a stamped JPEG, after `done` of `total` steps."""

    jpeg: bytes
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture; `change` is set when it is a given one changed."""

    image: GeneratedImage
    change: CounterfactualResult | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole reply: text and pictures, who made them, how long it took in seconds, why it ended."""

    text: str
    pictures: tuple[Picture, ...]
    model: str
    seconds: float
    stopped: StopReason = "end"
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Replied:
    """The last event of a reply."""

    reply: Reply


ReplyEvent = Stage | Preview | Text | Picture | Replied | Failed


def whole(events: Iterable[ReplyEvent]) -> Reply:
    """The reply that a stream ends in. Raises the error of its `Failed` event."""
    for event in events:
        if isinstance(event, Replied):
            return event.reply
        if isinstance(event, Failed):
            raise event.error
    raise AssertionError("a reply ended without its last event")
