"""One server for all browser tests; the browser is the suite's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
# Gradio's own event stream and its keep-alive do not belong to what a gesture causes.
BACKGROUND = ("/heartbeat", "/queue/data")


@contextmanager
def serving(folder: Path, tokens_per_second: float = 2.5, ssr: bool = False) -> Iterator[str]:
    """Address of the app with a scripted assistant, in a process of its own."""
    port = free_port()
    log = folder / f"log-{port}.txt"
    words = [str(port), str(tokens_per_second), *(["ssr"] if ssr else [])]
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.serve", *words],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + START_S
        try:
            # Node, where it is in front, has the port, and Python the next one.
            while not (_ready(f"http://127.0.0.1:{port + ssr}") and _answers(url)):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail("the server did not start:\n" + log.read_text()[-3000:])
                time.sleep(0.3)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _ready(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/healthz", timeout=2).json()["model"] == "ready")
    except (httpx.HTTPError, KeyError, ValueError):
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app that most tests share."""
    with serving(tmp_path_factory.mktemp("server")) as url:
        yield url


def look_after(url: str) -> int:
    """Number of the event by which an open page hears, every 15 s, whether its study was deleted."""
    config = httpx.get(f"{url}/config", timeout=30).json()
    notes = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "ov-notes")
    found = [
        d["id"]
        for d in config["dependencies"]
        if any(t[1] == "tick" for t in d["targets"]) and notes in d["outputs"]
    ]
    assert len(found) == 1
    return int(found[0])


def is_look(request: Any, number: int) -> bool:
    """Whether a request is that one: like the heartbeat it comes from no gesture."""
    if request.method != "POST" or not request.url.endswith("/run/predict"):
        return False
    return bool((request.post_data_json or {}).get("fn_index") == number)


class Watched:
    """A page together with everything it asked the network for and complained about."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.host = url
        look = look_after(url)
        page.on("request", lambda r: None if is_look(r, look) else self.requests.append(r.url))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))

    @property
    def external(self) -> list[str]:
        """Requests to anybody but the server itself."""
        own = (self.host, "data:", "blob:", "about:")
        return [url for url in self.requests if not url.startswith(own)]

    def settle(self, quiet_s: float = 1.5, most_s: float = 30.0) -> None:
        """Until the page has asked for nothing new for a while: its look at a starting model is over."""
        end, seen, since = time.monotonic() + most_s, -1, time.monotonic()
        while time.monotonic() - since < quiet_s and time.monotonic() < end:
            if (now := len(self.asked)) != seen:
                seen, since = now, time.monotonic()
            self.page.wait_for_timeout(100)

    @property
    def asked(self) -> list[str]:
        """Requests besides the stream that every page holds open."""
        return [url for url in self.requests if not any(part in url for part in BACKGROUND)]

    def view(self, code: str, arg: Any = None) -> Any:
        """Run code in the page with `v` the viewer and `a` the argument."""
        wrapped = "a => { const v = document.querySelector('#viewer [data-ready]').view; return %s; }"
        return self.page.evaluate(wrapped % code, arg)

    def wait_for_study(self, slices: int | None = None) -> None:
        """Until the viewer shows a study (of so many slices)."""
        wanted = "true" if slices is None else f"v.header.source_shape[0] === {slices}"
        self.page.wait_for_function(
            "() => { const r = document.querySelector('#viewer [data-ready]'); const v = r && r.view;"
            f" return !!(v && r.dataset.ready === 'true' && v.header && ({wanted})); }}",
            timeout=90_000,
        )


@pytest.fixture
def open_page(browser: Any, server: str) -> Iterator[Any]:
    """`open_page(path="/", width=…, height=…, dark=…)` → Watched."""
    contexts = []

    def opener(path: str = "/", width: int = 1440, height: int = 900, dark: bool = False) -> Watched:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        watched = Watched(page, server)
        page.goto(server + path)
        return watched

    yield opener
    for context in contexts:
        context.close()
