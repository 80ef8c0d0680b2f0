"""The page rendered in the browser alone, and rendered by Node first: the same page, no error, nobody else asked."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Watched, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.mark.parametrize("ssr", [False, True], ids=["in the browser", "by Node first"])
def test_both_ways_of_rendering(browser: Any, server: str, tmp_path: Path, ssr: bool) -> None:
    if ssr and shutil.which("node") is None:
        pytest.skip("needs Node.js")
    with serving(tmp_path, tokens_per_second=200, ssr=True) if ssr else nullcontext(server) as url:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(90_000)
        watched = Watched(page, url)
        page.goto(url, timeout=90_000)
        if ssr:
            log = next(tmp_path.glob("log-*")).read_text()
            assert "with SSR" in log, log
        watched.wait_for_study(112)
        page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.loaded === 'true'")
        page.locator("#viewer .omv-canvas").first.focus()
        watched.settle()
        before = len(watched.asked)
        for key in ["Home", *["ArrowDown"] * 30, "m", "i", "2", "+"]:
            page.keyboard.press(key)
        page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.slice === '30'")
        assert watched.asked[before:] == []
        page.fill("#ov-question textarea", "Which organ is shown?")
        page.click("#ov-ask")
        page.wait_for_function("() => document.querySelector('#ov-chat').innerText.includes('That is all.')")
        page.wait_for_selector("#ov-ask:not([disabled])")
        watched.settle()  # leaving the page while it still fetches is an error of the fetch
        page.goto(f"{url}/teach", timeout=90_000)
        page.wait_for_selector("#teach-5 table")
        watched.settle()
        page.close()
        assert watched.errors == []
        assert watched.external == []
