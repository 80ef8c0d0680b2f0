"""Start and stop `served.py` on a checkout, on loopback, on a small disk of its own where the system gives one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.startup import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0
#: Mounts a disk of so many megabytes over the folder, seen by the program alone, and gone with it.
SMALL_DISK = 'mount -t tmpfs -o size="$1"m,mode=700 tmpfs "$2" && shift 2 && exec "$@"'


class Program:
    """A page that runs. `url` has no slash at its end."""

    def __init__(self, process: subprocess.Popen[str], url: str, small_disk: bool) -> None:
        self.process = process
        self.url = url
        self.small_disk = small_disk

    def order(self, name: str, **more: Any) -> Any:
        """Have `served.Orders.<name>` done. Raises RuntimeError when it fails or the program is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"order": name, **more}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the page ended by itself")
        told = json.loads(line)
        if "error" in told:
            raise RuntimeError(told["error"])
        return told["answer"]

    def look(self) -> dict[str, float]:
        """What the program holds now, see `served.Orders.look`."""
        found: dict[str, float] = self.order("look")
        return found

    def settle(self, within: dict[str, float], seconds: float = 60.0) -> tuple[dict[str, float], float]:
        """Wait until every named figure is at most so much, or the time is over: (figures, seconds waited)."""
        began = time.monotonic()
        while True:
            now = self.look()
            waited = time.monotonic() - began
            if all(now[name] <= most for name, most in within.items()) or waited > seconds:
                return now, waited
            time.sleep(0.5)


@contextmanager
def served(
    checkout: Path = ROOT,
    words_per_second: float = 100.0,
    small_disk_mb: int = 0,
    away_s: float | None = None,
) -> Iterator[Program]:
    """The page of this checkout with a scripted model, until the block ends.

    small_disk_mb: give its folder a disk of its own of this size; `Program.small_disk` says whether the system did.
    away_s: how long what a page leaves waits for its return, else as `Limits` has it; an older checkout has none.
    """
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, "-P", str(Path(__file__).with_name("served.py"))]
        command += [folder, str(port), str(words_per_second), *([] if away_s is None else [str(away_s)])]
        own_disk = small_disk_mb > 0 and can_mount()
        if own_disk:
            command = [*UNSHARED, SMALL_DISK, "sh", str(small_disk_mb), folder, *command]
        process = subprocess.Popen(
            command,
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _await(process, url)
            yield Program(process, url, own_disk)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


UNSHARED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def can_mount() -> bool:
    """Whether a program may have a disk of its own here (Linux, with user namespaces)."""
    if shutil.which(UNSHARED[0]) is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run([*UNSHARED, SMALL_DISK, "sh", "1", folder, "true"], capture_output=True)
    return tried.returncode == 0


def _await(process: subprocess.Popen[str], url: str) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            httpx.get(f"{url}/healthz", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the page did not start") from None
            time.sleep(0.1)
