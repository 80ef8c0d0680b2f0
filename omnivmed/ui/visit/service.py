"""What all visitors share: the model, loaded in the background, and the sample studies, opened once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel

from omnivmed.errors import Cancelled, ModelError
from omnivmed.inference.cards import Card, card_of
from omnivmed.progress import Progress
from omnivmed.spoken.reply import Knows
from omnivmed.ui import texts
from omnivmed.ui.visit.background import Step
from omnivmed.ui.visit.samples import find_sample
from omnivmed.ui.visit.settings import AppSettings

if TYPE_CHECKING:
    from omnivmed.inference import Answer, Assistant
    from omnivmed.study import Study
    from omnivmed.vision import VisionBudget

log = logging.getLogger("omnivmed.ui")
State = Literal["waiting", "loading", "ready", "failed"]
LEAST_READ = 64  # prompt tokens, as many as the first measurement reads
T = TypeVar("T")
Loader = Callable[..., "Assistant"]
Meter = Callable[["Assistant"], float | None]


class ModelFacts(BaseModel, frozen=True, extra="forbid"):
    """What the viewer needs to know of the model; the typed message behind the card that a person reads."""

    name: str
    state: State
    seconds_per_token: float | None  # measured prefill seconds for each token of a prompt


class OnlyOnce:
    """How long the first start spends on what no later one does: fetching the language model and converting it."""

    STAGES = ("downloading", "converting")

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last: tuple[str, float] | None = None

    def note(self, stage: str, now: float) -> None:
        """A stage has got on; the time since the last call belongs to the stage of that call."""
        if self._last is not None and self._last[0] in self.STAGES:
            self.seconds[self._last[0]] = self.seconds.get(self._last[0], 0.0) + now - self._last[1]
        self._last = (stage, now)

    def told(self, whole: float) -> str:
        """For the log's line: of `whole` seconds, how many were for once; empty at a later start."""
        if not self.seconds:
            return ""
        parts = "".join(f" {stage}={seconds:.1f}" for stage, seconds in self.seconds.items())
        return f" first_start=yes{parts} later_starts={whole - sum(self.seconds.values()):.1f}"


class ModelService:
    """The model and its state. `start` returns at once; the page works meanwhile."""

    def __init__(
        self, settings: AppSettings, loader: Loader | None = None, meter: Meter | None = None
    ) -> None:
        """loader, meter: in place of `load_model` and `Assistant.seconds_per_token`."""
        self._settings = settings
        self._loader = loader
        self._meter = meter or _seconds_per_token
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._state: State = "waiting"
        self.assistant: Assistant | None = None
        self.error: ModelError | None = None
        self.step: Step | None = None
        self.seconds: float | None = None  # time to load
        self.once = OnlyOnce()
        # To read one prompt token, for the viewer's cost estimate: measured once at the start, then from each answer.
        self.seconds_per_token: float | None = None
        self._settled = threading.Event()

    @property
    def state(self) -> State:
        """Where loading is."""
        return self._state

    @property
    def settled(self) -> bool:
        """Nothing more will be known of the model until somebody asks."""
        return self._settled.is_set()

    @property
    def name(self) -> str:
        """A name for the page; of a folder only its last part (a path is nobody's business)."""
        if self.assistant is not None:
            return self.assistant.name
        return Path(self._settings.model).name

    @property
    def facts(self) -> ModelFacts:
        """Name, state and measured speed, as the viewer takes them."""
        return ModelFacts(name=self.name, state=self.state, seconds_per_token=self.seconds_per_token)

    @property
    def follows_conversations(self) -> bool:
        """Whether earlier turns help this model, as far as its card says."""
        return self._card.follows if self.assistant is None else self.assistant.follows

    @property
    def budget(self) -> VisionBudget:
        """How the model in use (or about to be) cuts a study into tokens."""
        return self._card.budget if self.assistant is None else self.assistant.budget

    @property
    def knows(self) -> Knows:
        """What the model in use (or about to be) may be asked, as the replies read it."""
        own = self.assistant.knows if self.assistant is not None else None
        return own or self._card.knows

    @cached_property
    def _card(self) -> Card:
        return card_of(self._settings.model)

    def start(self) -> None:
        """Begin loading in a thread, once."""
        with self._lock:
            if self._state != "waiting":
                return
            self._state = "loading"
        threading.Thread(target=self._load, name="omnivmed-model", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """True when loading has ended, well or badly."""
        return self._done.wait(seconds)

    def awaited(self, stop: threading.Event) -> Generator[Step, None, Assistant]:
        """Yield where loading is until the model is here. Raises Cancelled when stopped, ModelError without one."""
        while not self.wait(0.2):
            if stop.is_set():
                raise Cancelled
            yield self.step or Step(texts.MODEL_LOADING, 0, 0)
        if self.assistant is None:
            raise self.error or ModelError("WeightsMissing", texts.MODEL_MISSING)
        if stop.is_set():
            raise Cancelled
        return self.assistant

    def _load(self) -> None:
        began = time.monotonic()
        try:
            loader = self._loader or _load_model
            self.assistant = loader(
                self._settings.model,
                offline=self._settings.offline,
                progress=self._progress,
                limits=self._settings.limits,
            )
            self._state = "ready"
        except ModelError as error:
            self.error = error
            self._state = "failed"
        except Exception as error:
            log.exception("model load failed: %s", type(error).__name__)
            self.error = ModelError("Unsupported", texts.MODEL_UNLOADABLE)
            self._state = "failed"
        self.seconds = time.monotonic() - began
        self._done.set()
        code = self.error.code if self.error is not None else "ok"
        log.info(
            "model state=%s seconds=%.1f code=%s%s",
            self._state,
            self.seconds,
            code,
            self.once.told(self.seconds),
        )
        self._gauge()
        self._take_pen()

    def _take_pen(self) -> None:
        """Load the drawing weights now that the model is here and its speed is known, so that the first picture does
        not wait for them. What goes wrong is told to whoever draws."""
        from omnivmed.inference.making import artist_of

        artist = artist_of(self.assistant)
        if artist is None:
            return
        try:
            artist.prepare()
        except Exception as error:
            log.warning("drawing weights not loaded code=%s", type(error).__name__)

    def _gauge(self) -> None:
        """How long reading a token takes, measured with a short prompt unless somebody has asked already."""
        try:
            if self.assistant is not None and self._state == "ready":
                seconds = self._meter(self.assistant)
                if self.seconds_per_token is None:
                    self.seconds_per_token = seconds
        except Exception as error:
            log.warning("speed not measured code=%s", type(error).__name__)
        finally:
            self._settled.set()

    def _progress(self, stage: str, done: int, total: int) -> None:
        self.step = Step(stage, done, total)
        self.once.note(stage, time.monotonic())

    def learn_cost(self, answer: Answer) -> None:
        """Note how long a prompt token takes to read, when this answer had to read a real prompt: of the few tokens
        of a next question each takes several times as long."""
        read = answer.usage.prompt_tokens - answer.usage.cached_tokens
        if answer.timings_s.prefill > 0 and read >= LEAST_READ:
            self.seconds_per_token = answer.timings_s.prefill / read

    def forget(self, study: Study) -> None:
        """Drop what the model cached of this study."""
        if self.assistant is not None:
            self.assistant.forget(study)


def _load_model(*args: Any, **kwargs: Any) -> Assistant:
    from omnivmed.inference import load_model  # torch is imported here, off the page's way

    return load_model(*args, **kwargs)


def _seconds_per_token(assistant: Assistant) -> float | None:
    return assistant.seconds_per_token()


def _open_study(*args: Any, **kwargs: Any) -> Study:
    from omnivmed import open_study

    return open_study(*args, **kwargs)


@dataclass
class _Place:
    lock: threading.Lock
    study: Study | None = None


class SampleShelf:
    """The samples, each opened once per process and shared by every session."""

    def __init__(self, settings: AppSettings, opener: Callable[..., Study] | None = None) -> None:
        self._limits = settings.limits
        self._opener = opener
        self._places: dict[str, _Place] = {}
        self._lock = threading.Lock()
        self._views: dict[Any, Any] = {}
        self._making: dict[Any, threading.Lock] = {}

    def open(self, key: str, progress: Progress | None = None) -> Study:
        """The study of this sample; raises KeyError for an unknown key, StudyError when it cannot be read."""
        sample = find_sample(key)
        with self._lock:
            place = self._places.setdefault(key, _Place(threading.Lock()))
        with place.lock:
            if place.study is None:
                opener = self._opener or _open_study
                place.study = opener(sample.path, limits=self._limits, progress=progress)
            return place.study

    def view(self, key: Any, make: Callable[[], T], sound: Callable[[T], bool] = lambda _: True) -> T:
        """What `make` built for this key, made once: payloads of samples are the same for everybody.

        sound: whether what is kept can still be used (its files may have been cleaned away).
        """
        with self._lock:
            lock = self._making.setdefault(key, threading.Lock())
        with lock:
            if key in self._views and sound(self._views[key]):
                kept: T = self._views[key]
                return kept
            made = make()
            self._views[key] = made
            return made

    def close(self) -> None:
        """Close the studies; only at the end of the program."""
        for place in self._places.values():
            if place.study is not None:
                place.study.close()
