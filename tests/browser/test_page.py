"""The page as a person uses it: a sample, scrolling, a question, stop, a second question, a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Watched
from tests.browser.serve import SECONDS_PER_TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
Opener = Callable[..., Watched]
CHAT = "#ov-chat"


def asked(page: Any, question: str) -> None:
    page.fill("#ov-question textarea", question)
    page.click("#ov-ask")


def wait_text(page: Any, text: str) -> None:
    page.wait_for_function("([s, t]) => document.querySelector(s).innerText.includes(t)", arg=[CHAT, text])


def test_sample_scroll_ask_stop_ask_again(open_page: Opener) -> None:
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    assert page.locator("h1").count() == 1
    assert page.locator("#ov-not-clinical").is_visible()

    page.click("#sample-mr_head")
    watched.wait_for_study(189)
    page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.loaded === 'true'")
    page.locator("#viewer .omv-canvas").first.focus()
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.slice === '0'")
    watched.settle()
    before = len(watched.asked)
    for _ in range(100):
        page.keyboard.press("ArrowDown")
    page.wait_for_function("Number(document.querySelector('#viewer [data-ready]').dataset.slice) >= 100")
    assert watched.asked[before:] == []

    asked(page, "Which organ is shown?")
    wait_text(page, "[scripted] You asked")
    wait_text(page, " tokens")
    page.wait_for_selector("#ov-ask:not([disabled])")

    page.locator(f"{CHAT} a[href='#slice-3']").first.click()
    page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.slice === '2'")

    asked(page, "Tell me everything.")
    wait_text(page, "and on and on")
    page.click("#ov-stop")
    wait_text(page, "stopped")
    kept = page.inner_text(CHAT)
    assert "and on and on" in kept
    page.wait_for_selector("#ov-ask:not([disabled])")

    asked(page, "And the plane?")
    wait_text(page, "You asked: And the plane?")
    page.wait_for_selector("#ov-ask:not([disabled])")

    page.click("button[role=tab]:has-text('What it saw')")
    page.wait_for_selector("#ov-saw .ov-frames img")
    assert page.locator("#ov-saw .ov-frames img").count() == 32

    assert watched.errors == []
    assert watched.external == []


def test_side_by_side_fills_its_table(open_page: Opener) -> None:
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    page.click("button[role=tab]:has-text('Compare')")
    page.click("#cmp-run")
    page.wait_for_selector("#cmp-table table")
    words = page.inner_text("#cmp-table")
    assert "visual tokens kept" in words
    left, right = (page.inner_text(f"#cmp-pane-{k}") for k in (0, 1))
    assert "Threshold 0" in left
    assert "Threshold 0.1" in right
    assert watched.errors == []
    assert watched.external == []


@pytest.mark.parametrize("path", ["/", "/teach"])
@pytest.mark.parametrize("dark", [False, True])
def test_no_overflow_on_a_phone(open_page: Opener, path: str, dark: bool) -> None:
    watched = open_page(path, width=390, height=844, dark=dark)
    if path == "/":
        watched.wait_for_study()
        third = watched.page.locator("#ov-samples button").nth(2).bounding_box()
        assert third["x"] < 366 - 20, "nothing tells that there are more than two samples"
    else:
        watched.page.wait_for_selector("#teach-5 table")
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert watched.page.locator("#ov-not-clinical").is_visible()
    assert watched.errors == []
    assert watched.external == []


def test_teaching_page_redraws_at_another_threshold(open_page: Opener) -> None:
    watched = open_page("/teach")
    page = watched.page
    page.wait_for_selector("#teach-5 table")
    assert page.locator("h1").count() == 1
    before = page.inner_text("#teach-5 .ov-big")
    page.fill("#teach-threshold input[type=number]", "0.3")
    page.press("#teach-threshold input[type=number]", "Enter")
    page.keyboard.press("Tab")
    page.wait_for_function("b => document.querySelector('#teach-5 .ov-big').innerText !== b", arg=before)
    assert watched.errors == []
    assert watched.external == []


def test_the_cost_is_told_before_a_first_answer_and_follows_the_threshold(open_page: Opener) -> None:
    """Kept, total, share and seconds move together while the line of the histogram is dragged; nothing is asked."""
    watched = open_page(height=1350)
    page = watched.page
    watched.wait_for_study(112)
    page.wait_for_function("() => document.querySelector('.omv-count').innerText.includes('≈')")
    told = (
        "[v.scope.now.kept, Number(/≈ ([0-9.]+) s/.exec(document.querySelector('.omv-count').innerText)[1])]"
    )
    watched.settle()
    asked = len(watched.asked)
    box = page.locator("#viewer .omv-hist").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.2, middle)
    page.mouse.down()
    seen = []
    for share in (0.1, 0.3, 0.5):
        page.mouse.move(box["x"] + box["width"] * share, middle, steps=3)
        page.wait_for_timeout(100)
        seen.append(watched.view(told))
    assert len(watched.asked) == asked
    page.mouse.up()
    assert seen[0][0] > seen[1][0] > seen[2][0]
    for kept, seconds in seen:
        assert seconds == pytest.approx(SECONDS_PER_TOKEN * kept, rel=0.06)  # two digits are shown
