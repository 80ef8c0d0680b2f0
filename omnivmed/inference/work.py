"""One question on its way through the engine: what was asked, what the model holds, what it cost."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from omnivmed.defaults import Reference
from omnivmed.errors import ModelError
from omnivmed.inference.events import StopReason
from omnivmed.inference.prompts import Turn
from omnivmed.inference.store import Key
from omnivmed.limits import Limits

if TYPE_CHECKING:
    from omnivmed.inference.runtime import Conversation
    from omnivmed.study import Study

#: Characters of an earlier answer taken over from a client, per output token allowed.
CHARS_PER_TOKEN = 8


class Busy(Exception):
    """More people are waiting than the queue holds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} people are waiting already. Please try again in a moment.")


@dataclass(frozen=True)
class Request:
    """One question, already within the limits."""

    study: Study
    question: str
    history: tuple[Turn, ...]
    threshold: float
    reference: Reference
    max_new_tokens: int
    max_frames: int | None
    cancel: threading.Event

    @property
    def study_key(self) -> Key:
        return (self.study.content_id, self.study.digest, self.max_frames)

    @property
    def mask_key(self) -> Key:
        return (*self.study_key, "mask", self.threshold, self.reference)


def check_request(
    limits: Limits,
    study: Study,
    question: str,
    history: Sequence[Turn],
    threshold: float,
    reference: str,
    max_new_tokens: int,
    max_frames: int | None,
    cancel: threading.Event | None,
) -> Request:
    """The request within the limits, whatever a client sent.

    Too much history, too many frames or tokens are cut down; a question that is empty or too long, a threshold
    out of range or an unknown reference raise ModelError.
    """
    question = str(question).strip()
    if not question:
        raise ModelError("Unsupported", "There is no question yet: type one and ask again.")
    if len(question) > limits.max_question_chars:
        raise ModelError(
            "TooLong",
            f"The question has {len(question):,} characters; at most {limits.max_question_chars:,} are read. "
            "Please shorten it.",
        )
    if not (math.isfinite(threshold) and 0 <= threshold <= 2):
        raise ModelError(
            "Unsupported",
            f"The pruning threshold lies between 0 and 2 (pixels in [-1, 1]); got {threshold:g}.",
        )
    if reference not in get_args(Reference):
        raise ModelError(
            "Unsupported",
            f"The pruning reference is one of {', '.join(get_args(Reference))}; got {reference}.",
        )
    answer_chars = limits.max_new_tokens * CHARS_PER_TOKEN
    turns = list(history)[-limits.max_history_turns :] if limits.max_history_turns > 0 else []
    return Request(
        study=study,
        question=question,
        history=tuple((str(q)[: limits.max_question_chars], str(a)[:answer_chars]) for q, a in turns),
        threshold=float(threshold),
        reference=reference,  # type: ignore[arg-type]
        max_new_tokens=max(1, min(int(max_new_tokens), limits.max_new_tokens)),
        max_frames=None if max_frames is None else max(1, min(int(max_frames), limits.max_frames)),
        cancel=cancel or threading.Event(),
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
class Work:
    """What happens to one request on its way: counts, times, pieces of text."""

    started: float = field(default_factory=time.perf_counter)
    timings_s: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            ("wait", "read", "patches", "prune", "encode", "prefill", "first_token", "decode", "total"), 0.0
        )
    )
    usage: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "visual_tokens_before",
                "visual_tokens_after",
                "prompt_tokens",
                "output_tokens",
                "encoder_frames",
                "cached_tokens",
            ),
            0,
        )
    )
    text: str = ""
    notes: list[str] = field(default_factory=list)
    stopped: StopReason = "end"

    def since_start(self) -> float:
        return time.perf_counter() - self.started

    def add(self, name: str, begun: float) -> None:
        self.timings_s[name] += time.perf_counter() - begun


class TimedStudy:
    """A study that measures how long its frames took to come, apart from what is then done with them."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def take(self, indices: Any) -> np.ndarray:
        begun = time.perf_counter()
        try:
            return self._study.take(indices)
        finally:
            self.seconds += time.perf_counter() - begun
