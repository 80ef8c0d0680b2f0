"""The tab "Rules": a region drawn by hand is counted under every rule; turning the slices asks nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_page import Opener

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
BOARD = ".ov-rules[data-rules='11']"


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    box = page.locator(".ov-rules-stage").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def regions(page: Any) -> list[str]:
    return [str(text) for text in page.locator(".ov-rules-region").all_inner_texts()]


def test_a_region_is_drawn_counted_and_saved(open_page: Opener, tmp_path: Path) -> None:
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    page.get_by_role("tab", name="Rules").click()
    page.click("#rules-show")
    page.wait_for_selector(BOARD)
    assert regions(page) == []

    asked = len(watched.requests)
    page.focus(".ov-rules-slider")
    before = page.get_attribute(".ov-rules", "data-place")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.get_attribute(".ov-rules", "data-place") == str(int(before or 0) + 5)
    assert len(watched.requests) == asked

    page.click(".ov-rules-box")
    page.select_option(".ov-rules-reach", "all")
    drag(page, (0.04, 0.04), (0.96, 0.96))
    page.wait_for_selector(".ov-rules-region")
    shown = regions(page)
    assert len(shown) == 11
    for said, words in zip(
        shown, page.locator(".ov-rules-cells figcaption > span").all_inner_texts(), strict=True
    ):
        assert said.split("(")[1].split(")")[0] == words.split("(")[1].split(")")[0], "everything is marked"
    with page.expect_download() as saved:
        page.click(".ov-rules-save")
    file = tmp_path / "rules.json"
    saved.value.save_as(file)
    report = json.loads(file.read_text())
    assert report["rules"][0]["region_tokens"] == report["rules"][0]["total"] == 512

    page.click("#rules-budget label:nth-child(2)")  # another grid: the region stays
    page.wait_for_function("document.querySelector('#rules-board').innerText.includes('1,792 tokens')")
    page.wait_for_function("document.querySelectorAll('.ov-rules-region').length === 11")
    page.click(".ov-rules-clear")
    page.wait_for_function("document.querySelectorAll('.ov-rules-region').length === 0")
    drag(page, (0.5, 0.5), (0.5, 0.5))  # a click draws nothing
    assert page.is_disabled(".ov-rules-clear")

    page.click("#sample-mr_head")
    page.wait_for_function("!document.querySelector('.ov-rules').childElementCount")
    assert watched.errors == []
    assert watched.external == []
