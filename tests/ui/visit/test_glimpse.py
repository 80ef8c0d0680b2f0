"""A first look at a long study: on the screen before the whole, taken back when the whole fails, never asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from omnivmed.inference.options import AskOptions
from omnivmed.ui.app import make_context
from omnivmed.ui.canvas.container import unpack
from omnivmed.ui.tabs.screen import Screen, ScreenPage
from omnivmed.ui.visit import chat, opening, studies
from omnivmed.ui.visit.background import run_with_progress
from omnivmed.ui.visit.environment import PrivateRoot
from omnivmed.ui.visit.samples import SAMPLES
from omnivmed.ui.visit.settings import AppSettings
from tests.io.makers import clip_bytes, ct_series, grid, nifti_bytes, put, series_zip
from tests.scripted import ScriptedAssistant

REQUEST: Any = SimpleNamespace(session_hash="page")
HEIGHTS = tuple(2.5 * i for i in range(60))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Any]:
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir()
    root = PrivateRoot(tmp_path, tmp_path / "sessions", tmp_path / "served", (tmp_path / "alive").open("w"))
    made = make_context(AppSettings(model="scripted"), root, lambda *_, **__: ScriptedAssistant())
    yield made
    made.store.close()
    root._alive.close()


def opened(context: Any, path: Path) -> Iterator[dict[Any, Any]]:
    """What the page is told while this upload is opened; keys are the names of its components."""
    names = {name: name for name in ("upload", "status", "series", "confirm", "notes", "viewer")}
    screen = Screen(context, ScreenPage(samples=tuple(sample.key for sample in SAMPLES), **names))
    session = context.store.get("page")
    sent = context.root.served / ("0" * 64)
    sent.mkdir(exist_ok=True)
    path.rename(sent / path.name)
    options = AskOptions()
    yield from screen.told(session, opening.open_files(context, session, str(sent / path.name), options))


def test_the_look_comes_first_and_the_whole_follows_it(context: Any, tmp_path: Path) -> None:
    session = context.store.get("page")
    values: list[Any] = []
    for update in opened(context, put(tmp_path, "study.zip", series_zip(ct_series(HEIGHTS)))):
        value = update.get("viewer")
        if value is None:
            continue
        values.append(value)
        if len(values) == 1:
            header, arrays = unpack(value.study.path)
            assert header["shape"] == [1, 20, 24]
            assert header["planes"][0]["letters"] == ["R", "L", "A", "P"]
            assert arrays["voxels"].max() == 1500
            assert value.state.glimpse == session.glimpse == Path(value.study.path).name
            with pytest.raises(chat.Refused, match="still being read"):
                chat.check_question(context, session, "What is it?")
    first, whole = values
    assert unpack(whole.study.path)[0]["shape"] == [60, 20, 24]
    assert whole.state.follows == first.state.glimpse
    assert whole.state.glimpse is None
    assert session.glimpse is None
    assert chat.check_question(context, session, "What is it?")[0] == "What is it?"
    look = Path(first.study.path)
    assert look.exists()
    session.close()
    assert not look.exists()


def test_a_failure_brings_the_study_before_back(context: Any, tmp_path: Path) -> None:
    session = context.store.get("page")
    list(opened(context, put(tmp_path, "good.nii", nifti_bytes(grid(z=4)))))
    before = session.current.payload
    data = nifti_bytes(np.arange(200 * 200 * 60, dtype=np.int16).reshape(200, 200, 60), packed=True)
    values = [
        update["viewer"]
        for update in opened(context, put(tmp_path, "cut.nii.gz", data[: int(len(data) * 0.9)]))
        if "viewer" in update
    ]
    assert [Path(v.study.path) == before for v in values] == [False, True]
    assert session.glimpse is None
    assert not Path(values[0].study.path).exists()


def test_a_long_clip_shows_its_first_frame(
    context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "LONG_CLIP", 30)
    values = [
        update["viewer"]
        for update in opened(context, put(tmp_path, "clip.mp4", clip_bytes(30)))
        if "viewer" in update
    ]
    assert [unpack(v.study.path)[0]["source_shape"][0] for v in values] == [1, 30]


def test_a_sight_is_never_left_out_for_a_newer_number(tmp_path: Path) -> None:
    def work(tell: Any) -> None:
        for k in range(50):
            tell("reading", k, 1000)
            if k == 10:
                tell.show(tmp_path / "look")
        tell("reading", 1000, 1000)

    told = list(run_with_progress(work))
    assert [step.sight for step in told if step.sight] == [tmp_path / "look"]
