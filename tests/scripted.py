"""A test double with the interface of `Assistant`: a script instead of a model, real pruning, a set speed.

Only for tests and screenshots of the page; what it says is labelled as scripted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Unpack

from omnivmed.errors import OmniVMedError
from omnivmed.inference.assistant import Assistant, final
from omnivmed.inference.events import Answer, Done, Event, Failed, MaskReady, Stage, Text, Timings, Usage
from omnivmed.inference.options import AskOptions, AskSettings, with_settings
from omnivmed.pruning import keep_mask
from omnivmed.records import Turn
from omnivmed.study import Study
from omnivmed.vision import NANO_BUDGET, prepare

Script = Callable[[Study, str], str]


def default_script(study: Study, question: str) -> str:
    """Says what it was asked and about what, so that a mix-up between visitors shows."""
    return f"[scripted] You asked: {question} It is a {study.kind} of {study.shape[0]} frame(s); see slice 2."


class ScriptedAssistant:
    """Answers `script(study, question)` word by word."""

    name = "scripted"
    description = "a script for tests, not a model"
    trust = "It looks at nothing; it may be trusted with nothing."
    budget = NANO_BUDGET
    follows = True

    def __init__(
        self,
        tokens_per_second: float = 200.0,
        script: Script = default_script,
        fail: Exception | None = None,
    ) -> None:
        self.tokens_per_second = tokens_per_second
        self.script = script
        self.fail = fail
        self.answers: dict[str, list[str]] = {}
        self.questions = {"image": ["What is this?", "Which organ is shown?"]}
        self.steps = 0
        self.asked: list[tuple[str, int]] = []  # (question, turns of history)
        self.running = 0
        self.forgotten: list[str] = []
        self.masks: list[Any] = []
        self.studies: list[Study] = []
        self._seen: set[str] = set()
        self._patches: dict[Any, Any] = {}
        self._one = threading.Lock()

    def forget(self, study: Study) -> int:
        self.forgotten.append(study.content_id)
        return 0

    @property
    def kept_bytes(self) -> int:
        return sum(patches.patches.nbytes for patches in self._patches.values())

    def seconds_per_token(self) -> float | None:
        return None

    def answer(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn] = (),
        options: AskOptions | None = None,
        **settings: Unpack[AskSettings],
    ) -> Answer:
        return final(self.stream(study, question, history, options, **settings))

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
        self.studies.append(study)
        try:
            yield from self._run(study, question, history, with_settings(options, settings), cancel)
        except OmniVMedError as error:
            yield Failed(error)

    def _run(
        self,
        study: Study,
        question: str,
        history: Sequence[Turn],
        options: AskOptions,
        cancel: threading.Event | None,
    ) -> Iterator[Event]:
        self.asked.append((question, len(history)))
        cancel = cancel or threading.Event()
        began = time.monotonic()
        yield Stage("reading", 0, 1)
        key = (study.digest, options.max_frames)
        if key not in self._patches:
            self._patches[key] = prepare(study, self.budget, max_frames=options.max_frames)
        mask = keep_mask(self._patches[key], options.threshold, options.reference)
        self.masks.append(mask)
        yield MaskReady(mask)
        with self._one:
            self.running += 1
            try:
                if self.fail is not None:
                    raise self.fail
                frames = 0 if study.content_id in self._seen else len(mask.frame_index)
                for k in range(frames):
                    yield Stage("encoding", k + 1, frames)
                self._seen.add(study.content_id)
                first = time.monotonic() - began
                words, said, stopped = self.script(study, question).split(" "), [], "end"
                for k, word in enumerate(words):
                    if k >= options.max_new_tokens:
                        stopped = "length"
                        break
                    if cancel.is_set():
                        stopped = "cancelled"
                        break
                    time.sleep(1 / self.tokens_per_second)
                    self.steps += 1
                    said.append(word)
                    yield Text(word if k == 0 else " " + word)
                total = time.monotonic() - began
                answer = Answer(
                    text=" ".join(said),
                    usage=Usage(
                        visual_tokens_before=mask.total,
                        visual_tokens_after=mask.kept,
                        prompt_tokens=mask.kept + 12,
                        output_tokens=len(said),
                        encoder_frames=frames,
                    ),
                    timings_s=Timings(prune=0.01, first_token=first, decode=total - first, total=total),
                    mask=mask,
                    model=self.name,
                    threshold=options.threshold,
                    reference=options.reference,
                    window=study.window,
                    stopped=stopped,  # type: ignore[arg-type]
                )
                yield Done(answer, answer.stopped)
            finally:
                self.running -= 1


def as_assistant(scripted: ScriptedAssistant) -> Assistant:
    """Only type-checked: the script is an `Assistant` without being derived from anything."""
    return scripted
