"""Uneven stacks in three planes with a true scale bar; echoes of one series chosen from the list."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.io.dicom_makers import side_by_side
from tests.io.makers import AXIAL, dicom, put, series_zip

pytestmark = pytest.mark.browser
Opener = Callable[..., Any]
SIZE, PIXEL_MM = 96, 2.0
# 3 mm through the skull base with one slice off its place, then 7 mm: 81 mm high.
HEIGHTS = (*(3.0 * k for k in range(7)), 20.1, *(25.0 + 7.0 * k for k in range(9)))


def head_scan() -> list[Dataset]:
    """A ball of 70 mm diameter in its middle, air around it, on slices that lie unevenly."""
    row, column = np.mgrid[:SIZE, :SIZE]
    across = np.hypot(row - SIZE / 2, column - SIZE / 2) * PIXEL_MM
    made = []
    for k, height in enumerate(HEIGHTS):
        inside = np.hypot(across, height - 40.5) < 35
        made.append(
            dicom(
                np.where(inside, 1064, 24).astype(np.uint16),
                RescaleSlope=1,
                RescaleIntercept=-1024,
                PixelSpacing=[PIXEL_MM, PIXEL_MM],
                ImageOrientationPatient=list(AXIAL),
                ImagePositionPatient=[-96.0, -96.0, height],
                InstanceNumber=k,
                BodyPartExamined="HEAD",
            )
        )
    return made


def screenshot(page: Any, name: str) -> None:
    folder = os.environ.get("OMV_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / name))


def upload(watched: Any, path: Path, slices: int) -> None:
    watched.page.set_input_files("#ov-upload input[type=file]", str(path))
    watched.wait_for_study(slices)
    watched.page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.loaded === 'true'")


def test_an_uneven_head_scan_is_as_high_as_it_is(open_page: Opener, tmp_path: Path) -> None:
    watched = open_page()
    upload(watched, put(tmp_path, "head.zip", series_zip(head_scan())), len(HEIGHTS))
    watched.page.locator("#viewer .omv-canvas").first.focus()
    watched.page.keyboard.press("x")
    watched.page.wait_for_function("document.querySelector('#viewer [data-ready]').view.panes.length === 3")
    watched.settle()
    for k in (1, 2):
        high, wide = watched.view(
            "[v.panes[a].rows * v.panes[a].mm.down, v.panes[a].cols * v.panes[a].mm.across]", k
        )
        step = watched.view("v.panes[a].mm.down", k)
        assert high - step == pytest.approx(81.0, abs=0.01)
        assert wide == pytest.approx(SIZE * PIXEL_MM)
        # The ball is round on the page: as many page pixels high as wide, within one slice.
        box = watched.page.evaluate(BRIGHT, k)
        per_mm = watched.view("v.panes[a].view.scale * v.panes[a].stretch.ax / v.panes[a].mm.across", k)
        assert box[0] / per_mm == pytest.approx(70, abs=8)
        assert box[1] / per_mm == pytest.approx(70, abs=5)
    # The bar of every plane says its own length in page pixels.
    for k in range(3):
        text, width = watched.view(
            "[v.panes[a].bar.firstChild.textContent, v.panes[a].bar.lastChild.getBoundingClientRect().width]",
            k,
        )
        per_mm = watched.view(
            "v.panes[a].view.scale * v.panes[a].stretch.ax / v.panes[a].mm.across / v.panes[a].ratio", k
        )
        number, unit = text.split()
        assert width / per_mm == pytest.approx(float(number) * (10 if unit == "cm" else 1), rel=0.02)
    assert "NonUniformSpacing" in watched.view("v.header.warnings")
    assert watched.view("v.header.spacing_mm[0]") == 7.0
    # A place under the pointer: the last slice is 81 mm above the first.
    index = watched.view("v.header.slice_index")
    affine = np.asarray(watched.view("v.header.affine"))
    assert (affine @ [index[-1], 0, 0, 1])[2] - (affine @ [index[0], 0, 0, 1])[2] == pytest.approx(81.0)
    screenshot(watched.page, "uneven-head.png")


BRIGHT = """k => { const p = document.querySelector('#viewer [data-ready]').view.panes[k]; const c = p.canvas;
  const d = p.ctx.getImageData(0, 0, c.width, c.height).data; let t = 1e9, b = -1, l = 1e9, r = -1;
  for (let y = 0; y < c.height; y++) for (let x = 0; x < c.width; x++) { const i = 4 * (y * c.width + x);
    if (d[i] > 100 && d[i] === d[i + 1] && d[i] === d[i + 2]) {
      t = Math.min(t, y); b = Math.max(b, y); l = Math.min(l, x); r = Math.max(r, x); } }
  return [b - t + 1, r - l + 1]; }"""


def test_two_echoes_are_chosen_from_the_list(open_page: Opener, tmp_path: Path) -> None:
    slices = side_by_side(2, 6, lambda v, k: {"EchoTime": 4.6 + 6 * v, "InstanceNumber": k + 1})
    watched = open_page()
    upload(watched, put(tmp_path, "echoes.zip", series_zip(slices)), 6)
    first = watched.view("v.store.value(2, 6, 8)")
    assert first == 120
    watched.page.click("#ov-series input")
    watched.page.get_by_role("option", name="echo time 10.6 ms").click()
    watched.page.wait_for_function(
        "() => { const v = document.querySelector('#viewer [data-ready]').view;"
        " return v.header && v.store.complete() && v.store.value(2, 6, 8) === 520; }"
    )
    assert [watched.view("v.store.value(a, 6, 8)", k) for k in range(6)] == [500, 510, 520, 530, 540, 550]
    watched.page.click("#ov-series input")
    labels = [t for t in watched.page.get_by_role("option").all_inner_texts() if "echo time" in t]
    assert len(labels) == 2
    screenshot(watched.page, "echoes.png")
