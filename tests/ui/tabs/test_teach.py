"""The teaching page by its real builder: what it draws, says hides for volumes, clips, stills and own files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from omnivmed.errors import ModelError
from omnivmed.pruning import prune
from omnivmed.ui.app import make_context
from omnivmed.ui.page import figures
from omnivmed.ui.tabs import teach
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.lesson import make_lesson, neighbours, ordinal
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.vision.budget import NANO_BUDGET
from tests import phantoms
from tests.io.makers import grid, nifti_bytes, put
from tests.scripted import ScriptedAssistant

REQUEST: Any = SimpleNamespace(session_hash="page", query_params={})


@pytest.fixture
def assistant() -> ScriptedAssistant:
    """Says more words when it is shown more tokens."""
    return ScriptedAssistant(
        tokens_per_second=2000, script=lambda study, question: "A head in the axial plane."
    )


@pytest.fixture
def page(tmp_path: Path, assistant: ScriptedAssistant) -> Iterator[teach.Teach]:
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    with (tmp_path / "alive").open("w") as alive:
        root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", alive)
        context = make_context(AppSettings(model="nano"), root, lambda *_, **__: assistant)
        context.service.start()
        assert context.service.wait(20)
        with gr.Blocks():
            built = teach.build(context)
        yield teach.Teach(context, built)
        context.store.close()
        context.shelf.close()


def opened(
    page: teach.Teach, key: str, look: str = "model", place: int = 8, threshold: float = 0.1
) -> dict[Any, Any]:
    """All updates of a choice, the later over the earlier."""
    told: dict[Any, Any] = {}
    for update in page.open_sample(REQUEST, key, look, place, threshold, "previous"):
        told |= update
    return told


def test_every_step_is_drawn_and_the_count_is_the_one_of_library_and_shell(page: teach.Teach) -> None:
    told = opened(page, "mr_head")
    steps = page.page.steps
    assert all(told[step] for step in steps)
    mask = prune(page.context.shelf.open("mr_head"))
    assert f"{mask.kept:,} of {mask.total:,}" in told[steps[4]]
    assert "(budget: nano)" in told[steps[4]]
    assert told[steps[1]].count("<text") == mask.keep[8].size
    assert all(
        update["visible"] for column in page.page.columns[1:] for update in [told[column].get_config()]
    )


def test_which_slices_are_taken_is_said_and_neighbours_are_neighbours(page: teach.Teach) -> None:
    told = opened(page, "ct_abdomen")
    index = prune(page.context.shelf.open("ct_abdomen")).frame_index
    assert "given about every 4th slice: 32 of 112, 10.7 mm apart" in told[page.page.status]
    assert f"slice {index[7] + 1}<" in told[page.page.steps[0]]
    assert f"slice {index[8] + 1}<" in told[page.page.steps[0]]
    turned = page.turn(REQUEST, "neighbours", 8, 0.1, "previous")
    assert "24 of 112 slices, one beside the other, from the middle, 3.0 mm apart" in turned[page.page.status]
    assert "slice 52<" in turned[page.page.steps[0]]
    assert "slice 53<" in turned[page.page.steps[0]]
    assert turned[page.page.place].maximum == 23
    assert "(budget: nano)" not in turned[page.page.steps[4]], (
        "another grid has another name beside its count"
    )


def test_a_clip_says_seconds(page: teach.Teach) -> None:
    told = opened(page, "echo_cine")
    assert " s apart" in told[page.page.status]
    assert ">frame at 3.97 s<" in told[page.page.steps[0]]


def test_of_a_still_only_the_first_step_is_left(page: teach.Teach) -> None:
    told = opened(page, "chest_xray")
    assert "single picture" in told[page.page.steps[0]]
    hidden = [page.page.place, page.page.look, page.page.ask, page.page.question, *page.page.columns[1:]]
    assert [told[one].visible for one in hidden] == [False] * len(hidden)
    again = opened(page, "mr_head")
    assert [again[one].visible for one in hidden] == [True] * len(hidden)


def test_another_threshold_draws_all_again(page: teach.Teach) -> None:
    last = opened(page, "mr_head")
    more = page.draw(REQUEST, "model", 8, 0.5, "previous")
    assert more[page.page.steps[4]] != last[page.page.steps[4]]
    assert more[page.page.chart].value["plot"] != last[page.page.chart].value["plot"]


def test_the_address_can_name_the_study(page: teach.Teach) -> None:
    def named(study: str) -> Any:
        asked: Any = SimpleNamespace(session_hash="page", query_params={"study": study})
        told: dict[Any, Any] = {}
        for update in page.open_first(asked, "mr_head", "model", 8, 0.1, "previous"):
            told |= update
        return told.get(page.page.study)

    assert named("ct_abdomen") == "ct_abdomen"
    assert named("../etc/passwd") is None


def test_the_model_answers_at_every_step_under_the_mask_that_is_named(
    page: teach.Teach, assistant: ScriptedAssistant
) -> None:
    opened(page, "mr_head")
    told: dict[Any, Any] = {}
    page.begin(REQUEST)
    for update in page.ask(REQUEST, "What is this?", 0.2, "previous"):
        told |= update
    said = [told[box] for box in page.page.said]
    assert [round(mask.threshold, 3) for mask in assistant.masks] == [0.0, 0.1, 0.2, 0.2, 2.0]
    assert [mask.reference for mask in assistant.masks] == ["previous"] * 3 + ["last_kept", "previous"]
    for text, mask in zip(said, assistant.masks, strict=True):
        assert f"{mask.kept:,} of {mask.total:,} tokens" in text
        assert "the same words as with threshold 0" in text
    assert "not safe" in said[4]
    assert opened(page, "ct_abdomen")[page.page.said[0]] == "", "answers about another study are gone"


def test_stopping_ends_the_row_of_answers(page: teach.Teach, assistant: ScriptedAssistant) -> None:
    opened(page, "mr_head")
    page.begin(REQUEST)
    running = page.ask(REQUEST, "What is this?", 0.2, "previous")
    next(running)
    page.stop(REQUEST)
    list(running)
    assert len(assistant.masks) <= 1


def test_changed_words_are_marked_and_nothing_is_read_as_html() -> None:
    assert (
        figures.marked("This is an axial CT.", "This is a <b> CT.") == "This is <mark>a &lt;b&gt;</mark> CT."
    )
    assert figures.marked("one two", "one two") == "one two"


def test_the_lesson_needs_no_model_and_takes_own_files(tmp_path: Path) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ModelError("WeightsMissing", "There are none.")

    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    with (tmp_path / "alive").open("w") as alive:
        root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", alive)
        context = make_context(AppSettings(model="none"), root, fails)
        context.service.start()
        assert context.service.wait(20)
        assert context.service.state == "failed"
        with gr.Blocks():
            page = teach.Teach(context, teach.build(context))
        assert all(opened(page, "mr_head")[step] for step in page.page.steps)
        received = root.served / ("0" * 64)
        received.mkdir()
        own = put(received, "own.nii", nifti_bytes(grid(32, 32, 8)))
        told: dict[Any, Any] = {}
        for update in page.open_files(REQUEST, [str(own)], "model", 3, 0.01, "previous"):
            told |= update
        assert all(told[step] for step in page.page.steps)
        assert told[page.page.study] is None, "a file of one's own is none of the samples"
        page.begin(REQUEST)
        answers = list(page.ask(REQUEST, "What is this?", 0.1, "previous"))
        assert "There are none." in answers[-1][page.page.said[4]]
        context.store.close()
        context.shelf.close()


def test_a_run_of_neighbours_has_no_gap() -> None:
    assert neighbours(5, 24).tolist() == [0, 1, 2, 3, 4]
    assert neighbours(112, 24).tolist() == list(range(44, 68))
    assert [ordinal(n) for n in (2, 3, 8, 11, 21, 112)] == ["2nd", "3rd", "8th", "11th", "21st", "112th"]


def test_figures_have_two_pixels_for_each_unit() -> None:
    view = make_lesson(OpenStudy(phantoms.ct_study(), "phantom"), NANO_BUDGET, "nano").view("neighbours")
    assert np.array_equal(np.diff(view.patches.frame_index), np.ones(len(view.frames) - 1))
    drawn = figures.grid_figure(view.frames[1], view.mask(0.1, "previous"), 1, "slice 2")
    uri, width, height = figures.picture_uri(view.frames[1], figures.SHARP * figures.EDGE)
    assert uri in drawn
    assert max(width, height) == 2 * figures.EDGE
    assert f'viewBox="0 0 {width // 2} {height // 2}"' in drawn
