"""Nothing is lost: reload, Back and a second tab; a link for a class says what to show and nothing more."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from tests.browser.test_page import Opener, asked, wait_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SLACK = float(os.environ.get("OMNIVMED_TIMING_SLACK", "1"))
SHOWN = """() => { const v = document.querySelector('#viewer [data-ready]')?.view;
  return v && v.header ? [v.header.kind, v.cursor[0], v.mode, v.window && v.window.level] : null; }"""


def back(page: Any, wanted: list[Any]) -> None:
    page.wait_for_function(f"w => JSON.stringify(({SHOWN})()) === JSON.stringify(w)", arg=wanted)


def test_reload_and_back_in_the_middle_of_a_conversation(open_page: Opener) -> None:
    watched = open_page()
    page = watched.page
    watched.wait_for_study(112)
    page.click("#sample-mr_head")
    watched.wait_for_study(189)
    page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.loaded === 'true'")
    asked(page, "Which organ is shown?")
    wait_text(page, "That is all.")
    page.wait_for_selector("#ov-ask:not([disabled])")
    watched.view("v.goto(40) || v.setMode('distance') || v.setWindow(77, 300)")
    asked(page, "Tell me everything.")  # is being answered when the page goes
    wait_text(page, "and on and on")
    word = page.evaluate("JSON.parse(sessionStorage.getItem('omnivmed')).word")

    page.reload(wait_until="commit")
    page.wait_for_function("() => window.omnivmedViewer && document.querySelector('#ov-chat')")
    began = time.monotonic()
    back(page, ["volume", 40, "distance", 77])
    wait_text(page, "Which organ is shown?")
    wait_text(page, "and on and on")
    took = time.monotonic() - began
    assert took < 2.0 * SLACK
    assert page.evaluate("JSON.parse(sessionStorage.getItem('omnivmed')).word") == word
    assert page.url.rstrip("/") == watched.host  # nothing of it is in the address
    stored = page.evaluate("JSON.stringify({...sessionStorage}) + JSON.stringify({...localStorage})")
    assert "organ" not in stored
    assert len(stored) < 1000  # a word and a view: no pixel
    page.wait_for_selector("#ov-ask:not([disabled])")
    asked(page, "And the plane?")
    wait_text(page, "You asked: And the plane?")

    page.goto(watched.host + "/healthz")
    page.go_back()
    back(page, ["volume", 40, "distance", 77])
    wait_text(page, "You asked: And the plane?")

    other = page.context.new_page()  # another tab is another visitor
    other.goto(watched.host)
    other.wait_for_function(f"() => ({SHOWN})()")
    assert other.evaluate(SHOWN)[0] == "volume"
    assert other.evaluate(SHOWN)[1] != 40
    assert "Which organ" not in other.inner_text("#ov-chat")


def test_a_link_shows_a_sample_as_it_was(open_page: Opener) -> None:
    watched = open_page("/?study=mr_head&slice=31&threshold=0.2&view=run&window=90,250")
    page = watched.page
    watched.wait_for_study(189)
    back(page, ["volume", 30, "run", 90])
    page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.threshold === '0.2'")
    assert page.evaluate("document.querySelector('#viewer [data-ready]').dataset.whatif") == "false"
    watched.view("v.goto(50) || v.saveMenu()")
    page.click("text=Link to this view")
    assert page.url.endswith("?study=mr_head&slice=51&threshold=0.2&view=run&window=90%2C250")
    watched.view("(v.state.sample = null) || v.saveMenu()")  # a visitor's own study has no address
    assert page.locator("text=Link to this view").count() == 0 or not page.is_visible(
        "text=Link to this view"
    )
    assert watched.errors == []
    assert watched.external == []
