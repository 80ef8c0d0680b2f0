"""Every example of docs/api.md is run: Python, shell, HTTP and MCP, the latter two against a page on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnivmed import weights
from omnivmed.resources import samples_dir
from tests.docs.pages import ROOT, Block, blocks, commands, says

PAGE = ROOT / "docs" / "api.md"
BLOCKS = blocks(PAGE)
SHOWN_PORT = "127.0.0.1:7860"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; `omnivmed` and `python` are this checkout's and this interpreter's."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("python", ""), ("omnivmed", " -m omnivmed")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def fetched() -> None:
    if not weights.is_cached():
        pytest.skip(f"needs the language backbone: {weights.FETCH_COMMAND}")


def python(*tags: str, port: int | None = None) -> None:
    """Run the Python blocks with these tags, in order, as one program, each at the line where it stands on the page."""
    program = ""
    for block in BLOCKS:
        if block.language == "python" and block.tag in tags:
            program += "\n" * (block.line - program.count("\n")) + at(block.source, port)
    Path("api.py").write_text(program)
    done = subprocess.run(["python", "api.py"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def shell(*tags: str, port: int | None = None) -> None:
    """Run the commands of these tags in one shell; what each says must be what is shown."""
    run = [
        pair
        for block in BLOCKS
        if block.language == "console" and block.tag in tags
        for pair in commands(block)
    ]
    assert run
    mark = "-- end of a command --"
    script = "set -eo pipefail\n" + "".join(f"{at(command, port)}\necho '{mark}'\n" for command, _ in run)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.split(f"{mark}\n")
    for (command, shown), real in zip(run, told, strict=False):
        assert says(shown, real), f"$ {command}\nshown:\n{shown}\nsaid:\n{real}"


def at(source: str, port: int | None) -> str:
    return source if port is None else source.replace(SHOWN_PORT, f"127.0.0.1:{port}")


def test_python_without_a_model(here: Path) -> None:
    python("")


def test_shell_without_a_model(here: Path) -> None:
    shell("")
    assert (here / "overlay.png").stat().st_size > 10_000


@pytest.mark.slow
def test_python_with_the_model(here: Path, fetched: None) -> None:
    python("", "model")


@pytest.mark.slow
def test_the_readme_example(here: Path, fetched: None) -> None:
    (block,) = [block for block in blocks(ROOT / "README.md") if block.language == "python"]
    shutil.copy(samples_dir() / "mr_head.nii.gz", "head.nii.gz")
    Path("example.py").write_text(block.source)
    done = subprocess.run(["python", "example.py"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "tokens, " in done.stdout


@pytest.mark.slow
def test_shell_with_the_model(here: Path, fetched: None) -> None:
    shell("", "model")


@pytest.fixture
def port(fetched: None, here: Path) -> Iterator[int]:
    """A page that is ready to answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    command = ["omnivmed", "serve", "--offline", "--mcp", "--port", str(number)]
    with open(here / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert process.poll() is None, (here / "log").read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{number}/healthz", timeout=5) as answer:
                    if json.load(answer)["model"] == "ready":
                        break
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                pass
            time.sleep(0.2)
        yield number
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.mark.slow
def test_http_and_mcp_from_python(port: int) -> None:
    pytest.importorskip("mcp", reason="needs the package mcp (the mcp or dev extra)")
    python("", "server", port=port)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_http_from_a_shell(port: int) -> None:
    pytest.importorskip("mcp", reason="needs the package mcp (the mcp or dev extra)")
    shell("", "server", port=port)


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {(block.language, block.tag) for block in BLOCKS} == {
        (language, tag) for language in ("python", "console") for tag in ("", "model", "server")
    }


def test_what_counts_as_said() -> None:
    block = Block("console", "", "$ a b\none\n…\nlast …\n$ c\n", 1)
    assert commands(block) == [("a b", "one\n…\nlast …\n"), ("c", "")]
    assert says("one\n…\nlast …\n", "one\n2\n3\nlast line\n")
    assert says("one\n…\nlast …\n", "one\nlast \n")
    assert says("", "")
    assert not says("one\n", "one\ntwo\n")
    assert not says("", "one\n")
