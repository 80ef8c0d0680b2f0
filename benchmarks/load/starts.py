"""From the command to the page, to the first study on the screen: this checkout and another in turn."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.load.program import ROOT
from benchmarks.startup import FLAGS, WAIT_MS, free_port, wait_for
from benchmarks.timing import ratios, spread


def starts(against: Path, times: int) -> dict[str, Any]:
    """Seconds until the page is served and until Chromium shows its first study, `times` times each, in turn.

    The app runs as a person starts it, offline and with its model. "ratio" is ours by the other one's, round by round
    (below 1: ours is faster), its median with quartiles.
    """
    builds = {"ours": ROOT, "other": against}
    found: dict[str, Any] = {name: {"page_s": [], "study_s": []} for name in builds}
    for number in range(-1, times):  # once each unmeasured: files have to be in the system's cache
        for name in builds if number % 2 == 0 else reversed(list(builds)):
            page_s, study_s = _start(builds[name])
            if number >= 0:
                found[name]["page_s"].append(page_s)
                found[name]["study_s"].append(study_s)
    for what in ("page_s", "study_s"):
        by_round = spread(ratios(found["ours"][what], found["other"][what]))
        found[f"ratio_{what[:-2]}"] = [by_round.median, by_round.low, by_round.high]
        for name in builds:
            found[name][f"median_{what}"] = statistics.median(found[name][what])
    return found


def _start(checkout: Path) -> tuple[float, float]:
    from playwright.sync_api import sync_playwright

    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        began = time.perf_counter()
        program = subprocess.Popen(
            [sys.executable, str(checkout / "app.py"), "--offline", "--port", str(port)],
            cwd=checkout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(url)
            served = time.perf_counter() - began
            page.goto(url)
            page.wait_for_selector(".omv[data-ready='true']", timeout=WAIT_MS)
            shown = time.perf_counter() - began
        finally:
            browser.close()
            program.terminate()
            program.wait(20)
    return served, shown
