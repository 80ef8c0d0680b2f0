"""The page's other handles: threshold, window, series, clips, downloads, start over, the teaching page."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from omnivmed.resources import samples_dir
from omnivmed.ui import texts
from omnivmed.ui.visit.lesson import LOOKS
from tests.service.conftest import Running, Starter
from tests.service.page_client import PageClient, last_of


def session_of(app: Running, page: PageClient) -> object:
    return app.context.store.get(page.session)


def test_the_settings_slider_replans_with_the_real_rule(start: Starter) -> None:
    app = start()
    page = app.page()
    page.open_sample("mr_head")
    session = app.context.store.get(page.session)
    before = session.current.mask.kept
    slider = next(d for d in page.config["dependencies"] if any(t[1] == "release" for t in d["targets"]))
    page.fire(slider, [0.4, "previous", 0])
    assert session.current.mask.threshold == 0.4
    assert session.current.mask.kept < before
    assert session.current.mask_payload.exists()
    assert not session.current.answered
    first = session.current.mask_payload
    page.fire(slider, [0.2, "last_kept", 12])
    assert not first.exists()
    assert session.current.mask.reference == "last_kept"
    assert len(session.current.mask.frame_index) <= 12
    assert session.current.pixels is None  # other frames: the pixels sent before no longer fit


def test_the_viewers_slider_and_window_reach_the_next_question(start: Starter) -> None:
    app = start()
    page = app.page()
    page.open_sample("ct_abdomen")
    session = app.context.store.get(page.session)
    told = page.fire(
        page.dependency("viewer", "threshold_release"), [0], {"threshold": 0.25, "reference": "last_kept"}
    )
    assert told == [0.25, "last_kept"]
    page.fire(
        page.dependency("viewer", "use_window"), [0.1, "previous", 0], {"level": 300.0, "width": 1500.0}
    )
    assert session.current.study.window == (300.0, 1500.0)
    assert session.current.mask.window == (300.0, 1500.0)
    page.fire(page.dependency("viewer", "use_window"), [0.1, "previous", 0], {"level": "x", "width": -1})
    assert session.current.study.window == (300.0, 1500.0)
    page.ask("What kind of scan is this?")
    assert session.turns[-1].answer.window == (300.0, 1500.0)
    # The sample itself is shared and keeps its own window.
    assert app.context.shelf.open("ct_abdomen").window == (40.0, 400.0)
    assert page.fire(page.dependency("viewer", "ask_slice"), [], {"index": 41}) == ["On slice 42: "]


def test_a_long_clip_becomes_seekable_in_the_background(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "omnivmed.ui.canvas.payload.CLIP_PIXELS", 1_000_000
    )  # so that this short one counts as long
    app = start()
    page = app.page()
    opened = page.dependency("sample-endoscopy_phantom", "click")
    page.fire(opened)
    session = app.context.store.get(page.session)
    assert session.current.needs_clip
    assert session.current.video is None
    shown = json.dumps(last_of(page.stream(page.after(opened)[0], [])))
    clip: Path | None = session.current.video  # made meanwhile
    assert clip is not None
    assert clip.exists()
    assert ".mp4" in shown
    other = app.page()
    other.fire(opened)
    assert other.fire(page.after(opened)[0], [])
    assert app.context.store.get(other.session).current.video == session.current.video


def test_downloads_are_named_plainly_and_hold_the_run(start: Starter) -> None:
    app = start()
    page = app.page()
    page.open_sample("echo_cine")
    page.ask("What kind of video is this?")
    shown = json.dumps(page.saw())
    assert "omnivmed-answer.json" in shown
    assert "omnivmed-conversation.md" in shown
    session = app.context.store.get(page.session)
    record = json.loads(next(p for p in session.current.served if p.suffix == ".json").read_text())
    assert record["answer"]["mask"]["kept"] == app.assistant.masks[-1].kept
    assert "file" not in record
    clip = json.dumps(page.fire(page.dependency("ov-make-clip", "click")))
    assert "omnivmed-overlay.mp4" in clip
    assert next(p for p in session.current.served if p.suffix == ".mp4").stat().st_size > 1000


def test_start_over_forgets_the_conversation_and_keeps_the_study(start: Starter) -> None:
    app = start()
    page = app.page()
    page.open_sample("chest_xray")
    page.ask("One?")
    page.fire(page.dependency("ov-fresh", "click"))
    session = app.context.store.get(page.session)
    assert session.turns == ()
    assert session.current.sample == "chest_xray"
    page.ask("Two?")
    assert app.assistant.asked[-1] == ("Two?", 0)


def test_earlier_turns_go_along_only_where_asked(start: Starter) -> None:
    app = start()
    page = app.page()
    page.open_sample("chest_xray")
    page.ask("One?")
    page.ask("Two?", [0.1, "previous", 0, 128, False])
    page.ask("Three?", [0.1, "previous", 0, 128, True])
    assert app.assistant.asked == [("One?", 0), ("Two?", 0), ("Three?", 2)]
    app.assistant.follows = False
    assert not app.context.service.follows_conversations


def test_a_failed_file_says_that_the_picture_is_still_the_one_before(start: Starter, tmp_path: Path) -> None:
    app = start()
    page = app.page()
    letter = tmp_path / "letter.dcm"
    letter.write_text("Dear colleague, the scan is attached.")
    assert texts.STILL_SHOWN not in json.dumps(page.open_upload(letter)), "nothing stands below yet"
    page.open_sample("ct_abdomen")
    said = json.dumps(page.open_upload(letter))
    assert "ov-error" in said
    assert texts.STILL_SHOWN in said


def test_another_series_of_the_same_upload(start: Starter, shared_dir: Path) -> None:
    app = start()
    page = app.page()
    page.open_upload(shared_dir / "hostile" / "series" / "mixed2.zip")
    session = app.context.store.get(page.session)
    series = session.current.study.series
    assert len(series) == 2
    shown = next(entry["index"] for entry in series if entry["selected"])
    wanted = next(entry["index"] for entry in series if not entry["selected"])
    page.fire(page.dependency("ov-series", "input"), [wanted, 0.1, "previous", 0])
    again = session.current.study.series
    assert next(entry["index"] for entry in again if entry["selected"]) == wanted != shown
    page.open_sample("chest_xray")
    assert app.files() == []


def test_the_teaching_page_ends_with_the_learners_own_file(start: Starter) -> None:
    app = start()
    page = app.page()
    upload = page.dependency("teach-upload", "upload")
    where = page.upload(samples_dir() / "ct_abdomen.nii.gz", "Zebrowski.nii.gz")
    shown = json.dumps(
        page.fire(
            upload, [[{"path": where, "meta": {"_type": "gradio.FileData"}}], LOOKS[0], 5, 0.1, "previous"]
        )
    )
    assert "112 axial slices" in shown
    assert "tokens are left" in shown
    assert "Zebrowski" not in shown
    before = shown.count("tokens are left")
    drawn = json.dumps(
        page.fire(page.dependency("teach-threshold", "input"), [LOOKS[0], 5, 0.4, "last_kept"])
    )
    assert drawn.count("tokens are left") == before
    assert drawn != shown
    assert app.files() == []


@pytest.mark.parametrize("steps", [0, 3])
def test_an_overtaken_opening_leaves_the_page_alone(
    start: Starter, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    from omnivmed.ui.visit import studies

    app = start()
    begun, go_on, quick = threading.Event(), threading.Event(), studies.open_sample

    def slow(context: Any, key: str, options: Any, progress: Any) -> Any:
        if key != "mr_head":
            return quick(context, key, options, progress)
        for k in range(steps):
            progress("reading", k, steps)
        begun.set()
        go_on.wait(30)
        progress("reading", steps, steps)
        return quick(context, key, options, progress)

    monkeypatch.setattr("omnivmed.ui.visit.studies.open_sample", slow)
    page, same = app.page(), app.page()
    same.session = page.session
    click = page.dependency("sample-mr_head", "click")
    place = {i: k for k, i in enumerate(click["outputs"])}
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(lambda: (page.fire(click), list(page.bodies)))
        assert begun.wait(30)
        session = app.context.store.get(page.session)
        newer = session.begin_opening()  # as another click does
        go_on.set()
        last, bodies = late.result(60)
    assert session.wants(newer)
    completed = next(json.loads(b[5:]) for b in bodies if '"process_completed"' in b)
    for data in (last, completed["output"]["data"]):
        # Neither a stale word about progress nor an emptied button.
        for name in ("ov-status", "sample-mr_head", "sample-chest_xray"):
            told = data[place[page.ids[name]]]
            assert told["__type__"] == "update", (name, told)
            assert "value" not in told, (name, told)
