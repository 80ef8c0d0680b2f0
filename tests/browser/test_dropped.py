"""Files and folders, dropped anywhere: what was sent, what was not and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnivmed.ui.visit.samples import find_sample
from tests.browser.test_page import Opener
from tests.io import makers

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def folder_of(tmp_path: Path) -> Path:
    """A series of five slices in a folder below, a report that is no image, a system file."""
    folder = tmp_path / "Miller Anna"
    inner = folder / "series"
    inner.mkdir(parents=True)
    for k, data in enumerate(makers.dicom_bytes(one) for one in makers.ct_series([10 * n for n in range(5)])):
        (inner / f"Miller{k}.dcm").write_bytes(data)
    (folder / "report.txt").write_text("no image")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def drop(page: Any, *paths: Path) -> None:
    """As a person drops it in the middle of the page, far from the field for uploads."""
    line = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        line.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 420, "data": data})
        if kind == "dragOver":
            assert page.is_visible("#ov-drop-here")


def test_a_folder_dropped_anywhere(open_page: Opener, tmp_path: Path) -> None:
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    sent: list[bytes] = []
    page.on("request", lambda r: sent.append(r.post_data_buffer or b"") if "upload" in r.url else None)
    folder = folder_of(tmp_path)
    drop(page, folder)
    watched.wait_for_study(5)
    assert not page.is_visible("#ov-drop-here")
    assert "6 files sent, 1 left out" in page.inner_text("#ov-sent")
    page.click("#ov-sent summary")
    listed = page.inner_text("#ov-sent")
    assert ".DS_Store · system file, not sent" in listed
    assert "Miller0.dcm" in listed
    page.wait_for_function(
        "document.querySelector('#ov-notes').innerText.includes('no image')"
    )  # of the text file
    page.click("#ov-sent button")
    assert page.locator("#ov-sent").count() == 0

    drop(page, find_sample("endoscopy_phantom").path)  # one file needs no list
    page.wait_for_function(
        "() => document.querySelector('#viewer [data-ready]').view.header?.kind === 'video'"
    )
    assert page.locator("#ov-sent").count() == 0

    empty = tmp_path / "empty"
    empty.mkdir()
    drop(page, empty)
    page.wait_for_function("document.querySelector('#ov-sent').innerText.includes('nothing to open')")
    assert watched.errors == []
    assert watched.external == []


def odd_folder(tmp_path: Path) -> Path:
    """Five slices under names that no form of an upload carries as they are."""
    folder = tmp_path / "odd"
    folder.mkdir()
    slices = [makers.dicom_bytes(one) for one in makers.ct_series([10 * n for n in range(5)])]
    for name, data in zip(['a"b.dcm', "c\\", "d\ne.dcm", "f;name=g.dcm", "Müller Ünal"], slices, strict=True):
        (folder / name).write_bytes(data)
    return folder


def test_names_that_no_upload_can_carry(open_page: Opener, tmp_path: Path) -> None:
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    sent: list[bytes] = []
    page.on("request", lambda r: sent.append(r.post_data_buffer or b"") if "upload" in r.url else None)
    drop(page, odd_folder(tmp_path))
    watched.wait_for_study(5)
    assert "5 files sent" in page.inner_text("#ov-sent")
    page.click("#ov-sent summary")
    assert "Müller Ünal" in page.inner_text("#ov-sent")
    assert not any(word in b"".join(sent) for word in ("Ünal".encode(), b"name=g"))
    assert watched.errors == []


def test_the_folder_button_after_a_clip(open_page: Opener, tmp_path: Path) -> None:
    """A clip is on the screen, its conversion perhaps still going on; then a file by the field itself."""
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    page.click("#sample-endoscopy_phantom")
    page.wait_for_function(
        "() => document.querySelector('#viewer [data-ready]').view.header?.kind === 'video'"
    )
    folder = folder_of(tmp_path)
    with page.expect_file_chooser() as chooser:
        page.click(".ov-folder")
    chooser.value.set_files(folder)
    watched.wait_for_study(5)
    assert "files sent" in page.inner_text("#ov-sent")
    page.set_input_files("#ov-upload [type=file]", str(find_sample("mr_head").path))
    page.wait_for_function(
        "() => document.querySelector('#viewer [data-ready]').view.header?.source_shape[0] > 100"
    )
    assert watched.errors == []


def test_the_lesson_opens_with_ones_own_study(open_page: Opener, tmp_path: Path) -> None:
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    drop(page, folder_of(tmp_path))
    watched.wait_for_study(5)
    with page.context.expect_page() as opened:
        page.click("#ov-top .ov-other")
    lesson = opened.value
    lesson.wait_for_function("() => document.body.innerText.includes('5 axial slices')", timeout=60_000)
    assert watched.errors == []
