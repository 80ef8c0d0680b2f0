"""A tab that is loaded anew finds what it had; nobody else does, and not for ever."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from omnivmed.limits import LOCAL
from omnivmed.ui.visit.link import Link
from omnivmed.ui.visit.opened import OpenStudy, Turn
from omnivmed.ui.visit.session import Session
from omnivmed.ui.visit.sessions import SessionStore
from tests import phantoms


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> SessionStore:
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    return SessionStore(tmp_path / "sessions", tmp_path / "served", LOCAL, clock)


def visited(store: SessionStore, key: str = "first", page: str | None = "word") -> Session:
    session = store.get(key, page)
    session.page = page
    assert session.show(OpenStudy(phantoms.ct_study(), "CT"), session.begin_opening())
    assert session.current is not None
    session.record(session.current, Turn("Q", "A", "m", ""))
    session.new_served("conversation.md").write_text("A")
    return session


def test_the_same_word_finds_study_and_conversation(store: SessionStore) -> None:
    session = visited(store)
    session.glimpse = "half read"
    store.leave("first")
    assert session.stop.is_set()
    assert len(store) == 0
    assert store.get("second", "another word") is not session
    assert store.get("third", None) is not session
    assert store.get("fourth", "word") is session
    assert [turn.text for turn in session.turns] == ["A"]
    assert session.glimpse is None
    assert session.pending is None
    assert store.get("fifth", "word") is session  # loaded anew before the server heard of it
    store.leave("fourth")  # which it does now
    assert not session.closed


def test_what_nobody_comes_back_for_goes(store: SessionStore, clock: Clock) -> None:
    session = visited(store)
    store.leave("first")
    clock.now = LOCAL.away_s - 1
    store.sweep()
    assert not session.closed
    clock.now = LOCAL.away_s + 1
    assert store.sweep() == 1
    assert session.closed
    assert not session.served.exists()
    assert store.get("second", "word") is not session


@pytest.mark.parametrize("page", [None, ""])
def test_programs_without_a_word_leave_nothing(store: SessionStore, page: str | None) -> None:
    session = visited(store, page=page)
    store.leave("first")
    assert session.closed
    assert not session.served.exists()


def test_they_give_way_first_and_end_with_the_program(tmp_path: Path, clock: Clock) -> None:
    small = replace(LOCAL, open_study_bytes=1000, visitor_files_bytes=1000)
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    store = SessionStore(tmp_path / "sessions", tmp_path / "served", small, clock)
    session = visited(store)
    store.leave("first")
    store.make_room(store.get("second", "other"), 900, 0)
    assert session.closed
    session = visited(store, "third", "third word")
    store.leave("third")
    store.close()
    assert session.closed


def test_an_address_names_samples_and_numbers_only() -> None:
    assert Link.of({"study": "mr_head", "threshold": "0.2", "slice": "4"}) == Link("mr_head", 0.2)
    for bad in ({"study": "../x", "threshold": "nan"}, {"study": "", "threshold": "3"}, {"threshold": "<b>"}):
        assert Link.of(bad) == Link()


def test_what_was_written_of_an_answer_is_there_at_once_and_once(store: SessionStore) -> None:
    session = visited(store)
    assert session.current is not None
    half = Turn("And?", "It is", "m", "stopped", None, stopped=True)
    assert session.expect("And?")
    session.begin_turn()
    session.write(session.current, half)
    assert [turn.text for turn in session.turns] == ["A"]
    assert store.get("second", "word") is session  # the server has not heard that the page before is gone
    assert session.stop.is_set()  # nobody reads on
    assert [turn.text for turn in session.turns] == ["A", "It is"]
    session.write(session.current, replace(half, text="It is a"))  # the answer ends a step later
    session.record(session.current, replace(half, text="It is a"))
    assert [turn.text for turn in session.turns] == ["A", "It is"]
    session.begin_turn()
    session.record(session.current, Turn("Now?", "B", "m", ""))
    assert [turn.text for turn in session.turns] == ["A", "It is", "B"]


def test_a_conversation_that_was_begun_anew_stays_empty(store: SessionStore) -> None:
    session = visited(store)
    assert session.current is not None
    session.begin_turn()
    session.write(session.current, Turn("And?", "It", "m", "", None, stopped=True))
    session.start_over()
    session.record(session.current, Turn("And?", "It is", "m", "", None, stopped=True))
    store.get("second", "word")
    assert session.turns == ()


def test_a_question_waits_for_an_answer_that_was_told_to_stop(store: SessionStore) -> None:
    session = visited(store)
    session.stop.clear()
    assert session.answering.acquire(blocking=False)
    assert not session.expect("At once?"), "an answer that goes on is not waited for"
    store.get("second", "word")  # the page is loaded anew: that answer is to end
    ending = threading.Timer(0.3, session.answering.release)
    ending.start()
    assert session.expect("Next?")
    assert session.take_question() == "Next?"
    assert not session.stop.is_set()
    ending.join()
