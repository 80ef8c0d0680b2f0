"""The first seconds: nothing moves, everything about pruning is in sight, a slow line shows a picture."""

from __future__ import annotations

import io
import os
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SHIFTS = """() => { window.shifts = []; new PerformanceObserver((list) => {
  for (const e of list.getEntries()) if (!e.hadRecentInput) window.shifts.push(e.value);
}).observe({ type: 'layout-shift', buffered: true }); }"""
# What can be tapped and is lower than a finger is broad. (Links inside a sentence are not meant.)
TAPPED = "button:not([tabindex='-1']), summary, nav a, input:not([type=file]), select, textarea"
LOW = (
    f'() => [...document.querySelectorAll("{TAPPED}")]'
    + """
  .filter((e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
  .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect().height])
  .filter(([, high]) => high > 0 && high < 40)"""
)
SLACK = float(os.environ.get("OMNIVMED_TIMING_SLACK", "1"))
SLOW_LINE = 1.5e6 / 8  # bytes a second


def visit(browser: Any, server: str, width: int, height: int, **options: Any) -> tuple[Any, Watched]:
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.add_init_script(f"({SHIFTS})()")
    return context, Watched(page, server)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_nothing_moves_and_pruning_is_in_sight(browser: Any, server: str, width: int, height: int) -> None:
    phone = width < 700
    context, watched = visit(browser, server, width, height, has_touch=phone, is_mobile=phone)
    page = watched.page
    page.goto(server)
    watched.wait_for_study(112)  # a volume, tokens drawn
    page.wait_for_function("document.querySelector('#viewer [data-ready]').dataset.loaded === 'true'")
    page.wait_for_selector(".ov-dot.ready", state="attached")
    watched.settle()
    assert sum(page.evaluate("window.shifts")) < 0.02
    assert page.evaluate("document.querySelector('#viewer [data-ready]').dataset.overlay") == "true"
    if phone:
        assert not (low := page.evaluate(LOW)), low
        samples = page.locator("#ov-samples button")
        for k in range(samples.count()):
            box = samples.nth(k).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert not page.locator("#ov-question").is_visible()
        page.click("[data-show=question]")
        assert page.locator("#ov-question").is_visible()
        assert not page.locator("#viewer").is_visible()
        assert not (low := page.evaluate(LOW)), low
    else:
        for part in (".omv-canvas", ".omv-big", ".omv-hist", ".omv-number", "#ov-question", "#ov-ask"):
            box = page.locator(part).first.bounding_box()
            assert box["y"] >= 0, part
            assert box["y"] + box["height"] <= height, part
        told = page.inner_text(".omv-tokens")
        assert "HU" in told
        assert (
            "32 of 112 slices · budget: nano" in told
        )  # beside the count: what was taken, under which budget
        page.fill(".omv-number", "")  # an emptied box is no threshold of 0
        page.press(".omv-number", "Enter")
        assert page.input_value(".omv-number") == "0.1"
        assert page.evaluate("document.querySelector('#viewer [data-ready]').dataset.threshold") == "0.1"
        card = page.locator("#ov-model details")
        assert card.bounding_box()["height"] <= 26
        assert card.get_attribute("open") is None
        about = page.locator("#ov-about details")
        assert about.get_attribute("open") is None
        about.locator("summary").click()
        told = about.inner_text()
        assert "axial" in told
        assert "112" in told
        assert "level 40, width 400 HU" in told
        assert page.locator("#ov-foot details").get_attribute("open") is None
    assert watched.errors == []
    assert watched.external == []
    context.close()


# Every frame of the page's life: [ms since the navigation, who has the first study's picture on the screen].
FILM = """window.film = []; (function frame() {
  requestAnimationFrame(frame);
  if (!document.body) return;
  const picture = (style) => style.backgroundImage.startsWith('url(');
  const boot = document.querySelector('#ov-boot i');
  const stage = document.querySelector('#viewer .omv-stage');
  const root = document.querySelector('#viewer [data-ready]');
  const seen = stage && stage.checkVisibility({ visibilityProperty: true }) && stage.clientHeight > 200;
  const who = root && root.dataset.ready === 'true' && seen ? 'viewer'
    : boot && picture(getComputedStyle(boot)) ? 'page'
    : seen && picture(getComputedStyle(stage, '::after')) ? 'page' : '';
  const { film } = window;
  if (!film.length || film[film.length - 1][1] !== who) film.push([performance.now(), who]);
})();"""


def greys(png: bytes) -> np.ndarray[Any, Any]:
    """A screenshot, small and grey, without its mean: two of one slice are alike whatever is drawn over them."""
    small = Image.open(io.BytesIO(png)).convert("L").resize((48, 48), Image.Resampling.BOX)
    values = np.asarray(small, np.float64)
    out: np.ndarray[Any, Any] = (values - values.mean()) / values.std()
    return out


def test_a_slow_line_shows_a_picture_within_three_seconds(browser: Any, server: str) -> None:
    """At 1.5 Mbit/s the page's own small picture is there long before the framework's script; it is one of the study,
    and it stays until the viewer has drawn the same slice."""
    context, watched = visit(browser, server, 1280, 720)
    watched.page.goto(server)  # has it drawn: only the second visitor of a server may count on it
    watched.wait_for_study(112)
    context.close()
    context, watched = visit(browser, server, 1280, 720)
    page = watched.page
    page.add_init_script(FILM)
    line = context.new_cdp_session(page)
    line.send("Network.enable")
    line.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 40, "downloadThroughput": SLOW_LINE, "uploadThroughput": SLOW_LINE},
    )
    page.goto(server, wait_until="commit")
    page.wait_for_selector("#ov-boot i")
    first = page.screenshot(clip=page.locator("#ov-boot i").bounding_box())
    watched.wait_for_study(112)
    page.wait_for_function("!document.querySelector('#ov-boot')")
    film = [(at, who) for at, who in page.evaluate("window.film") if who or at > 0]
    while film and film[0][1] == "":
        film.pop(0)  # before the first bytes of the page
    assert [who for _, who in film] == ["page", "viewer"], film  # nothing blank between the two
    assert film[0][0] < 3000 * SLACK
    print(f"first picture {film[0][0]:.0f} ms, the viewer's own {film[1][0]:.0f} ms")
    page.wait_for_timeout(300)
    own = page.screenshot(clip=page.locator("#viewer .omv-stage").bounding_box())
    assert (greys(first) * greys(own)).mean() > 0.6
    assert sum(page.evaluate("window.shifts")) < 0.02
    # A study whose single picture takes 20 s on this line is seen small first.
    page.click("#sample-chest_xray")
    began = time.monotonic()
    watched.wait_for_study(1)
    assert time.monotonic() - began < 3.0 * SLACK
    assert page.evaluate("document.querySelector('#viewer [data-ready]').dataset.loaded") == "false"
    assert watched.view("v.preview.shown")
    assert watched.errors == []
    context.close()
