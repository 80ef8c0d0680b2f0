"""What the engine tells while it works: a closed set of small frozen events, and the `Answer` they end in.

One question yields, in this order::

    Stage*  MaskReady  Stage*  Text*  Done | Failed

Reading and pruning come first, so the mask can be shown at once; `Stage("waiting", …)` follows it when somebody
else is being answered. Exactly one of
`Done` and `Failed` ends the stream, unless the listener closed it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask

StageName = Literal["waiting", "reading", "patches", "pruning", "encoding", "reading the study", "answering"]

#: Why an answer ended: the model closed it, the token limit cut it, or the listener asked to stop.
StopReason = Literal["end", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress with a meaning: `done` of `total` units of stage `name`.

    Units: waiting = place in the queue (1 = next) of people waiting; reading and patches = frames;
    pruning = 1; encoding = frames; reading the study = prompt tokens; answering = `max_new_tokens`.
    """

    name: StageName
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class MaskReady:
    """The keep mask of this answer: the very object that the model applies, before the encoder starts."""

    mask: KeepMask


@dataclass(frozen=True, slots=True)
class Text:
    """A further piece of the answer; the pieces joined are `Answer.text`, up to white space at its ends."""

    piece: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished (or stopped) answer with everything the screen says about it.

    `usage` (counts): visual_tokens_before, visual_tokens_after, prompt_tokens, output_tokens,
    encoder_frames (frames that went through the encoder for this answer; 0 when all were cached),
    cached_tokens (prompt tokens whose keys and values were kept from an earlier question).
    `timings_s` (seconds): wait, read, patches, prune, encode, prefill, first_token, decode, total;
    first_token and total count from the question, waiting included.
    """

    text: str
    usage: Mapping[str, int]
    timings_s: Mapping[str, float]
    mask: KeepMask
    model: str
    threshold: float
    reference: str
    window: tuple[float, float] | None
    stopped: StopReason
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        """The same as plain JSON values; the mask by its own `to_dict`."""
        return {
            "text": self.text,
            "model": self.model,
            "threshold": self.threshold,
            "reference": self.reference,
            "window": list(self.window) if self.window is not None else None,
            "stopped": self.stopped,
            "usage": dict(self.usage),
            "timings_s": {name: round(value, 4) for name, value in self.timings_s.items()},
            "notes": list(self.notes),
            "mask": self.mask.to_dict(),
            "not_for_clinical_use": True,
        }


@dataclass(frozen=True, slots=True)
class Done:
    """The last event of an answer; `stopped` repeats `answer.stopped`."""

    answer: Answer
    stopped: StopReason


@dataclass(frozen=True, slots=True)
class Failed:
    """The last event when there is no answer: a code of `StudyError` / `ModelError` and one sentence."""

    code: str
    message: str


Event = Stage | MaskReady | Text | Done | Failed
