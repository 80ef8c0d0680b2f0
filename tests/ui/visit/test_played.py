"""A long clip goes back to its own page as it came, where browsers play it and nothing was painted out; else never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from omnivmed.errors import StudyError
from omnivmed.inference.options import AskOptions
from omnivmed.io import open_study
from omnivmed.ui.app import make_context
from omnivmed.ui.canvas import payload
from omnivmed.ui.tabs.screen import Screen, ScreenPage
from omnivmed.ui.visit import opening, studies
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.settings import AppSettings
from tests.io.clip_makers import encoded, matrixed
from tests.io.makers import put, zip_bytes
from tests.scripted import ScriptedAssistant

REQUEST: Any = SimpleNamespace(session_hash="page", headers={})


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(payload, "CLIP_PIXELS", 10_000)  # so that short clips count as long
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", (tmp_path / "alive").open("w"))
    made = make_context(AppSettings(model="scripted"), root, lambda *_, **__: ScriptedAssistant())
    yield made
    made.store.close()
    root._alive.close()


def opened(context: Any, folder: Path, name: str, data: bytes) -> Any:
    """What is on the screen once this upload was opened."""
    session = context.store.get("page")
    sent = context.root.served / ("0" * 64)
    sent.mkdir(exist_ok=True)
    put(sent, name, data)
    *_, last = opening.open_files(context, session, str(sent / name), AskOptions())
    assert last.error is None
    return session


def test_a_clip_that_browsers_play_is_there_at_once(context: Any, tmp_path: Path) -> None:
    data = encoded(range(60), b_frames=2)
    session = opened(context, tmp_path, "a.mp4", data)
    current = session.current
    assert current.needs_clip
    assert current.video_fps is None
    assert current.video.read_bytes() == data
    assert current.video.suffix == ".mp4"
    assert current.video.is_relative_to(session.served_folder())
    assert current.video.name != "a.mp4"
    assert session.held_bytes()[1] < 2 * len(data) + sum(
        p.stat().st_size for p in current.served if p != current.video
    )
    video = current.video
    opened(context, tmp_path, "b.webm", encoded(range(60), "webm", "libvpx-vp9", deadline="realtime"))
    assert session.current.video.suffix == ".webm"
    assert not video.exists(), "it went with its study"
    session.close()
    assert not session.served.exists()


def test_what_was_painted_out_or_cut_off_is_not_given_back_by_the_file(context: Any, tmp_path: Path) -> None:
    session = opened(context, tmp_path, "a.mp4", encoded(range(60)))
    for cut, painted in [(None, ((0, 0, 20, 20),)), (((10, 90), (10, 150)), ()), (None, ((0, 0, 20, 20),))]:
        before = session.current.video
        part = opening.open_part(context, session, session.current, cut, painted, AskOptions())
        *_, last = part
        assert last.error is None
        assert session.current.needs_clip
        assert session.current.video is None
        assert before is None or not before.exists()
        clip = studies.make_clip(context, session, session.current, lambda: False, lambda *_: None)
        assert clip is not None
        assert clip.fps == pytest.approx(25)


def test_a_browser_that_refuses_it_gets_a_copy_and_a_clip_that_cannot_be_made_says_why(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(context, tmp_path, "a.mp4", encoded(range(60)))
    names = {name: name for name in ("upload", "status", "series", "confirm", "notes", "viewer")}
    screen = Screen(context, ScreenPage(samples=(), **names))
    *_, last = screen.clip_refused(REQUEST)
    assert last["viewer"].state.video_fps == pytest.approx(25)
    assert session.current.video.exists()

    def broken(*_: Any) -> None:
        raise StudyError("Corrupt", "It is damaged.")

    monkeypatch.setattr(studies, "make_clip", broken)
    session.use_clip(session.current, None, None)
    *_, last = screen.convert_clip(REQUEST)
    assert last["viewer"].video is None
    assert last["viewer"].state.video_failed == "This clip cannot be played here: It is damaged."


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("prores.mov", lambda: encoded(range(20), "mov", "prores_ks", pix_fmt="yuv422p10le")),
        ("mpeg4.mp4", lambda: encoded(range(20), "mp4", "mpeg4")),
        ("h264.mkv", lambda: encoded(range(20), "matroska")),
        ("ten.mp4", lambda: encoded(range(20), pix_fmt="yuv420p10le")),
        ("four.mp4", lambda: encoded(range(20), pix_fmt="yuv444p")),
        ("lying.mp4", lambda: matrixed(encoded(range(20)), 0, 1, -1, 0)),
        ("two.mp4", lambda: encoded(range(20)) + encoded(range(20))),
        ("packed.zip", lambda: zip_bytes({"a.mp4": encoded(range(20))})),
    ],
)
def test_the_bytes_decide_what_is_played(tmp_path: Path, name: str, make: Any) -> None:
    for isolated in (True, False):
        with open_study(put(tmp_path, name, make()), isolated=isolated) as study:
            assert study.playable is None, name


def test_the_name_does_not_decide(tmp_path: Path) -> None:
    with open_study(put(tmp_path, "a.avi", encoded(range(20)))) as study:
        assert study.playable == "video/mp4"
    with open_study(put(tmp_path, "b.mp4", encoded(range(20), "webm", "libvpx-vp9"))) as study:
        assert study.playable == "video/webm"
