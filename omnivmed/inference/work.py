"""One question on its way through the engine: what was asked, what the model holds, what it cost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omnivmed.errors import QuestionError
from omnivmed.inference.desk import Job
from omnivmed.inference.events import Event, Stage, StopReason, Usage
from omnivmed.inference.options import AskOptions, checked
from omnivmed.inference.store import Key
from omnivmed.limits import Limits
from omnivmed.model.prompts import Turn
from omnivmed.spoken.reply import Source

if TYPE_CHECKING:
    from omnivmed.inference.runtime import Conversation
    from omnivmed.study import Study
    from omnivmed.vision import Patches

#: Characters of an earlier answer taken over from a client, per output token allowed.
CHARS_PER_TOKEN = 8


@dataclass(frozen=True)
class Request:
    """What was asked about which study, already within the limits."""

    study: Study
    question: str
    history: tuple[Turn, ...]
    options: AskOptions

    @property
    def study_key(self) -> Key:
        """Of what depends on the study and the frames taken alone."""
        return (self.study.content_id, self.study.digest, self.options.max_frames, self.options.place)

    @property
    def mask_key(self) -> Key:
        """Of what depends on the pruning too."""
        options = self.options
        return (*self.study_key, "mask", options.threshold, options.reference, options.rule, options.match)


def check_request(
    limits: Limits, study: Study, question: str, history: Sequence[Turn], options: AskOptions
) -> Request:
    """The request within the limits, whatever a client sent.

    Too much history, too many frames or tokens are cut down; a question that is empty or too long, a threshold
    out of range or an unknown reference raise QuestionError.
    """
    question = str(question).strip()
    if not question:
        raise QuestionError("NoQuestion", "There is no question yet: type one and ask again.")
    if len(question) > limits.max_question_chars:
        raise QuestionError(
            "TooLong",
            f"The question has {len(question):,} characters; at most {limits.max_question_chars:,} are read. "
            "Please shorten it.",
        )
    place = options.place
    if place is not None and not 0 <= place < study.shape[0]:
        what = "slice" if study.kind == "volume" else "frame"
        raise QuestionError(
            "Unsupported", f"There is no {what} {place + 1}: this study has {study.shape[0]:,}."
        )
    answer_chars = limits.max_new_tokens * CHARS_PER_TOKEN
    turns = list(history)[-limits.max_history_turns :] if limits.max_history_turns > 0 else []
    return Request(
        study=study,
        question=question,
        history=tuple((str(q)[: limits.max_question_chars], str(a)[:answer_chars]) for q, a in turns),
        options=checked(options, limits),
    )


@dataclass
class Chat:
    """A conversation as the language model holds it: `ids` are exactly the positions in its cache.

    `sound` is False while a call into the model runs, and stays so when that call fails.
    """

    conversation: Conversation
    ids: list[int] = field(default_factory=list)
    sound: bool = True

    def keep_common(self, ids: Sequence[int]) -> int:
        """Forget all from the first position where `ids` differs; at least its last position is left to do."""
        common = 0
        for mine, asked in zip(self.ids, ids[:-1], strict=False):
            if mine != asked:
                break
            common += 1
        if common < len(self.ids):
            self.sound = False
            self.conversation.truncate(common)
            del self.ids[common:]
            self.sound = True
        return common

    def prefill(self, ids: Sequence[int], visual: Any) -> int:
        """Append several positions; the likeliest next token."""
        self.sound = False
        token = self.conversation.prefill(ids, visual)
        self.ids += ids
        self.sound = True
        return token

    def step(self, token: int) -> int:
        """Append one token; the likeliest next one."""
        self.sound = False
        following = self.conversation.step(token)
        self.ids.append(token)
        self.sound = True
        return following


@dataclass
class Work(Job):
    """What happens to one question on its way: counts and pieces of text, beside the times of every job."""

    usage: Usage = field(default_factory=Usage)
    text: str = ""
    notes: list[str] = field(default_factory=list)
    stopped: StopReason = "end"
    source: Source = "model"
    offers: tuple[str, ...] = ()
    certainty: float | None = None


def memory_advice(study: Study) -> str:
    """What to do when the memory was not enough for this study."""
    if study.kind == "image":
        return "The memory was not enough for this picture. Close other studies or programs and ask again."
    return "The memory was not enough for this study. Take fewer frames or raise the pruning threshold."


def staged(steps: Generator[tuple[int, int], None, Patches]) -> Generator[Event, None, Patches]:
    """Progress of reading as stages; its result is returned."""
    try:
        while True:
            done, total = next(steps)
            yield Stage("reading", done, total)
    except StopIteration as finished:
        result: Patches = finished.value
        return result
    finally:
        steps.close()
