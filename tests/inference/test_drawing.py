"""Drawing takes its turn at the desk like an answer: previews on the way, one at a time, stopped within a step."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from omnivmed import provenance
from omnivmed.errors import ModelError, QuestionError
from omnivmed.generation.abilities import Abilities, abilities_of
from omnivmed.inference.drawing import DrawOptions
from omnivmed.inference.events import Failed, Stage, Text
from omnivmed.inference.making import artist_of, slice_of
from omnivmed.inference.reply import Picture, Preview, Replied, whole
from omnivmed.limits import LOCAL, PUBLIC
from tests import phantoms
from tests.inference.mock import assistant
from tests.scripted import ScriptedAssistant, ScriptedDrawer, scripted_artist

PROMPT = "axial CT of the abdomen"


def test_stages_previews_the_picture_and_the_end() -> None:
    drawer = ScriptedDrawer(step_s=0.05)
    events = list(scripted_artist(drawer).stream(PROMPT, options=DrawOptions(seed=3)))
    stages = [event for event in events if isinstance(event, Stage)]
    assert [s.name for s in stages[:2]] == ["loading the pen", "reading the prompt"]
    assert [(s.done, s.total) for s in stages if s.name == "drawing a picture"] == [
        (k, 8) for k in range(1, 9)
    ]
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews[0].done == 1  # at once
    assert len(previews) < 8  # not at every step
    assert all(provenance.recognise(p.jpeg) == provenance.Origin() for p in previews)
    picture, last = events[-2:]
    assert isinstance(picture, Picture)
    assert isinstance(last, Replied)
    assert last.reply.pictures == (picture,)
    assert (picture.image.prompt, picture.image.seed) == (PROMPT, 3)


def test_a_seed_is_named_and_draws_the_same_again() -> None:
    artist = scripted_artist()
    one = whole(artist.stream(PROMPT)).pictures[0].image
    again = whole(artist.stream(PROMPT, options=DrawOptions(seed=one.seed))).pictures[0].image
    other = whole(artist.stream(PROMPT, options=DrawOptions(seed=one.seed + 1))).pictures[0].image
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)


def test_an_edit_comes_with_its_explanation() -> None:
    given = np.full((40, 40, 3), 90, np.uint8)
    words = "add an opacity in the left lower zone"
    events = list(scripted_artist().stream(words, given, task="counterfactual"))
    kinds = [type(event) for event in events]
    assert kinds[-3:] == [Picture, Text, Replied]
    reply = whole(events)
    change = reply.pictures[0].change
    assert change is not None
    assert reply.text == change.explanation
    assert change.image.origin.edited


@pytest.mark.parametrize(
    ("prompt", "image", "task", "code"),
    [
        ("  ", None, "text_to_image", "NoQuestion"),
        ("x" * (LOCAL.max_prompt_chars + 1), None, "text_to_image", "TooLong"),
        (PROMPT, None, "counterfactual", "Unsupported"),
        (PROMPT, np.zeros((8, 8, 3), np.uint8), "text_to_image", "Unsupported"),
        (PROMPT, np.zeros((8, 8, 3), np.uint8), "translation", "Unsupported"),
    ],
)
def test_what_cannot_be_drawn_is_said(prompt: str, image: Any, task: Any, code: str) -> None:
    drawer = ScriptedDrawer()
    (event,) = list(scripted_artist(drawer).stream(prompt, image, task=task))
    assert isinstance(event, Failed)
    assert event.code == code
    assert drawer.steps == 0


def test_stopped_within_a_step_and_the_turn_is_free() -> None:
    drawer, stop = ScriptedDrawer(step_s=0.02), threading.Event()
    artist = scripted_artist(drawer)
    events = artist.stream(PROMPT, options=DrawOptions(steps=100), cancel=stop)
    while not isinstance(next(events), Preview):
        pass
    stop.set()
    rest = list(events)
    assert drawer.steps <= 6
    assert isinstance(rest[-1], Replied)
    assert rest[-1].reply.stopped == "cancelled"
    assert rest[-1].reply.pictures == ()
    assert len(artist.desk) == 0


def test_closing_the_iterator_ends_the_work() -> None:
    drawer = ScriptedDrawer(step_s=0.02)
    artist = scripted_artist(drawer)
    events = artist.stream(PROMPT, options=DrawOptions(steps=100))
    while not isinstance(next(events), Preview):
        pass
    events.close()
    done = drawer.steps
    time.sleep(0.1)
    assert drawer.steps <= done + 1
    assert len(artist.desk) == 0


def test_two_people_draw_one_after_the_other() -> None:
    drawer = ScriptedDrawer(step_s=0.01)
    artist = scripted_artist(drawer)
    first = artist.stream(PROMPT)
    next(first)  # holds the turn
    told: list[Any] = []
    other = threading.Thread(target=lambda: told.extend(artist.stream("PA X-ray of the chest")))
    other.start()
    end = time.monotonic() + 5
    while not told and time.monotonic() < end:
        time.sleep(0.01)
    assert told[0] == Stage("waiting", 1, 1)
    assert [made["prompt"] for made in drawer.drawn] == []
    list(first)
    other.join(10)
    assert [made["prompt"] for made in drawer.drawn] == [PROMPT, "PA X-ray of the chest"]


def test_out_of_memory_is_advice() -> None:
    class Poor(ScriptedDrawer):
        def generate_image(self, *_: Any, **__: Any) -> Any:
            raise MemoryError

    artist = scripted_artist(Poor())
    last = list(artist.stream(PROMPT))[-1]
    assert isinstance(last, Failed)
    assert last.code == "OutOfMemory"
    assert len(artist.desk) == 0


def test_what_a_client_sends_is_bounded() -> None:
    assert DrawOptions.bounded(PUBLIC, "1e9", -3, float("nan"), 2**80) == DrawOptions(
        PUBLIC.max_draw_steps, 1.0, None, 2**31 - 1
    )
    assert DrawOptions.bounded(LOCAL, None, "x", [], True) == DrawOptions()


def test_a_card_names_what_was_trained() -> None:
    card = {
        "tasks": ["counterfactual", "text_to_image"],
        "instructions": {"counterfactual": ["add it"]},
        "other": 1,
    }
    assert abilities_of(card) == Abilities(
        ("text_to_image", "counterfactual"), instructions={"counterfactual": ("add it",)}
    )
    assert abilities_of(card).edits == ("counterfactual",)
    for wrong in ({"tasks": ["fly"]}, {"tasks": ["translation"]}, {"tasks": "text_to_image"}, {"steps": 0}):
        with pytest.raises(ValueError, match=r"task|sentences|steps"):
            abilities_of(wrong)


def test_a_model_without_weights_says_so_and_writes() -> None:
    model = assistant()
    assert artist_of(model) is None
    assert artist_of(ScriptedAssistant(artist=scripted_artist())) is not None
    with pytest.raises(ModelError, match="cannot draw") as told:
        model.generate_image(PROMPT)
    assert told.value.code == "WeightsMissing"
    assert "FINDINGS" in "".join(model.write_report(phantoms.image_study()))


def test_python_gets_stamped_objects() -> None:
    model = assistant()
    model.artist = scripted_artist()
    made = model.generate_image(PROMPT, seed=9, steps=2)
    assert provenance.recognise(made.png) == made.origin
    change = model.counterfactual(phantoms.ct_study(), "remove the opacity", steps=2)
    assert change.image.origin.edited
    with pytest.raises(QuestionError):
        model.generate_image("")


def test_a_slice_is_shown_with_square_pixels() -> None:
    study = phantoms.ct_study()
    _, rows, columns = study.shape
    middle = slice_of(study)
    assert middle.shape == (round(rows * study.pixel_aspect), columns, 3)
    assert slice_of(study, 10**6).shape == middle.shape
