"""Drawing at the same desk as answering: one queue, one turn, one stop, whatever the turn is for.

`Drawer` is what is needed of a generation pipeline; this module knows neither torch nor the expert.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from omnivmed.background import told_by
from omnivmed.errors import Cancelled, ModelError, OmniVMedError, QuestionError
from omnivmed.generation.abilities import Abilities, Task
from omnivmed.inference.desk import Desk, Job
from omnivmed.inference.events import Failed, Stage, Text
from omnivmed.inference.reply import Picture, Preview, Replied, Reply, ReplyEvent
from omnivmed.limits import Limits

if TYPE_CHECKING:
    import numpy as np

    from omnivmed.generation import CounterfactualResult, GeneratedImage

MEMORY_ADVICE = "The memory was not enough to draw this. Close other studies or programs and try again."
LAST_STEP_S = 5.0  # a step of drawing is far shorter; the turn is not given on before it has ended
MOST_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class DrawOptions:
    """How a picture is drawn. steps: of the flow, 1 to `Limits.max_draw_steps`; None = as the card measured.

    cfg_text, cfg_image: guidance by the words and by the given picture, 1 (none) to 8. seed: None = a new one, which
    the result names.
    """

    steps: int | None = None
    cfg_text: float | None = None
    cfg_image: float | None = None
    seed: int | None = None

    @classmethod
    def bounded(
        cls, limits: Limits, steps: Any = None, cfg_text: Any = None, cfg_image: Any = None, seed: Any = None
    ) -> DrawOptions:
        """Whatever a client sent, made safe: numbers out of range go to the nearest end, nonsense to the default."""
        whole_steps = _number(steps, 1, limits.max_draw_steps)
        kept = _number(seed, 0, MOST_SEED)
        return cls(
            None if whole_steps is None else int(whole_steps),
            _number(cfg_text, 1.0, 8.0),
            _number(cfg_image, 1.0, 8.0),
            None if kept is None else int(kept),
        )

    def settings(self) -> dict[str, Any]:
        """Those that were given, by the names the pipeline takes."""
        told = {name: getattr(self, name) for name in ("steps", "cfg_text", "cfg_image", "seed")}
        return {name: value for name, value in told.items() if value is not None}


class Drawer(Protocol):
    """What drawing needs of a pipeline. `callback(step, total, preview)`, with `preview()` a stamped JPEG made only
    when it is asked for, is called after every step; what it raises ends the drawing."""

    @property
    def model_id(self) -> str:
        """Which model draws."""

    @property
    def generate_image(self) -> Callable[..., GeneratedImage]:
        """`(prompt, image=None, *, task, callback, …)`: a picture from words, or from words and a picture."""

    @property
    def counterfactual(self) -> Callable[..., CounterfactualResult]:
        """`(image, instruction, *, callback, …)`: the picture changed as told, with what is different."""


class Artist:
    """Draws for many, one at a time. `load` makes the drawer when somebody draws first; `abilities` are known before.

    desk: that of the model whose keys and values the expert reads, so that drawing and answering take turns.
    """

    def __init__(
        self, desk: Desk, load: Callable[[], Drawer], abilities: Abilities, model_id: str, limits: Limits
    ) -> None:
        self.desk = desk
        self.abilities = abilities
        self.model_id = model_id
        self.limits = limits
        self._load = load
        self._drawer: Drawer | None = None
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._drawer is not None

    def prepare(self) -> None:
        """Load the weights if nobody has; harmless when repeated. Raises ModelError."""
        with self._lock:
            if self._drawer is None:
                self._drawer = self._load()

    def stream(
        self,
        prompt: str,
        image: np.ndarray | None = None,
        options: DrawOptions = DrawOptions(),
        *,
        task: Task = "text_to_image",
        cancel: threading.Event | None = None,
    ) -> Generator[ReplyEvent, None, None]:
        """Draw from words, or change `image` (uint8 (H, W, 3)) as they say; see `omnivmed.inference.reply`.

        Closing the iterator, or setting `cancel`, ends the drawing within a step; the latter ends in a `Replied`
        without a picture. Every error that a person can do something about comes as a last `Failed` event.
        """
        job = Job() if cancel is None else Job(cancel)
        try:
            prompt = self._checked(prompt, image, task)
            with self.desk.served(job, MEMORY_ADVICE):
                yield from self.desk.hand_out(job, self._turn(prompt, image, options, task, job))
        except OmniVMedError as error:
            yield Failed(error)

    def _checked(self, prompt: str, image: Any, task: Task) -> str:
        prompt = str(prompt).strip()
        if not prompt:
            raise QuestionError(
                "NoQuestion", "There is nothing to draw yet: say in a few words what to draw."
            )
        if len(prompt) > self.limits.max_prompt_chars:
            raise QuestionError(
                "TooLong",
                f"The prompt has {len(prompt):,} characters; at most {self.limits.max_prompt_chars:,} are read. "
                "Please shorten it.",
            )
        if task not in self.abilities.tasks:
            can = ", ".join(name.replace("_", " ") for name in self.abilities.tasks) or "nothing"
            raise ModelError(
                "Unsupported",
                f"These weights were not trained for {task.replace('_', ' ')}. They can: {can}.",
            )
        if (image is None) != (task == "text_to_image"):
            raise QuestionError(
                "Unsupported",
                "A picture to change is missing: open one first."
                if image is None
                else "Drawing from words takes no picture; choose how the picture is to be changed.",
            )
        return prompt

    def _turn(
        self, prompt: str, image: Any, options: DrawOptions, task: Task, job: Job
    ) -> Generator[Any, None, None]:
        try:
            yield from self.desk.wait(job)
            if not self.loaded:
                yield Stage("loading the pen", 0, 1)
                self.prepare()
            job.check()
            yield Stage("reading the prompt", 0, 1)
            made = yield from self._drawn(prompt, image, options, task, job)
        except Cancelled:
            yield Replied(Reply("", (), self.model_id, job.since_start(), "cancelled"))
            return
        picture = made if isinstance(made, Picture) else Picture(made)
        yield picture
        text = picture.change.explanation if picture.change is not None else picture.image.text
        if text:
            yield Text(text)
        yield Replied(Reply(text, (picture,), self.model_id, job.since_start()))

    def _drawn(
        self, prompt: str, image: Any, options: DrawOptions, task: Task, job: Job
    ) -> Generator[ReplyEvent, None, Picture]:
        drawer = self._drawer
        assert drawer is not None
        if options.steps is None and self.abilities.steps > self.limits.max_draw_steps:
            options = replace(options, steps=self.limits.max_draw_steps)

        def work(tell: Callable[[ReplyEvent], None]) -> Picture:
            shown = -math.inf

            def step(done: int, total: int, preview: Callable[[], bytes]) -> None:
                nonlocal shown
                tell(Stage("drawing a picture", done, total))
                began = time.monotonic()
                # Decoding a preview costs about as much as a step: at most a quarter of the time goes there.
                if done < total and began >= shown:
                    jpeg = preview()
                    now = time.monotonic()
                    shown = now + max(PREVIEW_EVERY_S, 3 * (now - began))
                    tell(Preview(jpeg, done, total))

            settings = {**options.settings(), "callback": step}
            if task == "counterfactual":
                change = drawer.counterfactual(image, prompt, **settings)
                return Picture(change.image, change)
            return Picture(drawer.generate_image(prompt, image, task=task, **settings))

        return (yield from told_by(work, job.cancel, last_step_s=LAST_STEP_S, name="omnivmed-draw"))


PREVIEW_EVERY_S = 0.25


def _number(value: Any, least: float, most: float) -> float | None:
    """The number within its bounds; None for nothing and for nonsense."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(number, least), most) if math.isfinite(number) else None
