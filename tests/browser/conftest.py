"""One server for all browser tests; the browser is the suite's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the app with a scripted assistant, in a process of its own."""
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.serve", str(port)],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + START_S
        try:
            while True:
                try:
                    if httpx.get(f"{url}/healthz", timeout=2).json()["model"] == "ready":
                        break
                except (httpx.HTTPError, KeyError):
                    if process.poll() is not None or time.monotonic() > end:
                        pytest.fail("the server did not start:\n" + log.read_text()[-3000:])
                time.sleep(0.3)
            yield url
        finally:
            process.terminate()
            process.wait(20)


class Watched:
    """A page together with everything it asked the network for and complained about."""

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.host = url
        page.on("request", lambda r: self.requests.append(r.url))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))

    @property
    def external(self) -> list[str]:
        """Requests to anybody but the server itself."""
        own = (self.host, "data:", "blob:", "about:")
        return [url for url in self.requests if not url.startswith(own)]

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
