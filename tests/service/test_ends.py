"""C3: however the program is told to stop, in the middle of an answer: no file stays, nobody is left, in 3 s."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import free_port
from tests.service.page_client import PageClient

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import sys
from pathlib import Path
from omnivmed.ui.visit.environment import prepare
root = prepare(offline=True, base=Path(sys.argv[1]))
from omnivmed.ui.visit.settings import AppSettings
from omnivmed.ui.web.launch import launch
from omnivmed.ui import app
from tests.scripted import ScriptedAssistant
slow = ScriptedAssistant(tokens_per_second=2, script=lambda *_: "word " * 200)
context = app.make_context(AppSettings(model="scripted", port=int(sys.argv[2])), root, lambda *_, **__: slow)
launch(app.build_demo(context), context, warm=False)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """A page in a process of its own: (process, address, folder of its files)."""
    port, files = free_port(), tmp_path / "root"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(files), str(port)], cwd=ROOT, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            httpx.get(f"{url}/healthz").raise_for_status()
            break
        except httpx.HTTPError:
            time.sleep(0.2)
    yield process, url, files
    process.kill()
    process.wait()
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert f"Open {url} in a browser" in said
    assert "public link" not in said, "the framework's invitation to open a tunnel"


def children_of(pid: int) -> list[int]:
    """Living processes below `pid`, at any depth (Linux)."""
    found = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [deeper for child in found for deeper in children_of(child)]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at /proc")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_c3_told_to_stop_in_the_middle_of_an_answer(
    program: tuple[subprocess.Popen[bytes], str, Path], tmp_path: Path, name: str
) -> None:
    process, url, files = program
    page = PageClient(url)
    upload = tmp_path / "jane_doe.png"
    upload.write_bytes((ROOT / "assets/figures/app.png").read_bytes())
    page.open_upload(upload)
    waiting = tmp_path / "second.png"
    waiting.write_bytes(upload.read_bytes() + b"\0")
    page.upload(waiting)  # sent, never opened
    page.begin("What is this?")
    words = page.answer()
    next(words)
    assert any(path.is_file() and path.name != "alive" for path in files.rglob("*"))
    below = children_of(process.pid)
    began = time.monotonic()
    os.kill(process.pid, getattr(signal, name))
    process.wait(10)
    assert time.monotonic() - began < 3
    assert process.returncode == (130 if name == "SIGINT" else 0)
    assert [path for path in files.rglob("*") if path.is_file()] == []
    end = time.monotonic() + 3
    while any(Path(f"/proc/{pid}").exists() for pid in below) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in below)
