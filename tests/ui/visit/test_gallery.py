"""Drawn pictures of one page: bounded, gone with the page, changed ones gone with their study; states of a drawing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed import provenance
from omnivmed.inference.drawing import DrawOptions
from omnivmed.inference.reply import whole
from omnivmed.ui import texts
from omnivmed.ui.app import make_context
from omnivmed.ui.visit import drawing, gallery, opening
from omnivmed.ui.visit.chat import Refused
from omnivmed.ui.visit.drawing import Wish
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.visit.studies import Context, label_of
from tests import phantoms
from tests.scripted import ScriptedAssistant, ScriptedDrawer, scripted_artist

WORDS = "axial CT of the abdomen"
CHANGE = "add an opacity in the left lower zone"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    drawer = ScriptedDrawer()
    with (tmp_path / "alive").open("w") as alive:
        root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", alive)
        made = make_context(
            AppSettings(model="scripted"),
            root,
            lambda *_, **__: ScriptedAssistant(2000, artist=scripted_artist(drawer)),
        )
        made.service.start()
        yield made
        made.store.close()
        made.shelf.close()


@pytest.fixture
def session(context: Context) -> Session:
    return context.store.get("page")


def open_phantom(session: Session) -> OpenStudy:
    study = phantoms.ct_study()
    opened = OpenStudy(study, label_of(study))
    assert session.show(opened, session.begin_opening())
    session.stop.clear()
    return opened


def draw(session: Session, seed: int, opened: OpenStudy | None = None, most: int = 12) -> Any:
    given = None if opened is None else np.full((32, 32, 3), 90, np.uint8)
    task: Any = "text_to_image" if opened is None else "counterfactual"
    events = scripted_artist().stream(WORDS, given, DrawOptions(seed=seed, steps=1), task=task)
    return gallery.keep(session, opened, whole(events).pictures[0], task, most)


def test_a_file_is_the_stamped_one_and_the_oldest_goes(session: Session) -> None:
    pictures = [draw(session, seed, most=3) for seed in range(5)]
    kept = gallery.kept(session)
    assert [drawn.origin.seed for drawn in kept] == [4, 3, 2]
    assert [drawn.path.exists() for drawn in pictures] == [False, False, True, True, True]
    assert kept[0].path.name == "omnivmed-synthetic-4.png"
    assert provenance.recognise(kept[0].path) == kept[0].origin
    assert len(list(session.served.iterdir())) == 3  # no empty folder stays
    assert gallery.find(session, kept[1].id) == kept[1]
    assert gallery.find(session, "../x") is None


def test_what_a_study_was_changed_into_goes_with_it(session: Session) -> None:
    opened = open_phantom(session)
    from_words, changed = draw(session, 1), draw(session, 2, opened)
    assert [path.name for path in changed.files[1:]] == ["before.png", "change.png"]
    assert changed.changed is not None
    assert 0 < changed.changed < 0.2
    open_phantom(session)
    assert gallery.kept(session) == (from_words,)
    assert not any(path.exists() for path in changed.files)
    assert draw(session, 3, opened) is None  # its study has gone meanwhile
    assert gallery.kept(session) == (from_words,)


def test_all_go_with_the_page(session: Session) -> None:
    drawn = draw(session, 1)
    session.close()
    assert not drawn.path.exists()
    assert session.drawn == ()


def test_a_drawing_tells_where_it_is(context: Context, session: Session) -> None:
    states = list(drawing.make(context, session, Wish("text_to_image", WORDS, options=DrawOptions(seed=3))))
    assert any(state.preview is not None for state in states)
    assert [state.over for state in states[:-1]] == [False] * (len(states) - 1)
    last = states[-1]
    assert last.reply is not None
    assert last.preview is None
    assert last.error is None
    assert not session.answering.locked()


def test_a_change_begins_with_the_open_study(context: Context, session: Session) -> None:
    wish = Wish("counterfactual", CHANGE, index=2)
    with pytest.raises(Refused, match=r"[Ss]tudy"):
        next(drawing.make(context, session, wish))
    open_phantom(session)
    last = list(drawing.make(context, session, wish))[-1]
    assert last.text.endswith(f"{CHANGE}.")


def test_words_are_needed_and_one_thing_is_made_at_a_time(context: Context, session: Session) -> None:
    with pytest.raises(Refused, match="nothing to draw"):
        next(drawing.make(context, session, Wish("text_to_image", "  ")))
    running = drawing.make(context, session, Wish("text_to_image", WORDS))
    next(running)
    with pytest.raises(Refused, match=texts.ALREADY[:20]):
        next(drawing.make(context, session, Wish("text_to_image", WORDS)))
    running.close()
    assert not session.answering.locked()


def test_stopped(context: Context, session: Session) -> None:
    running = drawing.make(context, session, Wish("text_to_image", WORDS, options=DrawOptions(steps=100)))
    while next(running).preview is None:
        pass
    session.stop.set()
    last = list(running)[-1]
    assert (last.stopped, last.picture) == (True, None)


def test_a_report_of_the_open_study(context: Context, session: Session) -> None:
    open_phantom(session)
    last = list(drawing.make(context, session, Wish("report")))[-1]
    assert last.text.startswith("FINDINGS")
    assert "IMPRESSION" in last.text


def test_without_weights_drawing_says_what_is_missing(context: Context, session: Session) -> None:
    assert context.service.wait(10)
    context.service.assistant.artist = None  # type: ignore[union-attr]
    last = list(drawing.make(context, session, Wish("text_to_image", WORDS)))[-1]
    assert last.error is not None
    assert "no drawing weights" in last.error


def test_a_drawn_picture_opens_as_a_study_that_says_what_it_is(context: Context, session: Session) -> None:
    drawn = draw(session, 5)
    *_, last = opening.open_drawn(context, session, drawn, Wish("report").ask)
    assert last.opened is not None
    assert "Synthetic" in last.opened.study.warnings
    assert drawn.path.exists()
    assert list(session.sources.iterdir()) == []
