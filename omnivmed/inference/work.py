"""One question on its way through the engine: what was asked, what the model holds, what it cost."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from omnivmed.errors import QuestionError
from omnivmed.inference.desk import Job
from omnivmed.inference.events import Event, Stage, StopReason, Usage
from omnivmed.inference.options import AskOptions, checked
from omnivmed.inference.store import Key
from omnivmed.limits import Limits
from omnivmed.model.prompts import Turn
from omnivmed.progress import Progress
from omnivmed.spoken.reply import Source
from omnivmed.vision import Patches, VisionBudget, prepare, prepare_place

if TYPE_CHECKING:
    from omnivmed.inference.runtime import Conversation
    from omnivmed.study import Study

#: Characters of an earlier answer taken over from a client, per output token allowed.
CHARS_PER_TOKEN = 8
#: Seconds between two frames taken above which a person is told.
SPARSE_S = 5.0


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
        asked = self.options
        where = (asked.place, asked.neighbours, asked.span_s)
        return (self.study.content_id, self.study.digest, asked.max_frames, *where)

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
    if options.span_s is not None:
        options = replace(options, span_s=_stretch(study, options.span_s, place))
    answer_chars = limits.max_new_tokens * CHARS_PER_TOKEN
    turns = list(history)[-limits.max_history_turns :] if limits.max_history_turns > 0 else []
    return Request(
        study=study,
        question=question,
        history=tuple((str(q)[: limits.max_question_chars], str(a)[:answer_chars]) for q, a in turns),
        options=checked(options, limits),
    )


def _stretch(study: Study, span_s: tuple[float, float], place: int | None) -> tuple[float, float]:
    """The stretch within the clip, seconds. Raises QuestionError where there is none."""
    if place is not None:
        raise QuestionError("Unsupported", "Ask about one frame or about a stretch, not both at once.")
    if study.kind != "video" or study.times_s is None:
        raise QuestionError("Unsupported", "Only a clip has a stretch in seconds; this study is none.")
    begin, end = (float(s) for s in span_s)
    last = float(study.times_s[-1])
    if math.isnan(begin) or math.isnan(end) or begin >= end:
        raise QuestionError("Unsupported", f"A stretch begins before it ends; got {begin:g} s to {end:g} s.")
    if begin > last or end < 0:
        raise QuestionError(
            "Unsupported", f"The clip lasts {last:.1f} s; nothing of it lies from {begin:g} s to {end:g} s."
        )
    return max(begin, 0.0), min(end, last)


class Taking:
    """Reads the study and knows how many seconds that took."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self.seconds = 0.0

    def __call__(self, indices: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """uint8 (n, H, W, 3) of these slices or frames, at this (height, width) if one is given."""
        since = time.perf_counter()
        try:
            return self._study.take(indices) if size is None else self._study.take_resized(indices, size)
        finally:
            self.seconds += time.perf_counter() - since


def cut_for(request: Request, budget: VisionBudget, progress: Progress, take: Taking) -> Patches:
    """What the model is given of the study for this question. Raises StudyError."""
    study, options = request.study, request.options
    if options.place is not None and options.neighbours and study.shape[0] > 1:
        first, last = options.place - options.neighbours, options.place + options.neighbours
        index = np.arange(max(0, first), min(study.shape[0] - 1, last) + 1)
        return prepare(study, budget, frame_index=index, progress=progress, take=take)
    if options.place is not None and study.kind != "image":
        return prepare_place(study, options.place, budget, take=take)
    return prepare(
        study, budget, max_frames=options.max_frames, span_s=options.span_s, progress=progress, take=take
    )


def sparse_note(patches: Patches) -> str | None:
    """A sentence where so much time lies between two frames taken that things may happen unseen."""
    if patches.times_s is None or len(patches.times_s) < 2:
        return None
    widest = float(np.diff(patches.times_s).max())
    if widest <= SPARSE_S:
        return None
    return f"Up to {widest:.3g} s lie between two frames that were looked at; what happens in between was not seen."


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
    doubt: float | None = None


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
