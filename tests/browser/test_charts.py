"""Charts by plotly: from this server, when looked at and not before, in both themes, from the mask on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Watched
from tests.browser.test_viewer_browser import axe_script

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
Opener = Callable[..., Watched]
SAW = "button[role=tab]:has-text('What it saw')"
BARS = "{box} .js-plotly-plot .bars path"
# Of the first two charts: what plotly was told, and how the words are coloured.
TOLD = """box => { const p = document.querySelector(box + ' .js-plotly-plot');
  return { counts: p.data[0].customdata.reduce((a, b) => a + b, 0), kept: p.data[1].customdata,
    words: getComputedStyle(p.querySelector('.xtick text')).fill, page: getComputedStyle(document.body).color,
    links: p.querySelectorAll('a[href]').length, wide: p.scrollWidth <= p.parentElement.clientWidth + 1 }; }"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_charts_of_the_run_are_studied_in_their_tab(open_page: Opener, dark: bool) -> None:
    watched = open_page(dark=dark)
    page = watched.page
    watched.wait_for_study(112)
    page.click("#sample-mr_head")
    watched.wait_for_study(189)
    page.fill("#ov-question textarea", "Which plane?")
    page.click("#ov-ask")
    page.wait_for_selector(".ov-facts")
    page.wait_for_selector("#ov-ask:not([disabled])")
    assert not [url for url in watched.requests if "lotly" in url], "nobody has looked at a chart yet"
    page.click(SAW)
    page.wait_for_selector(BARS.format(box="#ov-charts"))
    told: dict[str, Any] = page.evaluate(TOLD, "#ov-charts")
    per_frame = watched.view("[...v.scope.run.perFrame]")
    assert told["kept"] == per_frame
    assert told["counts"] == watched.view("v.scope.run.total - v.scope.run.n")
    assert told["words"] != "rgb(138, 147, 160)", "the page's own colour, not the figure's"
    light = [int(x) for x in told["words"].removeprefix("rgb(").removesuffix(")").split(",")]
    assert (sum(light) > 3 * 128) == dark
    assert told["links"] == 0
    assert told["wide"]
    page.evaluate(axe_script())
    found = page.evaluate("axe.run('#ov-charts').then(r => r.violations)")
    assert [(v["id"], [n["html"][:160] for n in v["nodes"]]) for v in found] == []
    # Another threshold is planned: the charts follow.
    watched.view("v.moveThreshold(0.3), v.release()")
    page.wait_for_function(
        "k => { const p = document.querySelector('#ov-charts .js-plotly-plot');"
        " return p.data[1].customdata.join() !== k }",
        arg=",".join(map(str, per_frame)),
    )
    assert page.evaluate(TOLD, "#ov-charts")["kept"] == watched.view("[...v.scope.run.perFrame]")
    # A picture alone has nothing to chart.
    page.click("#sample-chest_xray")
    watched.wait_for_study(1)
    page.wait_for_function("!document.querySelector('#ov-charts .js-plotly-plot')")
    assert watched.errors == []
    assert watched.external == []


def test_the_lesson_has_its_charts(open_page: Opener) -> None:
    watched = open_page("/teach", width=390)
    page = watched.page
    page.wait_for_selector(BARS.format(box="#teach-chart"))
    told = page.evaluate(TOLD, "#teach-chart")
    assert len(told["kept"]) == 32, "the slices that the model is given"
    assert told["wide"]
    page.locator("#teach-reference label").nth(1).click()
    page.wait_for_function(
        "k => { const p = document.querySelector('#teach-chart .js-plotly-plot');"
        " return p.data[1].customdata.join() !== k }",
        arg=",".join(map(str, told["kept"])),
    )
    assert page.evaluate("document.querySelector('#teach-chart .js-plotly-plot').data.length") == 4
    assert watched.errors == []
    assert watched.external == []
