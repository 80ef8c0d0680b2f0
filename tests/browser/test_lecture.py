"""The teaching page in a browser: sliders that draw by keys, one step a screen, a link to a study and a step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
Opener = Callable[..., Watched]

SHOWN = "() => [...document.querySelectorAll('.ov-step')].filter((e) => e.offsetParent).map((e) => e.id)"


def test_arrow_keys_on_the_threshold_draw_again(open_page: Opener) -> None:
    page = open_page("/teach").page
    page.wait_for_selector("#teach-5 table")
    before = page.inner_text("#teach-5 .ov-big")
    page.focus("#teach-threshold input[type=range]")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("b => document.querySelector('#teach-5 .ov-big').innerText !== b", arg=before)


def test_a_link_opens_the_lecture_and_keys_turn_it(open_page: Opener) -> None:
    page = open_page("/teach?study=ct_abdomen#lecture-4").page
    page.wait_for_selector("#ov-lecture-place")
    assert page.evaluate(SHOWN) == ["teach-step-4"]
    assert page.locator("#teach-study input:checked").get_attribute("value") is not None
    page.wait_for_function("() => /CT/.test(document.querySelector('#teach-status').innerText)")
    page.keyboard.press("PageDown")
    assert page.evaluate(SHOWN) == ["teach-step-5"]
    assert page.url.endswith("/teach?study=ct_abdomen#lecture-5"), "the link can be kept"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.focus("#teach-threshold input[type=range]")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(SHOWN) == ["teach-step-3"], "arrows on a slider move the slider"
    page.keyboard.press("Escape")
    assert len(page.evaluate(SHOWN)) == 8
