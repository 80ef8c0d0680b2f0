"""Text in the pixels, from the upload to the model: found, asked for, painted out (promise C2 of docs/security.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.overlays import draw
from omnivmed.errors import StudyError
from omnivmed.io import can_find_text
from omnivmed.ui.canvas.container import unpack
from tests.io.makers import dicom, dicom_bytes
from tests.service.conftest import Starter

needs_text = pytest.mark.skipif(not can_find_text(), reason="needs the extra `text`")


def text_file(path: Path) -> Path:
    """A drawn ultrasound picture with lines of text in its pixels and nothing of them in its header."""
    picture = draw("ultrasound", 1, 16).picture
    header = dicom(picture, "1.2.840.10008.5.1.4.1.1.6.1", Modality="US", BurnedInAnnotation="NO")
    path.write_bytes(dicom_bytes(header))
    return path


@needs_text
def test_text_in_the_pixels_is_found_asked_for_and_painted_out(start: Starter, tmp_path: Path) -> None:
    app = start(public=True)
    page = app.page()
    page.open_upload(text_file(tmp_path / "a.dcm"))
    session = app.context.store.get(page.session)
    before, whole = session.current, session.current.study
    assert len(whole.text_boxes) >= 3
    assert "text burned into it" in json.dumps(page.begin("What is this?"))
    page.finish()
    shown = json.dumps(page.fire(page.dependency("ov-paint-out", "click"), [0.1, "previous", 0]))
    assert "Painted out:" in shown
    painted = session.current.study
    assert painted.text_boxes == ()
    for top, left, bottom, right in whole.text_boxes:
        assert (painted.frames()[:, top:bottom, left:right] == 0).all()
        assert (painted.values()[:, top:bottom, left:right] == 0).all()
    # What the browser is sent is the painted one, and what it was sent before is gone.
    _, sent = unpack(session.current.payload)
    assert not before.payload.exists()
    assert painted.content_id != whole.content_id
    assert whole.content_id in app.assistant.forgotten
    picture = np.asarray(cv2.imdecode(sent["pictures"], cv2.IMREAD_COLOR))
    top, left, bottom, right = whole.text_boxes[0]
    assert (picture[top:bottom, left:right] == 0).all()
    # A person still has to look; then the model is given the painted one.
    assert "text burned into it" in json.dumps(page.begin("What is this?"))
    page.finish()
    page.fire(page.dependency("ov-confirm", "input"), [True])
    assert "You asked" in page.ask("What is this?")
    assert app.assistant.studies[-1].content_id == painted.content_id
    # A cut keeps it, and the other way round; "as it was" brings the text back, not the edges.
    page.fire(page.dependency("ov-crop-cut", "click"), [0, 5, 0, 0, 0.1, "previous", 0])
    assert session.current.study.shape == (1, 570, 800)
    assert session.current.study.text_boxes == ()
    page.fire(page.dependency("ov-paint-back", "click"), [0.1, "previous", 0])
    assert session.current.study.shape == (1, 570, 800)
    assert session.current.study.text_boxes
    page.fire(page.dependency("ov-paint-out", "click"), [0.1, "previous", 0])
    page.fire(page.dependency("ov-crop-whole", "click"), [0.1, "previous", 0])
    assert session.current.study.shape == (1, 600, 800)
    assert (session.current.study.frames()[:, top:bottom, left:right] == 0).all()
    page.fire(page.dependency("ov-paint-back", "click"), [0.1, "previous", 0])
    assert session.current.study.content_id == whole.content_id
    assert session.current.whole is None


@needs_text
def test_a_local_page_looks_for_text_after_the_picture_is_there(
    start: Starter, tmp_path: Path, every_log: pytest.LogCaptureFixture
) -> None:
    app = start()
    page = app.page()
    page.open_upload(text_file(tmp_path / "a.dcm"))
    session = app.context.store.get(page.session)
    assert session.current.study.text_boxes is None
    said = page.ids["ov-paint-said"]
    opening = page.dependency("ov-upload", "upload")
    search = next(d for d in page.after(opening) if said in d["outputs"])
    shown = json.dumps(page.fire(search, []))
    assert "Text was found in the picture" in shown
    assert "text_boxes" in shown
    assert session.current.study.text_boxes
    assert not session.current.study.needs_confirmation
    assert "search kind=image" in every_log.text


@needs_text
def test_the_public_api_refuses_what_was_found(start: Starter, tmp_path: Path) -> None:
    app = start(public=True)
    page = app.page()
    ask = next(d for d in page.config["dependencies"] if d["api_name"] == "ask")
    where = page.upload(text_file(tmp_path / "a.dcm"))
    file = [{"path": where, "meta": {"_type": "gradio.FileData"}}]
    with pytest.raises(RuntimeError, match="nobody has looked at it"):
        page.fire(ask, [file, "What is this?", 0.1, 20])
    assert app.assistant.asked == []


@needs_text
def test_a_search_that_fails_asks_in_public(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise StudyError("TooLarge", "Too slow.")

    monkeypatch.setattr("omnivmed.io.find_text", broken)
    page = start(public=True).page()
    page.open_upload(text_file(tmp_path / "a.dcm"))
    assert "text burned into it" in json.dumps(page.begin("What is this?"))
