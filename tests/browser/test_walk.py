"""Somebody who has never seen the page, with nothing but what is on the screen, at 1280 x 720 without scrolling."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_page import Opener

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def seen(found: Any) -> Any:
    """The first of these that is on the screen, whole."""
    found.first.wait_for(state="visible")
    box = found.first.bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= 1280
    assert box["y"] + box["height"] <= 720
    return found.first


def test_one_minute(open_page: Opener, tmp_path: Path) -> None:
    page = open_page(width=1280, height=720).page
    # A pruned region: a legend names its colour, a count says how many are left here, and the picture has it.
    seen(page.get_by_text("pruned", exact=True))
    here = re.search(
        r"here (\d+) of (\d+)", seen(page.get_by_text(re.compile(r"here \d+ of \d+"))).inner_text()
    )
    assert here is not None
    assert int(here[1]) < int(here[2])
    picture = seen(page.locator("canvas.omv-canvas:visible"))
    blue = picture.evaluate(
        "c => { const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height); let n = 0;"
        " for (let k = 0; k < data.length; k += 4) if (data[k + 2] > data[k] + 25) n++; return 4 * n / data.length; }"
    )
    assert blue > 0.05
    page.screenshot(path=tmp_path / "1-pruned.png")
    assert page.locator(".omv-bar").bounding_box()["height"] < 50  # the tools stand in one line
    # What the threshold means.
    assert "20 HU at a window of 400 HU" in seen(page.get_by_text(re.compile("HU at a window"))).inner_text()
    # How to ask.
    seen(page.get_by_placeholder("Ask about this study")).fill("Which plane is this?")
    seen(page.get_by_role("button", name="Ask", exact=True)).click()
    page.get_by_text(re.compile("You asked: Which plane is this")).first.wait_for()
    page.screenshot(path=tmp_path / "2-asked.png")
    # How to open a folder.
    with page.expect_file_chooser() as chooser:
        seen(page.get_by_role("button", name="Open a folder")).click()
    assert chooser.value.element.evaluate("input => input.webkitdirectory")
    assert page.evaluate("performance.now()") < 60_000
