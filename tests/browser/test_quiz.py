"""The teaching page: five predictions checked against the mask, and a handout of one page."""

from __future__ import annotations

import re

import pytest

from tests.browser.test_page import Opener

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.mark.parametrize("study", ["ct_abdomen", "mr_head"])
def test_the_handout_is_one_page_with_all_five_steps(open_page: Opener, study: str) -> None:
    watched = open_page(f"/teach?study={study}")
    page = watched.page
    page.wait_for_selector("#teach-5 table")
    assert page.locator("[data-lecture=print]").is_visible()
    printed = page.pdf(format="A4", prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page[^s]", printed)) == 1
    page.emulate_media(media="print")
    for number in range(1, 6):
        assert page.locator(f"#teach-{number}").is_visible()
    assert not page.locator("#teach-threshold").is_visible()
    assert page.locator("text=Not for clinical use").first.is_visible()


def test_predictions_are_asked_checked_and_gone_with_the_study(open_page: Opener) -> None:
    watched = open_page("/teach?study=ct_abdomen")
    page = watched.page
    page.wait_for_selector("#teach-5 table")
    page.click("#teach-quiz-begin")
    page.wait_for_selector("#teach-quiz-check:visible")
    assert page.locator("#teach-quiz-figure svg rect").count() == 4
    page.click("#teach-quiz-check")
    page.wait_for_function("document.querySelector('#teach-quiz-score').innerText.includes('0 of 5')")
    for number in range(1, 6):
        page.locator(f"#teach-quiz-{number} label").first.click()
    page.click("#teach-quiz-check")
    page.wait_for_function("document.querySelectorAll('.ov-right, .ov-wrong').length === 5")
    right = page.locator(".ov-right").count()
    assert f"{right} of 5 right" in page.inner_text("#teach-quiz-score")
    for wrong in page.locator(".ov-wrong").all():  # the answer that is named instead is one of those offered
        number = wrong.evaluate("e => e.closest('[id^=teach-quiz-said]').id.slice(-1)")
        named = wrong.inner_text().split("No: ")[1].split(". ")[0]
        assert named in page.inner_text(f"#teach-quiz-{number}")
    page.locator("#teach-study label").nth(2).click()
    page.wait_for_function("!document.querySelector('#teach-quiz-check')?.offsetParent")
    assert page.locator(".ov-right, .ov-wrong").count() == 0
    assert watched.errors == []
