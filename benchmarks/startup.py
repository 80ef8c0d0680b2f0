"""`python -m benchmarks.startup`: seconds from `python app.py` to the page, to a study on screen and to answers.

Starts the app as a person would (offline, weights already fetched), opens it in headless Chromium, asks about the
study it opens with and then about each of the other samples. `--first`: the first start on a machine, which fetches
the language model and converts it into an empty cache. Needs Chromium and playwright (the dev extra).
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

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


def repeat_timings(log: IO[str]) -> None:
    """Of what the app says of itself: when the page was served and how long the model took, what was for once apart."""
    for line in log:
        if " seconds=" in line:
            print(f"          {line.partition(',')[2].partition(' ')[2].strip()}", flush=True)


def tell(what: str, since: float) -> None:
    print(f"{time.monotonic() - since:6.1f} s  {what}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", nargs="*", default=["CT, trunk", "MR, head", "Echo"])
    parser.add_argument("--screenshot", type=Path, help="write a picture of the last answer")
    parser.add_argument("--first", action="store_true", help="with an empty cache of weights, and a network")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    port = free_port()
    cache = Path(tempfile.mkdtemp(prefix="omnivmed-first-")) if args.first else None
    environment = {**os.environ, **({"OMNIVMED_CACHE": str(cache)} if cache else {})}
    url, began = f"http://127.0.0.1:{port}/", time.monotonic()
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--port", str(port), *(() if args.first else ("--offline",))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    threading.Thread(target=repeat_timings, args=(server.stderr,), daemon=True).start()
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
        if cache is not None:
            shutil.rmtree(cache)
    return 0


if __name__ == "__main__":
    sys.exit(main())
