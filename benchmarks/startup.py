"""`python -m benchmarks.startup`: seconds from `python app.py` to the page, to a study on screen and to answers.

Starts the app as a person would (offline, weights already fetched), opens it in headless Chromium, asks about the
study it opens with and then about each of the other samples. Needs Chromium and playwright (the dev extra).
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ANSWERED = "() => /visual tokens/.test(document.body.innerText)"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
WAIT_MS = 120_000


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(url: str, seconds: float = 120.0) -> None:
    """Returns as soon as the page is served."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def measure(page: Any, url: str, began: float, samples: list[str]) -> None:
    page.goto(url)
    page.wait_for_selector(".omv[data-ready='true']", timeout=WAIT_MS)
    tell("the first study is on screen", began)
    ask = page.get_by_role("button", name="What kind of").first
    ask.click()
    page.wait_for_function(ANSWERED, timeout=WAIT_MS)
    tell("its question is answered", began)
    for sample in samples:
        clicked = time.monotonic()
        page.click(f"text={sample}")
        page.wait_for_function("() => !/visual tokens/.test(document.body.innerText)", timeout=WAIT_MS)
        page.wait_for_selector(".omv[data-ready='true']", timeout=WAIT_MS)
        tell(f"{sample}: on screen after the click", clicked)
        asked = time.monotonic()
        page.get_by_role("button", name="What kind of").first.click()
        page.wait_for_function(ANSWERED, timeout=WAIT_MS)
        tell(f"{sample}: answered after the question", asked)


def tell(what: str, since: float) -> None:
    print(f"{time.monotonic() - since:6.1f} s  {what}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", nargs="*", default=["CT, trunk", "MR, head", "Echo"])
    parser.add_argument("--screenshot", type=Path, help="write a picture of the last answer")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    port = free_port()
    url, began = f"http://127.0.0.1:{port}/", time.monotonic()
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--offline", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(url)
        tell("the page is served", began)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            measure(page, url, began, args.samples)
            if args.screenshot:
                page.screenshot(path=args.screenshot)
            browser.close()
    finally:
        server.terminate()
        server.wait(20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
