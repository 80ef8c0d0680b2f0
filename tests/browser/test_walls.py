"""The walls around the page, seen from inside a browser."""

from __future__ import annotations

import http.server
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.browser.conftest import Watched
from tests.conftest import CHROMIUM_FLAGS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
Opener = Callable[..., Watched]

ATTACK = """
async (target) => {
  const form = new FormData();
  form.append('files', new Blob(['x']), 'x.dcm');
  const sent = await fetch(target + '/gradio_api/upload', { method: 'POST', body: form, mode: 'no-cors' })
    .then((answer) => answer.type, () => 'refused');
  let read = 'refused';
  try { read = await (await fetch(target + '/config')).text(); } catch (e) { /* as it should be */ }
  return [sent, read.includes('"components"') ? 'read' : 'refused'];
}
"""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Another web page on this computer, under another name and port."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_page_lives_within_its_policy(open_page: Opener) -> None:
    """A sample, a question, the teaching page: not one complaint of the browser about the policy."""
    for path in ("/", "/teach"):
        watched = open_page(path)
        if path == "/":
            watched.wait_for_study(112)
            watched.page.fill("#ov-question textarea", "Which organ is shown?")
            watched.page.click("#ov-ask")
            watched.page.wait_for_function(
                "document.querySelector('#ov-chat').innerText.includes('You asked')"
            )
        else:
            watched.page.wait_for_selector("svg")
        watched.page.wait_for_timeout(1000)
        assert [text for text in watched.errors if "Content Security Policy" in text] == []
        assert watched.external == []
        script = "() => fetch('http://127.0.0.1:9/x').then(() => 'sent', () => 'kept')"
        assert watched.page.evaluate(script) == "kept"
        assert any(
            "Content Security Policy" in text for text in watched.errors
        )  # the policy is really in force


def test_another_web_page_can_neither_send_nor_read(browser: Any, server: str, elsewhere: str) -> None:
    page = browser.new_context().new_page()
    page.goto(elsewhere)
    before = httpx.get(f"{server}/healthz").json()["waiting_upload_bytes"]
    assert page.evaluate(ATTACK, server) == ["refused", "refused"]
    assert httpx.get(f"{server}/healthz").json()["waiting_upload_bytes"] == before
    page.context.close()


def test_the_page_cannot_be_framed_by_another(browser: Any, server: str, elsewhere: str) -> None:
    page = browser.new_context().new_page()
    page.goto(elsewhere)
    page.evaluate(
        "t => { const f = document.createElement('iframe'); f.src = t; document.body.append(f); }", server
    )
    page.wait_for_timeout(2000)
    framed = [f for f in page.frames if f != page.main_frame]
    assert all("omnivmed" not in f.content().lower() for f in framed)
    page.context.close()


def test_the_profile_keeps_nothing_of_a_closed_study(server: str, tmp_path: Path, browser: Any) -> None:
    """Pixels, session and file name of an upload are nowhere in what Chromium leaves on disk."""
    picture = tmp_path / "Zebrowski.png"
    Image.effect_noise((256, 256), 80).save(picture)
    profile = tmp_path / "profile"
    play = browser.browser_type
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    context = play.launch_persistent_context(
        str(profile), executable_path=chromium, headless=True, args=CHROMIUM_FLAGS
    )
    page = context.new_page()
    addresses: list[str] = []
    page.on("request", lambda r: addresses.append(r.url))
    page.goto(server)
    page.wait_for_function("document.querySelector('#viewer [data-ready]')?.dataset.ready === 'true'")
    page.set_input_files("#ov-upload input[type=file]", str(picture))
    page.wait_for_function(
        "() => { const r = document.querySelector('#viewer [data-ready]'); const v = r && r.view;"
        " return !!(v && v.header && v.header.source_shape[1] === 256); }"
    )
    page.fill("#ov-question textarea", "Is this Zebrowski?")
    page.click("#ov-ask")
    page.wait_for_function("document.querySelector('#ov-chat').innerText.includes('You asked')")
    session = next(m[1] for url in addresses if (m := re.search(r"session_hash=(\w+)", url)))
    payload = next(m[1] for url in addresses if (m := re.search(r"/file=[^?]*?(\w{32}/study-\w+)\.omv", url)))
    context.close()
    left = {path: path.read_bytes() for path in profile.rglob("*") if path.is_file()}
    assert left
    for secret in (session.encode(), payload.encode(), b"Zebrowski", b"gradio_api/file="):
        assert [str(path.relative_to(profile)) for path, data in left.items() if secret in data] == []
