"""Drawing as a visitor meets it, with a tiny expert of random weights: preview, stop, the stamped file, the seed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from omnivmed import provenance
from tests.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
Opener = Callable[..., Watched]
FINISHED = "#gen-board [data-preview=false][data-pictures='{count}']"
READY = "#gen-draw:not([disabled])"


def to_tab(watched: Watched) -> Any:
    page = watched.page
    watched.wait_for_study()
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_selector("#gen-prompt textarea")  # the model is known: what can be drawn is offered
    return page


def draw(page: Any, count: int) -> bytes:
    """Click, wait for so many pictures, and take the newest one's file as a visitor does."""
    page.click("#gen-draw")
    page.wait_for_selector(FINISHED.format(count=count))
    page.wait_for_selector(READY)
    with page.expect_download() as got:
        page.click("#gen-board .ov-board-save")
    assert got.value.suggested_filename.startswith("omnivmed-synthetic-")
    return Path(got.value.path()).read_bytes()


def test_words_previews_the_stamped_file_and_its_seed(open_page: Opener) -> None:
    watched = open_page()
    page = to_tab(watched)
    assert "Synthetic. Not a patient. Not for diagnosis." in page.inner_text(".ov-synthetic")
    page.fill("#gen-prompt textarea", "axial CT of the abdomen")
    page.click("#gen-draw")
    page.wait_for_selector("#gen-board [data-preview=true] img")
    uri = page.get_attribute("#gen-board .ov-board-stage img", "src")
    assert uri.startswith("data:image/jpeg")
    page.wait_for_selector(FINISHED.format(count=1))
    page.wait_for_selector(READY)
    page.click("#gen-board .ov-board-seed")  # the same again
    first = draw(page, 2)
    with page.expect_download() as got:
        page.click("#gen-board .ov-board-strip button >> nth=1")
        page.click("#gen-board .ov-board-save")
    before = Path(got.value.path()).read_bytes()
    one, other = (provenance.recognise(data) for data in (before, first))
    assert one is not None
    assert other is not None
    assert (one.model, one.prompt, one.seed) == ("tiny/1", "axial CT of the abdomen", other.seed)
    assert b"trainedAlgorithmicMedia" in first
    page.set_viewport_size({"width": 1280, "height": 720})  # words, button and picture without scrolling
    for part in ("#gen-prompt", "#gen-draw", "#gen-board .ov-board-stage"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= 720, part
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (before, first)]
    assert np.array_equal(pixels[0], pixels[1])
    assert provenance.of_pixels(pixels[0]) is not None
    assert watched.external == []
    assert watched.errors == []


def test_stopped_and_the_page_is_free(open_page: Opener) -> None:
    page = to_tab(open_page())
    page.get_by_role("button", name="Seed, steps, guidance").click()
    page.fill("#gen-steps input[type=number]", "50")
    page.fill("#gen-prompt textarea", "chest X-ray")
    page.click("#gen-draw")
    page.wait_for_selector("#gen-board [data-preview=true]")
    page.click("#gen-stop")
    page.wait_for_selector(READY, timeout=15_000)
    assert "Stopped" in page.inner_text("#gen-status") or "stopped" in page.inner_text("#gen-status")
    assert page.get_attribute("#gen-board .ov-board", "data-pictures") == "0"


def test_a_change_has_a_slider_and_goes_to_the_viewer_when_asked_about(open_page: Opener) -> None:
    watched = open_page()
    page = to_tab(watched)
    page.get_by_label("Without an opacity").check()
    page.wait_for_selector("#gen-chip-0:has-text('remove the opacity')")
    page.click("#gen-chip-0")
    data = draw(page, 1)
    found = provenance.recognise(data)
    assert found is not None
    assert found.edited
    sizes = page.evaluate(
        "[...document.querySelectorAll('#gen-board .ov-board-stage img')].map(i => [i.naturalWidth, i.naturalHeight])"
    )
    assert len(sizes) == 3
    assert len({tuple(size) for size in sizes}) == 1  # before, after and heat lie on one grid
    page.fill("#gen-board .ov-board-ranges input >> nth=0", "20")
    assert "inset(0px 80%" in page.evaluate(
        "getComputedStyle(document.querySelector('.ov-board-before')).clipPath"
    )
    page.click("#gen-board .ov-board-ask")
    page.wait_for_function("() => document.querySelector('#ov-notes').innerText.includes('synthetic')")
    assert page.locator("#ov-question").is_visible()
    assert watched.errors == []


def test_a_report(open_page: Opener) -> None:
    page = to_tab(open_page())
    page.get_by_label("Report", exact=True).check()
    page.wait_for_selector("#gen-draw:has-text('Write the report')")
    page.click("#gen-draw")
    page.wait_for_selector("#gen-stop:not([disabled])")
    page.wait_for_function(
        "() => document.querySelector('#gen-report textarea').value.startsWith('FINDINGS')"
    )
    page.click("#gen-stop")
    page.wait_for_selector(READY)


def test_nothing_is_wider_than_a_phone(open_page: Opener) -> None:
    watched = open_page(width=390, height=844)
    page = watched.page
    watched.wait_for_study()
    page.click(".ov-switch button >> nth=1")  # from the picture to the question
    page.get_by_role("tab", name="Generate").click()
    page.wait_for_selector("#gen-prompt textarea")
    page.click("#gen-chip-0")
    page.click("#gen-draw")
    page.wait_for_selector(FINISHED.format(count=1))
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
