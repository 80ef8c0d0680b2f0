"""What the engine tells while it works: a closed set of small frozen events, and the `Answer` they end in.

One question yields, in this order::

    Stage*  MaskReady  Stage*  Text*  Done | Failed

Reading and pruning come first, so the mask can be shown at once; `Stage("waiting", …)` follows it when somebody
else is being answered. Exactly one of
`Done` and `Failed` ends the stream, unless the listener closed it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, TypeVar

from omnivmed.errors import OmniVMedError
from omnivmed.spoken.reply import Source

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask

StageName = Literal[
    "waiting",
    "reading",
    "patches",
    "pruning",
    "encoding",
    "reading the study",
    "answering",
    "loading the pen",
    "reading the prompt",
    "drawing a picture",
]

#: Why an answer ended: the model closed it, the token limit cut it, or the listener asked to stop.
StopReason = Literal["end", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Progress with a meaning: `done` of `total` units of stage `name`.

    Units: waiting = place in the queue (1 = next) of people waiting; reading and patches = frames;
    pruning = 1; encoding = frames; reading the study = prompt tokens; answering = `max_new_tokens`; loading the pen
    and reading the prompt = 1; drawing a picture = steps.
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


N = TypeVar("N", int, float)


class _Numbers(Mapping[str, N]):
    """The fields of a dataclass of numbers, read by name as well: `usage.prompt_tokens`, `usage["prompt_tokens"]`."""

    __slots__ = ()

    def __getitem__(self, name: str) -> N:
        if name not in self.__dataclass_fields__:  # type: ignore[attr-defined]
            raise KeyError(name)
        value: N = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in fields(self))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(fields(self))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Usage(_Numbers[int]):
    """Counts of one answer. visual_tokens_before and _after pruning; prompt_tokens: all positions of the prompt;
    encoder_frames: frames that went through the encoder for this answer, 0 when all were cached;
    cached_tokens: prompt tokens whose keys and values were kept from an earlier question."""

    visual_tokens_before: int = 0
    visual_tokens_after: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    encoder_frames: int = 0
    cached_tokens: int = 0


TimingName = Literal[
    "wait", "read", "patches", "prune", "encode", "prefill", "first_token", "decode", "total"
]


@dataclass(frozen=True, slots=True, eq=False)
class Timings(_Numbers[float]):
    """Seconds of one answer; first_token and total count from the question, waiting included. A step that was not
    needed took 0."""

    wait: float = 0.0
    read: float = 0.0
    patches: float = 0.0
    prune: float = 0.0
    encode: float = 0.0
    prefill: float = 0.0
    first_token: float = 0.0
    decode: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished (or stopped) answer with everything the screen says about it.

    `mask`: the tokens that the model was shown; None when there were no pictures to prune, or no model was asked.
    `source`: who said it: the "file" (header and geometry), the "model" from the picture, "both", or "fixed" (a reply
    written by people, to a greeting say, or a refusal). `offers`: questions about this study that are answered.
    `certainty`: probability of the first token of the model's text, 0..1; None where the model did not speak. `doubt`:
    the lowest probability of all its tokens; None unless the model alone was asked (`AskOptions.alone`).
    """

    text: str
    usage: Usage
    timings_s: Timings
    mask: KeepMask | None
    model: str
    threshold: float
    reference: str
    window: tuple[float, float] | None
    stopped: StopReason
    notes: tuple[str, ...] = field(default=())
    source: Source = "model"
    offers: tuple[str, ...] = ()
    certainty: float | None = None
    doubt: float | None = None

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
            "source": self.source,
            "offers": list(self.offers),
            "certainty": None if self.certainty is None else round(self.certainty, 4),
            "doubt": None if self.doubt is None else round(self.doubt, 4),
            "mask": None if self.mask is None else self.mask.to_dict(),
            "not_for_clinical_use": True,
        }


@dataclass(frozen=True, slots=True)
class Done:
    """The last event of an answer; `stopped` repeats `answer.stopped`."""

    answer: Answer
    stopped: StopReason


@dataclass(frozen=True, slots=True)
class Failed:
    """The last event when there is no answer: the error itself, ready to be raised."""

    error: OmniVMedError

    @property
    def code(self) -> str:
        """Its code: of `StudyError`, `ModelError`, `QuestionError`, or "Busy" or "Cancelled"."""
        return self.error.code

    @property
    def message(self) -> str:
        """Its sentence for the person."""
        return self.error.message


Event = Stage | MaskReady | Text | Done | Failed
