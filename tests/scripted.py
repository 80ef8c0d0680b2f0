"""A test double with the interface of `Assistant`: a script instead of a model, real pruning, a set speed.

Only for tests and screenshots of the page; what it says is labelled as scripted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Unpack

import numpy as np

from omnivmed.errors import OmniVMedError
from omnivmed.generation import CounterfactualResult, GeneratedImage
from omnivmed.generation.abilities import Abilities
from omnivmed.generation.result import preview, stamp
from omnivmed.inference.assistant import Assistant, final
from omnivmed.inference.desk import Desk
from omnivmed.inference.drawing import Artist, Drawer
from omnivmed.inference.events import Answer, Done, Event, Failed, MaskReady, Stage, Text, Timings, Usage
from omnivmed.inference.options import AskOptions, AskSettings, with_settings
from omnivmed.limits import LOCAL, Limits
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
    knows = None  # every question reaches the script

    def __init__(
        self,
        tokens_per_second: float = 200.0,
        script: Script = default_script,
        fail: Exception | None = None,
        artist: Artist | None = None,
    ) -> None:
        self.tokens_per_second = tokens_per_second
        self.script = script
        self.fail = fail
        self.artist = artist
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
        self._seen.discard(study.content_id)
        for key in [key for key in list(self._patches) if key[0] == study.digest]:
            self._patches.pop(key, None)
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
        key = (study.digest, options.max_frames, options.span_s)
        patches = self._patches.get(key)
        if patches is None:
            patches = self._patches[key] = prepare(
                study, self.budget, max_frames=options.max_frames, span_s=options.span_s
            )
        mask = keep_mask(patches, options.threshold, options.reference)
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


class ScriptedDrawer:
    """A `Drawer` without a model: smooth noise by the seed, clearer with every step; stamped like everybody's."""

    model_id = "scripted-draw"

    def __init__(self, step_s: float = 0.0, side: int = 32) -> None:
        self.step_s = step_s
        self.side = side
        self.steps = 0
        self.drawn: list[dict[str, Any]] = []

    def generate_image(self, prompt: str, image: Any = None, **settings: Any) -> GeneratedImage:
        callback, seed, total = (
            settings.pop("callback", None),
            settings.pop("seed", None),
            settings.pop("steps", 8),
        )
        seed = 4711 if seed is None else seed
        settings = {"steps": total, **settings}
        self.drawn.append({"prompt": prompt, "seed": seed, **settings})
        rng = np.random.default_rng(seed)
        rough = rng.integers(0, 256, (4, 4), dtype=np.uint8)
        smooth = np.kron(rough, np.ones((self.side // 4, self.side // 4), np.uint8))
        edited = image is not None
        for step in range(1, total + 1):
            time.sleep(self.step_s)
            self.steps += 1
            noise = rng.integers(0, 256, smooth.shape)
            now = (smooth * step + noise * (total - step)) // total
            pixels = np.repeat(now.astype(np.uint8)[..., None], 3, axis=2)
            if callback is not None:
                callback(step, total, lambda pixels=pixels: preview(pixels, self.model_id, edited=edited))
        return stamp(pixels, prompt=prompt, seed=seed, model_id=self.model_id, params=settings, edited=edited)

    def counterfactual(self, image: Any, instruction: str, **settings: Any) -> CounterfactualResult:
        made = self.generate_image(instruction, image, **settings)
        before = np.full((self.side, self.side, 3), 90, np.uint8)
        change = np.zeros((self.side, self.side), np.float32)
        change[4:10, 5:12] = 0.5
        no_change = "nothing" in instruction
        words = (
            "[scripted] Nothing was changed." if no_change else f"[scripted] Changed as told: {instruction}."
        )
        return CounterfactualResult(made, before, change * (not no_change), words, no_change)


ABILITIES = Abilities(
    tasks=("text_to_image", "counterfactual"),
    prompts=("axial CT of the abdomen", "PA X-ray of the chest"),
    instructions={"counterfactual": ("add an opacity in the left lower zone", "remove the opacity")},
    trust="[scripted] It draws noise.",
    steps=8,
)


def scripted_artist(
    drawer: Drawer | None = None,
    abilities: Abilities = ABILITIES,
    limits: Limits = LOCAL,
    load: Callable[[], Drawer] | None = None,
) -> Artist:
    """An `Artist` at a desk of its own; `load` instead of a drawer that is there at once."""
    desk = Desk(limits.queue_size, lambda error: isinstance(error, MemoryError), lambda: None)
    given = load or (lambda: drawer or ScriptedDrawer())
    return Artist(desk, given, abilities, ScriptedDrawer.model_id, limits)


def as_assistant(scripted: ScriptedAssistant) -> Assistant:
    """Only type-checked: the script is an `Assistant` without being derived from anything."""
    return scripted
