"""A page for this computer talks to nobody: `python app.py` under a hook that refuses every connection (C5).

The hook is an audit hook in a `sitecustomize` module, so it stands in the server and in the decoding processes
alike, before any line of this program runs. It refuses to unpickle, too (D1).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest

from omnivmed.resources import samples_dir
from tests.service.conftest import free_port
from tests.service.page_client import PageClient

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
HOOK = """
import os, sys
_HERE = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None)
_told = os.open({pipe!r}, os.O_WRONLY | os.O_NONBLOCK)

def _hook(event, args):
    if event == "socket.connect" or event == "socket.sendto":
        target = args[1][0] if isinstance(args[1], tuple) else "unix"
        foreign = target not in (*_HERE, "unix")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        target = args[0].decode() if isinstance(args[0], bytes) else args[0]
        foreign = target not in _HERE
    elif event == "pickle.find_class":  # anything that is unpickled and more than plain numbers and words
        target, foreign = ".".join(args), True
    else:
        return
    if foreign:
        os.write(_told, f"{{event}} {{target}}\\n".encode())
        raise ConnectionRefusedError("neither connections nor pickles are allowed in this test")

sys.addaudithook(_hook)
os.write(_told, f"hooked {{os.getpid()}}\\n".encode())
"""


@dataclass
class Served:
    """A running `python app.py`."""

    url: str
    process: subprocess.Popen[bytes]
    pipe: int

    def told(self) -> list[str]:
        """Everything the hooks said since the last call."""
        data = b""
        while True:
            try:
                piece = os.read(self.pipe, 65536)
            except BlockingIOError:
                break
            if not piece:
                break
            data += piece
        return data.decode().splitlines()


@contextmanager
def serve(tmp_path: Path, *options: str, before: tuple[str, ...] = ()) -> Iterator[Served]:
    pipe = tmp_path / "told"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HOOK.format(pipe=str(pipe)))
    port = free_port()
    temp = tmp_path / "temp"
    temp.mkdir()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*before, sys.executable, str(ROOT / "app.py"), "--port", str(port), *options],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,  # a group of its own: what is traced ends with its tracer
            env={**os.environ, "PYTHONPATH": str(hooks), "TMPDIR": str(temp)},
        )
    served = Served(f"http://127.0.0.1:{port}", process, reader)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"{served.url}/healthz", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield served
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(reader)


def use(page: PageClient) -> None:
    """A sample, an upload, both pages of the site: all that a visitor does but ask."""
    page.open_first()
    page.open_upload(samples_dir() / "mr_head.nii.gz")
    page.open_sample("echo_cine")
    for path in ("/", "/teach"):
        html = page.get(path).text
        assert re.findall(r'(?:src|href|action)="((?:https?:)?//[^"]+)"', html) == []
        assert not re.search(r"@import|url\(['\"]?https?:", html)


def test_the_hook_refuses_and_tells(tmp_path: Path) -> None:
    pipe = tmp_path / "told"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "sitecustomize.py").write_text(HOOK.format(pipe=str(pipe)))
    code = (
        "import pickle, socket, fractions\n"
        "data = pickle.dumps(fractions.Fraction(1, 3))\n"
        "for work in (lambda: socket.create_connection(('198.51.100.7', 80), 1),\n"
        "             lambda: socket.getaddrinfo('example.com', 80),\n"
        "             lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('198.51.100.7', 53)),\n"
        "             lambda: pickle.loads(data)):\n"
        "    try:\n        work()\n    except ConnectionRefusedError:\n        print('refused')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    told = os.read(reader, 65536).decode()
    os.close(reader)
    assert run.stdout.split() == ["refused"] * 4, run.stderr
    for word in ("198.51.100.7", "example.com", "sendto", "fractions"):
        assert word in told


@cache
def weights_are_here() -> bool:
    """Asked of a process of its own, as the app will be: other tests may have changed this one."""
    code = "from omnivmed import weights; weights.fetch_backbone(weights.SMOLLM2, offline=True)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    return run.returncode == 0


def wait_for_model(page: PageClient, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    state = "waiting"
    while time.monotonic() < deadline and state in ("waiting", "loading"):
        state = page.get("/healthz").json()["model"]
        time.sleep(0.2)
    return str(state)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("offline", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_c5_a_local_start_talks_to_nobody(tmp_path: Path, offline: bool) -> None:
    """A plain start where the weights are in the cache (else it would rightly fetch them once), or one --offline."""
    with_model = weights_are_here()
    with serve(tmp_path, *(("--offline",) if offline or not with_model else ())) as served:
        page = PageClient(served.url)
        use(page)
        if with_model:
            assert wait_for_model(page, 240) == "ready"
            assert "tokens out" in page.ask("What kind of video is this?")
        told = served.told()
    assert sum(line.startswith("hooked") for line in told) >= 2  # the server and the decoders' first process
    assert [line for line in told if not line.startswith("hooked")] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (Debian: apt-get install strace)")
def test_c5_no_process_of_a_local_start_connects_anywhere_as_the_system_sees_it(tmp_path: Path) -> None:
    log = tmp_path / "calls.txt"
    tracer = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg", "-o", str(log))
    with serve(tmp_path, before=tracer) as served:
        page = PageClient(served.url)
        use(page)
        if weights_are_here():
            assert wait_for_model(page, 240) == "ready"
            assert "tokens out" in page.ask("What kind of video is this?")
    called = [line for line in log.read_text().splitlines() if re.search(r"sa_family=AF_INET6?\b", line)]
    assert called  # the page's own request to itself when it starts
    here = re.compile(r'inet_addr\("127\.0\.0\.1"\)|"::1"|inet_addr\("0\.0\.0\.0"\)')
    assert [line for line in called if not here.search(line)] == []
