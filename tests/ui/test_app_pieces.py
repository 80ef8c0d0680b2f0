"""Conversation, tab, exports, teaching figures: functions of a study and an answer, with a scripted assistant."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.inference import Done
from omnivmed.inference.options import AskOptions
from omnivmed.resources import assets_dir, samples_dir
from omnivmed.study import Study
from omnivmed.ui import texts
from omnivmed.ui.page import charts, figures, parts
from omnivmed.ui.page.export import conversation_markdown
from omnivmed.ui.tabs import saw
from omnivmed.ui.visit import chat
from omnivmed.ui.visit.clock import clip_time
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.lesson import make_lesson
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.samples import SAMPLES, thumbnail_uri
from omnivmed.ui.visit.service import ModelService, SampleShelf
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.sessions import SessionStore
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.studies import Context, facts_line, label_of
from omnivmed.ui.visit.uploads import Uploads
from omnivmed.vision.budget import NANO_BUDGET
from tests import phantoms
from tests.scripted import ScriptedAssistant


@pytest.fixture
def assistant() -> ScriptedAssistant:
    return ScriptedAssistant(tokens_per_second=5000)


@pytest.fixture
def context(tmp_path: Path, assistant: ScriptedAssistant) -> Iterator[Context]:
    settings = AppSettings(model="scripted")
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    alive = (tmp_path / "alive").open("w")
    root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", alive)
    service = ModelService(settings, lambda *_, **__: assistant)
    service.start()
    service.wait(10)
    store = SessionStore(root.sessions, root.served, settings.limits)
    yield Context(settings, root, store, service, SampleShelf(settings), Uploads(root.served))
    alive.close()


def opened_session(context: Context, study: Study) -> Session:
    session = context.store.get("page")
    session.show(OpenStudy(study, label_of(study)), session.begin_opening())
    session.stop.clear()
    return session


def run(context: Context, session: Session, question: str, **options: Any) -> list[chat.Progressing]:
    return list(chat.ask(context, session, question, AskOptions(**options)))


def test_what_an_answer_left_out_stands_below_it(assistant: ScriptedAssistant) -> None:
    *_, done = assistant.stream(phantoms.ct_study(), "What is shown?")
    assert isinstance(done, Done)
    answer = done.answer
    held = "Held back: the body part of a volume, which this model was measured to guess; see its card."
    assert held not in chat.answer_facts(answer)
    assert chat.answer_facts(dataclasses.replace(answer, notes=(held,))).endswith(held)


def test_the_mask_told_is_the_mask_of_the_answer(context: Context) -> None:
    session = opened_session(context, phantoms.ct_study())
    states = run(context, session, "Which organ?")
    told = next(state.mask for state in states if state.mask is not None)
    answer = states[-1].answer
    assert answer is not None
    assert told is answer.mask
    assert session.current is not None
    assert session.current.mask is answer.mask
    assert "You asked: Which organ?" in session.turns[0].text


def test_the_model_hears_the_conversation_so_far(context: Context, assistant: ScriptedAssistant) -> None:
    session = opened_session(context, phantoms.ct_study())
    for k in range(3):
        run(context, session, f"Question {k}?")
    assert [turns for _, turns in assistant.asked] == [0, 1, 2]


def test_stop_before_the_first_word_is_not_an_error(context: Context) -> None:
    session = opened_session(context, phantoms.ct_study())
    session.stop.set()
    states = run(context, session, "Which organ?")
    assert states[-1].stopped
    assert states[-1].error is None
    assert not session.answering.locked()


def test_refusals_have_a_sentence(context: Context) -> None:
    session = context.store.get("empty")
    with pytest.raises(chat.Refused, match="Choose a sample"):
        run(context, session, "Anything?")
    session = opened_session(context, phantoms.ct_study())
    with pytest.raises(chat.Refused, match="type a question"):
        run(context, session, "   ")
    with pytest.raises(chat.Refused, match="too long"):
        run(context, session, "x" * 10_000)


def test_a_model_that_did_not_load_says_so(context: Context, tmp_path: Path) -> None:
    from omnivmed.errors import ModelError

    def fails(*_: Any, **__: Any) -> Any:
        raise ModelError("WeightsMissing", "The weights are not here; start once with a network.")

    service = ModelService(context.settings, fails)
    broken = Context(context.settings, context.root, context.store, service, context.shelf, context.uploads)
    service.start()
    service.wait(10)
    session = opened_session(broken, phantoms.ct_study())
    assert (
        run(broken, session, "Which organ?")[-1].error
        == "The weights are not here; start once with a network."
    )
    assert "start once with a network" in parts.model_card(service)


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "![x](http://elsewhere.example/p.png)",
        "[click](javascript:alert(1))",
        "**bold** _it_ `code` # head",
        "<img src=http://elsewhere.example/x>",
    ],
)
def test_words_of_people_and_models_stay_words(
    context: Context, assistant: ScriptedAssistant, evil: str
) -> None:
    assistant.script = lambda *_: evil
    session = opened_session(context, phantoms.ct_study())
    run(context, session, evil)
    for message in chat.messages(session)[:2]:
        content = message["content"]
        assert "<script" not in content
        assert "<img" not in content
        assert not re.search(r"(?<!\\)\[", content)
        assert not re.search(r"(?<!\\)[*_`]", content)


def test_slices_and_times_become_links_only_where_they_exist() -> None:
    text = "See slice 3 and slice 300, at 2.5 s and at 99 s."
    assert chat.linked(text, 12, 5.0) == (
        "See [slice 3](#slice-3) and slice 300, [at 2.5 s](#time-2.5) and at 99 s."
    )
    assert "](#" not in chat.linked("See slice 1.", 1, None)


def test_the_tab_shows_the_runs_own_numbers(context: Context) -> None:
    session = opened_session(context, phantoms.clip_study())
    run(context, session, "What moves?", threshold=0.05)
    turn, opened = session.turns[0], session.current
    assert opened is not None
    assert turn.answer is not None
    mask = turn.answer.mask
    assert mask is not None
    html = saw.saw_html(opened, mask, turn.answer)
    assert f"Kept {mask.kept:,} of {mask.total:,}" in html
    assert html.count("<img") == len(mask.frame_index)
    assert "threshold 0.05" in html
    record = json.loads(saw.answer_json(opened, turn))
    assert record["answer"]["mask"]["kept"] == mask.kept
    assert record["answer"]["threshold"] == 0.05
    assert record["answer"]["not_for_clinical_use"] is True


def test_pruned_tokens_are_dark_and_kept_ones_are_not() -> None:
    import cv2

    from omnivmed.pruning import keep_mask
    from omnivmed.vision import NANO_BUDGET, prepare

    study = phantoms.clip_study()
    mask = keep_mask(prepare(study, NANO_BUDGET), 0.1)
    frame = np.full((84, 112, 3), 200, np.uint8)
    picture = cv2.imdecode(np.frombuffer(saw.small_picture(frame, mask, 3), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    rows, columns = mask.keep.shape[1:]
    for r in range(rows):
        for c in range(columns):
            y = int((r + 0.5) * picture.shape[0] / rows)
            x = int((c + 0.5) * picture.shape[1] / columns)
            assert (picture[y, x].mean() > 120) == bool(mask.keep[3, r, c])


def test_markdown_carries_model_threshold_window_version_and_no_name(context: Context) -> None:
    from omnivmed import __version__

    session = opened_session(context, phantoms.ct_study())
    run(context, session, "Which organ?")
    opened = session.current
    assert opened is not None
    text = conversation_markdown(opened, session.turns)
    for wanted in (
        "scripted",
        "threshold 0.1",
        "20 HU",
        "level 40, width 400",
        __version__,
        texts.NOT_CLINICAL,
    ):
        assert wanted in text
    assert "/" not in text.replace("40 / 400", "").replace("and/or", "")


def test_facts_line_is_made_of_technical_facts() -> None:
    line = facts_line(OpenStudy(phantoms.ct_study(), "CT volume"))
    assert "12 slices of 112 × 96" in line
    assert "window 40 / 400 HU" in line


def test_samples_are_those_of_the_sources_page() -> None:
    sources = (assets_dir() / "SOURCES.md").read_text()
    for sample in SAMPLES:
        digest = hashlib.sha256(sample.path.read_bytes()).hexdigest()
        assert f"`{sample.file}`" in sources
        assert digest in sources
        assert thumbnail_uri(sample.key).startswith("data:image/jpeg;base64,")


def test_dicom_samples_carry_no_identity() -> None:
    import pydicom

    for name in ("chest_xray.dcm", "echo_cine.dcm"):
        data = pydicom.dcmread(samples_dir() / name, stop_before_pixels=True)
        assert data.PatientIdentityRemoved == "YES"
        for tag in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber"):
            assert str(data.get(tag, "")) == ""
        assert not [e for e in data if e.tag.is_private]
        assert "InstitutionName" not in data


@pytest.mark.parametrize("make", [phantoms.ct_study, phantoms.clip_study])
def test_teaching_figures_follow_the_threshold(make: Any) -> None:
    lesson = make_lesson(OpenStudy(make(), "phantom"), NANO_BUDGET, "nano").view("neighbours")
    loose, strict = lesson.mask(0.01, "previous"), lesson.mask(0.5, "previous")
    assert loose.kept > strict.kept
    drawn = figures.grid_figure(lesson.frames[1], loose, 1, "slice 2", numbers=True)
    assert drawn.count("<text") == loose.keep[1].size
    coloured = figures.grid_figure(lesson.frames[1], loose, 1, "slice 2", colours=True)
    assert coloured.count(f'stroke="{figures.KEPT}"') == int(loose.kept_per_frame[1])
    assert coloured.count(f'fill="{figures.PRUNED}"') == int((~loose.keep[1]).sum())
    assert f"{loose.kept:,}" in figures.cost_figure(loose)
    figure = charts.charts(strict)
    assert [note.text for note in figure.layout.annotations if note.text.startswith("threshold")] == [
        "threshold 0.5"
    ]


def test_cache_bytes_of_the_published_models() -> None:
    # 28 layers, 2 (1.5B) or 4 (7B) key-value heads of 128, keys and values, 2 bytes each.
    assert figures.CACHE_BYTES == {"Qwen2.5-1.5B": 28_672, "Qwen2.5-7B": 57_344}


def test_side_by_side_starts_both_runs_from_nothing(context: Context, assistant: ScriptedAssistant) -> None:
    from types import SimpleNamespace

    from omnivmed.ui.tabs.compare import Compare, ComparePage, comparison, table_text

    session = opened_session(context, phantoms.clip_study())
    named = {name: name for name in ("question", "left", "right", "run", "stop", "status", "table", "text")}
    page = ComparePage(**named, panes=("left", "right"))
    request: Any = SimpleNamespace(session_hash="page")
    told = list(Compare(context, page).run(request, "What moves?", 0.0, 0.5, "previous", 0, 64))
    assert assistant.forgotten == [session.current.study.content_id] * 2  # type: ignore[union-attr]
    assert [turns for _, turns in assistant.asked] == [0, 0]
    assert session.turns == ()
    few, many = assistant.masks[1], assistant.masks[0]
    assert few.kept < many.kept
    assert f">{few.kept:,}<" in told[-1]["table"]
    assert f">{many.kept:,}<" in told[-1]["table"]
    left, right = run(context, session, "A?")[-1].answer, run(context, session, "B?")[-1].answer
    assert left is not None
    assert right is not None
    rows = comparison(left, right, [2_000_000, 1_000_000])
    assert ("memory kept for follow-ups", "2.0 MB", "1.0 MB") in rows
    assert table_text(rows).startswith("| | left | right |")


def test_the_page_says_what_each_kind_of_study_may_be_asked() -> None:
    shown = parts.may_be_asked({"image": ["kind of image (97 of 100)", "<b>"], "volume": []})
    assert texts.MAY_ASK in shown
    assert "Of a picture</dt><dd>kind of image (97 of 100); &lt;b&gt;</dd>" in shown
    assert f"Of a volume</dt><dd>{texts.MAY_ASK_NONE}</dd>" in shown
    assert "Of a clip" not in shown, "nothing is claimed of a kind that was not tested"
    assert parts.may_be_asked({}) == ""


def test_below_an_answer_stands_one_short_line_and_the_rest_behind_a_click(context: Context) -> None:
    session = opened_session(context, phantoms.ct_study())
    facts = run(context, session, "Which organ?")[-1].facts
    short, _, rest = facts.partition("\n")
    assert re.fullmatch(r"\d+\.\d s · \d+ tokens", short)
    assert "visual tokens" in rest
    *_, small = chat.messages(session)
    assert small["content"].startswith(f'<details class="ov-facts"><summary>{short}</summary>')


def test_a_question_about_one_slice_shows_the_model_that_slice_and_leaves_the_overlay(
    context: Context,
) -> None:
    session = opened_session(context, phantoms.ct_study())
    states = run(context, session, "On slice 2: which organ?")
    assert all(state.mask is None for state in states)
    assert states[-1].question == "On slice 2: which organ?"  # as it was asked
    assert states[-1].facts.startswith("slice 2 alone · ")
    assert chat.placed(phantoms.ct_study(), "On slice 2: which organ?", AskOptions()) == (
        "which organ?",
        AskOptions(place=1),
    )
    assert chat.placed(phantoms.ct_study(), "At 2 s: which organ?", AskOptions())[1].place is None  # no clip
    near = chat.placed(phantoms.ct_study(), "On slice 2 and its neighbours: which organ?", AskOptions())
    assert near == ("which organ?", AskOptions(place=1, neighbours=1))


def test_what_the_file_knows_is_answered_while_the_model_loads(context: Context) -> None:
    session = opened_session(context, phantoms.ct_study())
    context.service.assistant = None
    context.service._done.clear()
    state, *more = run(context, session, "How many slices are there?")
    assert more == []
    assert state.answer is not None
    assert "slices (from the file)." in state.text
    assert state.facts == "the model was not asked"


def test_a_question_about_a_stretch_looks_there_and_says_so(context: Context) -> None:
    session = opened_session(context, phantoms.clip_study(600))
    whole = run(context, session, "What happens?")[-1]
    assert whole.facts.partition("\n")[0].endswith(" tokens · 32 of 600 frames")
    states = run(context, session, "What happens between 0:20 and 0:50?")
    assert states[-1].question == "What happens between 0:20 and 0:50?"  # as it was asked
    assert states[-1].facts.partition("\n")[0].endswith("32 of 600 frames, all from 0:20.0 to 0:50.0")
    (mask,) = {id(s.mask): s.mask for s in states if s.mask is not None}.values()
    assert mask is not None
    assert mask.span_s == (20.0, 50.0)
    asked, options = chat.placed(phantoms.ct_study(), "What is between 1:20 and 1:50?", AskOptions())
    assert (asked, options.span_s) == ("What is between 1:20 and 1:50?", None)  # slices have no times


def test_a_time_in_a_clip_is_written_as_beside_the_slider() -> None:
    assert [clip_time(s) for s in (0, 59.96, 80.5, 3599.99, 3723)] == [
        "0:00.0",
        "1:00.0",
        "1:20.5",
        "1:00:00",
        "1:02:03",
    ]
