"""Long clips in the page: played at once as they came where the browser can, a stretch and a moment to ask about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import coded
from tests.browser.conftest import Watched
from tests.browser.test_seeks import seek, upload_clip

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
Opener = Callable[..., Watched]
FRAMES = 300  # 12 s
QUESTION = "#ov-question textarea"


def at_once(watched: Watched, path: Path, frames: int = FRAMES) -> None:
    watched.wait_for_study(112)
    upload_clip(watched, path, frames)
    assert watched.view("v.player.hasClip")


def press(watched: Watched, *keys: str) -> None:
    watched.page.locator("#viewer .omv-canvas").first.focus()
    for key in keys:
        watched.page.keyboard.press(key)


def asked(watched: Watched) -> str:
    watched.page.wait_for_function(f"document.querySelector('{QUESTION}').value !== ''")
    said: str = watched.page.input_value(QUESTION)
    watched.page.fill(QUESTION, "")
    return said


def test_a_clip_that_the_browser_plays_is_played_as_it_came(open_page: Opener, tmp_path: Path) -> None:
    """No conversion; any frame is the one asked for; the slider stays where it is let go; stretch and moment."""
    path = coded.b_frames(tmp_path, FRAMES, size=(640, 360))
    watched = open_page()
    at_once(watched, path)
    page = watched.page
    assert watched.view("v.player.clip.fps") is None, "as it was sent"
    assert [url for url in watched.asked if url.endswith(".mp4")]
    order = np.random.default_rng(3).permutation(FRAMES)[:24].tolist()
    _, seen = seek(watched, [*order, 0, FRAMES - 1])
    assert seen == [*order, 0, FRAMES - 1]

    box = page.locator("#viewer .omv-time .omv-range").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 12, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], middle, steps=4)
    page.mouse.move(box["x"] + 0.637 * box["width"], middle, steps=4)
    page.mouse.up()
    wanted = int(page.locator("#viewer .omv-time .omv-range").input_value())
    page.wait_for_function(
        "k => document.querySelector('#viewer [data-ready]').dataset.frame === String(k)", arg=wanted
    )
    page.wait_for_timeout(300)
    assert watched.view("v.cursor[0]") == wanted
    assert abs(wanted - 0.637 * FRAMES) < 0.06 * FRAMES
    assert page.evaluate(coded.READ, coded.BITS) == wanted

    watched.view("v.goto(50)")
    press(watched, "[")
    watched.view("v.goto(200)")
    press(watched, "]")
    assert watched.view("v.stretch") == pytest.approx([2.0, 8.0])
    press(watched, "t")
    assert asked(watched) == "Between 0:02.0 and 0:08.0: "
    page.get_by_role("button", name="Ask about this moment").click()
    assert asked(watched) == "Around 0:08.0: "
    page.get_by_role("button", name="A stretch up to here").click()  # where it is: the mark goes
    assert watched.view("v.stretch") == pytest.approx([2.0, 11.96])
    page.get_by_role("button", name="Ask about the stretch").click()
    assert asked(watched) == "Between 0:02.0 and 0:12.0: "
    page.fill(QUESTION, "Between 0:02.0 and 0:04.0: what moves?")
    page.locator("#ov-ask").click()
    page.wait_for_selector(".ov-facts >> text=all from 0:02.0 to 0:04.0")
    watched.page.wait_for_function(
        "() => { const r = document.querySelector('#viewer [data-ready]').view.scope.run;"
        " return r.role === 'answer' && r.index[0] >= 50 && r.index.at(-1) <= 100 }"
    )
    assert watched.errors == []
    assert watched.external == []


def test_one_that_it_cannot_play_is_converted(open_page: Opener, tmp_path: Path) -> None:
    """The file is refused by the browser itself: it is given nothing of the clip, so a copy is made of its frames."""
    path = coded.constant(tmp_path, FRAMES, size=(640, 360))
    watched = open_page()
    watched.wait_for_study(112)
    refused: list[str] = []

    def give_nothing(route: Any) -> None:
        if not refused or route.request.url in refused:
            refused.append(route.request.url)
            route.fulfill(status=200, content_type="video/mp4", body=b"\0" * 64)
        else:
            route.continue_()

    watched.page.route("**/*.mp4", give_nothing)
    upload_clip(watched, path, FRAMES)
    assert refused
    assert watched.view("v.player.clip.fps") == pytest.approx(25.0)
    _, seen = seek(watched, [7, 290, 0])
    assert seen == [7, 290, 0]
