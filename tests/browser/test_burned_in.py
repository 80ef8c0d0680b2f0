"""In Chromium: a name painted out before the question, a label map with its legend, a radiograph's lengths."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.overlays import draw
from omnivmed.io import can_find_text
from tests.browser.conftest import Watched
from tests.io.makers import dicom, dicom_bytes, ramp
from tests.io.test_dicom_labels import label_map

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
Opener = Callable[..., Watched]
US_CLASS, DX_CLASS = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.1.1"
SHOTS = os.environ.get("OMNIVMED_SHOTS")  # a folder for screenshots


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def upload(watched: Watched, path: Path, data: bytes, *shape: int) -> None:
    """Open the file and wait until a study of this (frames, rows, columns) is on the screen."""
    path.write_bytes(data)
    watched.wait_for_study(112)
    watched.page.locator("#ov-upload input[type=file]").set_input_files(str(path))
    watched.page.wait_for_function(
        "s => { const r = document.querySelector('#viewer [data-ready]'); const h = r.view.header;"
        " return r.dataset.loaded === 'true' && h && h.source_shape.join() === s; }",
        arg=",".join(str(n) for n in shape),
    )


def brightest(watched: Watched, box: tuple[int, int, int, int]) -> int:
    """The brightest channel of any pixel on the canvas inside a box of the study, with outlines and tokens off."""
    top, left, bottom, right = box
    corners = [[left + 1, top + 1], [right - 1, bottom - 1]]
    return int(
        watched.page.evaluate(
            """corners => { const v = document.querySelector('#viewer [data-ready]').view, p = v.panes[0];
              const { view, stretch } = p;
              const at = ([x, y]) => [view.x + x * stretch.ax * view.scale, view.y + y * stretch.ay * view.scale];
              const [a, b] = corners.map(at);
              const [x, y, right, low] = [...a.map((n) => Math.ceil(n) + 1), ...b.map((n) => Math.floor(n) - 1)];
              const d = p.ctx.getImageData(x, y, right - x, low - y).data; // no pixel mixed with what lies outside
              let most = 0;
              for (let i = 0; i < d.length; i += 4) most = Math.max(most, d[i], d[i + 1], d[i + 2]);
              return most; }""",
            corners,
        )
    )


@pytest.mark.skipif(not can_find_text(), reason="needs the extra `text`")
@pytest.mark.parametrize("dark", [False, True])
def test_a_name_is_painted_out_before_the_question(open_page: Opener, tmp_path: Path, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    watched = open_page(dark=dark)
    page = watched.page
    drawn = draw("ultrasound", 1, 16)
    data = dicom_bytes(dicom(drawn.picture, US_CLASS, Modality="US", BurnedInAnnotation="NO"))
    upload(watched, tmp_path / "a.dcm", data, 1, 600, 800)
    page.wait_for_selector("#ov-paint-out", state="visible")
    assert "Outlined in the picture: text in" in page.inner_text("#ov-paint-said")
    boxes = [tuple(box) for box in watched.view("v.state.text_boxes")]
    assert len(boxes) >= 3
    shown = "n => document.querySelector('#viewer [data-ready]').dataset.textBoxes === n"
    page.wait_for_function(shown, arg=str(len(boxes)))
    watched.view("v.showOverlay(false)")
    page.wait_for_timeout(300)
    assert all(brightest(watched, box) > 60 for box in boxes)
    shot(page, f"text-found-{'dark' if dark else 'light'}")
    found = Axe().run(page, context="#ov-left").response["violations"]
    assert found == [], [violation["id"] for violation in found]

    before = watched.view("v.header.nonce")
    page.focus("#ov-paint-out")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "n => { const r = document.querySelector('#viewer [data-ready]');"
        " return r.view.header && r.view.header.nonce !== n && r.dataset.loaded === 'true'; }",
        arg=before,
    )
    page.wait_for_selector("#ov-paint-back", state="visible")
    assert "Painted out:" in page.inner_text("#ov-paint-said")
    watched.view("v.showOverlay(false)")
    page.wait_for_timeout(300)
    assert [brightest(watched, box) for box in boxes] == [0] * len(boxes)
    shot(page, f"text-painted-{'dark' if dark else 'light'}")

    page.fill("#ov-question textarea", "What is this?")
    page.click("#ov-ask")
    page.wait_for_function("document.querySelector('#ov-chat').innerText.includes('[scripted] You asked')")
    page.wait_for_selector("#ov-ask:not([disabled])")
    page.click("#ov-paint-back")
    page.wait_for_selector("#ov-paint-out", state="visible")
    watched.view("v.showOverlay(false)")
    page.wait_for_timeout(300)
    assert all(brightest(watched, box) > 60 for box in boxes)
    assert watched.errors == []
    assert watched.external == []


def test_a_label_map_has_colours_a_legend_and_no_window(open_page: Opener, tmp_path: Path) -> None:
    watched = open_page()
    page = watched.page
    data = label_map()
    upload(watched, tmp_path / "a.dcm", data, 4, *watched_shape(data))
    legend = page.locator("#viewer .omv-labels li")
    assert legend.all_inner_texts() == ["Liver", "label 2"]
    assert not page.locator("#viewer .omv-select").first.is_visible()
    colours = watched.view("v.header.labels.map((l) => l[2])")
    drawn = watched.view(
        "[0, 1, 2].map((n) => [v.table[n] & 255, (v.table[n] >> 8) & 255, (v.table[n] >> 16) & 255])"
    )
    assert drawn == [[0, 0, 0], *colours]
    watched.view("v.showOverlay(false)")
    shot(page, "label-map")
    assert watched.errors == []


def watched_shape(data: bytes) -> tuple[int, int]:
    import io

    import pydicom

    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return int(header.Rows), int(header.Columns)


@pytest.mark.parametrize(
    ("factor", "words", "step"), [(None, "at the detector", 0.5), (1.25, "estimated", 0.4)]
)
def test_lengths_of_a_radiograph_say_where_they_hold(
    open_page: Opener, tmp_path: Path, factor: float | None, words: str, step: float
) -> None:
    watched = open_page()
    page = watched.page
    picture = np.kron(ramp(), np.ones((16, 16), np.uint16))
    tags: dict[str, Any] = {"ImagerPixelSpacing": [0.5, 0.5]}
    if factor:
        tags["EstimatedRadiographicMagnificationFactor"] = factor
    data = dicom_bytes(dicom(picture, DX_CLASS, Modality="DX", **tags))
    upload(watched, tmp_path / "a.dcm", data, 1, *picture.shape)
    assert words in page.inner_text("#viewer .omv-scale")
    length = watched.view("v.panes[0].lengthText([0, 0], [100, 0])")
    assert length == f"{100 * step:.1f} mm {words}"
    page.hover("#viewer .omv-canvas")
    page.wait_for_function("document.querySelector('#viewer .omv-br').textContent.includes('mm')")
    assert words in page.inner_text("#viewer .omv-br")
    assert words in page.inner_text("#ov-status")
    assert "detector" in page.inner_text("#ov-notes")
    shot(page, f"lengths-{'estimate' if factor else 'detector'}")
    assert watched.errors == []
