"""What reading the kept tokens costs: measured when the model is ready, not only after a first answer."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from omnivmed.errors import ModelError
from omnivmed.inference.events import Timings, Usage
from omnivmed.inference.turns import Ticket
from omnivmed.ui.visit.service import ModelService
from omnivmed.ui.visit.settings import AppSettings
from tests.inference.mock import MockRuntime, assistant
from tests.scripted import ScriptedAssistant, ScriptedDrawer, scripted_artist


def started(loader: Any, meter: Any = None) -> ModelService:
    service = ModelService(AppSettings(model="scripted"), loader, meter)
    service.start()
    assert service.wait(10)
    assert service._settled.wait(10)
    return service


def test_the_cost_is_known_with_the_model() -> None:
    service = started(lambda *_, **__: ScriptedAssistant(), lambda _: 0.25)
    assert service.seconds_per_token == 0.25
    assert service.facts.model_dump() == {"name": "scripted", "state": "ready", "seconds_per_token": 0.25}


def test_the_model_is_ready_before_it_is_measured() -> None:
    """A first question does not wait for the measurement, and what an answer took counts for more."""
    go = threading.Event()
    service = ModelService(AppSettings(), lambda *_, **__: ScriptedAssistant(), lambda _: float(go.wait(10)))
    service.start()
    assert service.wait(10)
    assert service.state == "ready"
    assert not service.settled
    service.seconds_per_token = 0.5  # as `learn_cost` does
    go.set()
    assert service._settled.wait(10)
    assert service.seconds_per_token == 0.5


def test_without_a_model_there_is_no_cost() -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ModelError("WeightsMissing", "There are no weights.")

    service = started(fails, lambda _: pytest.fail("nothing to measure"))
    assert service.seconds_per_token is None
    assert service.facts.state == "failed"
    assert service.facts.seconds_per_token is None


def test_a_measurement_that_fails_harms_nothing() -> None:
    def fails(_: Any) -> float:
        raise RuntimeError

    service = started(lambda *_, **__: ScriptedAssistant(), fails)
    assert (service.state, service.seconds_per_token) == ("ready", None)


def test_measured_with_a_short_prompt_and_only_while_nobody_is_served() -> None:
    model = assistant(MockRuntime())
    seconds = model.seconds_per_token()
    assert seconds is not None
    assert 0 < seconds < 1
    assert model.waiting == 0
    assert model.desk.turns.join(Ticket())
    assert model.seconds_per_token() is None
    assert model.waiting == 1


def test_a_short_next_question_does_not_spoil_the_estimate() -> None:
    from types import SimpleNamespace

    service = ModelService(AppSettings(model="scripted"))
    whole = SimpleNamespace(usage=Usage(prompt_tokens=200), timings_s=Timings(prefill=0.2))
    after = SimpleNamespace(usage=Usage(prompt_tokens=220, cached_tokens=200), timings_s=Timings(prefill=0.1))
    for answer in (whole, after):
        service.learn_cost(answer)  # type: ignore[arg-type]
    assert service.seconds_per_token == 0.001


def test_the_drawing_weights_come_after_the_model_and_do_not_hold_it_up() -> None:
    """The first picture does not wait for them, nor does the first question."""
    go, drawing = threading.Event(), ScriptedAssistant()

    def load() -> ScriptedDrawer:
        assert go.wait(10)
        return ScriptedDrawer()

    drawing.artist = scripted_artist(load=load)
    service = started(lambda *_, **__: drawing, lambda _: 0.25)
    assert service.state == "ready"
    assert not drawing.artist.loaded
    go.set()
    for _ in range(200):
        if drawing.artist.loaded:
            break
        time.sleep(0.05)
    assert drawing.artist.loaded


def test_drawing_weights_that_cannot_be_loaded_harm_nothing() -> None:
    tried = threading.Event()

    def load() -> ScriptedDrawer:
        tried.set()
        raise ModelError("ChecksumMismatch", "A file is damaged.")

    drawing = ScriptedAssistant()
    drawing.artist = scripted_artist(load=load)
    service = started(lambda *_, **__: drawing, lambda _: 0.25)
    assert tried.wait(10)
    assert service.state == "ready"
    assert not drawing.artist.loaded
