"""Whoever answers questions about studies: a model on this machine, a server elsewhere, a script in a test.

The page, the shell, the evaluation and the servers know this protocol and no class behind it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Unpack

from omnivmed.inference.events import Answer, Done, Event, Failed
from omnivmed.inference.options import AskOptions, AskSettings

if TYPE_CHECKING:
    from omnivmed.records import Turn
    from omnivmed.spoken.reply import Knows
    from omnivmed.study import Study
    from omnivmed.vision import VisionBudget


class Assistant(Protocol):
    """A model that answers questions about studies; made by `load_model`, safe to share by many users.

    What it says of itself comes from its card; the program decides nothing by a model's name.
    """

    @property
    def name(self) -> str:
        """Who is speaking."""

    @property
    def description(self) -> str:
        """What it is, in a few words."""

    @property
    def trust(self) -> str:
        """What it may be trusted with, in one sentence."""

    @property
    def answers(self) -> Mapping[str, Sequence[str]]:
        """What it was trained and tested to answer, per kind of study, in words; empty = not known."""

    @property
    def questions(self) -> Mapping[str, Sequence[str]]:
        """Questions to begin with, per kind of study."""

    @property
    def budget(self) -> VisionBudget:
        """How many visual tokens a study may spend, hence which slices or frames it is shown."""

    @property
    def follows(self) -> bool:
        """Whether earlier turns of a conversation are known to help it."""

    @property
    def knows(self) -> Knows | None:
        """Its card as the replies read it (`spoken.reply`); None: every question goes to the model as it is."""

    @property
    def kept_bytes(self) -> int | None:
        """Memory held for later questions; None where that cannot be known (elsewhere)."""

    def stream(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn] = (),
        options: AskOptions | None = None,
        *,
        cancel: threading.Event | None = None,
        **settings: Unpack[AskSettings],
    ) -> Iterator[Event]:
        """Answer as a stream of events (see `events`); closing the iterator stops the work.

        What the file knows is answered from it, and `Answer.source` says so; `alone=True` asks the model alone.

        history: earlier (question, answer) pairs on the same study, oldest first; bounded by the limits.
        options: the settings as one value; single ones can be given by name: `stream(study, "Plane?", threshold=0)`.
        cancel: an event that, once set, ends the answer with `stopped="cancelled"`.

        Every error that a person can do something about comes as a last `Failed` event.
        """

    def answer(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn] = (),
        options: AskOptions | None = None,
        **settings: Unpack[AskSettings],
    ) -> Answer:
        """The whole answer at once. Raises StudyError, ModelError, or Busy when too many are waiting."""

    def forget(self, study: Study) -> int:
        """Drop all that is kept of this study, under every window; returns the bytes freed."""

    def seconds_per_token(self) -> float | None:
        """Seconds to read one prompt token, measured now; None when it cannot be or somebody is being served."""


def final(events: Iterable[Event]) -> Answer:
    """The answer that a stream ends in. Raises the error of its `Failed` event."""
    for event in events:
        if isinstance(event, Done):
            return event.answer
        if isinstance(event, Failed):
            raise event.error
    raise AssertionError("an answer ended without its last event")
