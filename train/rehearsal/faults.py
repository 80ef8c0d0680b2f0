"""Things that happen at night, done to a running group of processes from outside: signals, limits, a slowed disk.

None of them asks the trained code to pretend: a process is killed by the system, a write fails because the system
refuses it, a weight becomes NaN in memory, a byte on the disk changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil  # accelerate depends on it

POISON = """\
import os
if os.environ.get("RANK") == "0":
    from train.rehearsal import poison
    poison.put()
"""
"""Python reads a file of this name before anything else; it stands in a folder of its own."""


def workers(launcher: subprocess.Popen[bytes]) -> dict[int, psutil.Process]:
    """Rank -> process of a running group; empty while it begins."""
    out: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(launcher.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                name = child.environ().get("RANK", "")
                if name.isdigit() and int(name) not in out and "torch.distributed.run" not in child.cmdline():
                    out[int(name)] = child
    return out


def power_cut(launcher: subprocess.Popen[bytes]) -> None:
    """Every process gone at once, without a signal that it could answer. torchrun's processes have sessions of their
    own: a signal to the launcher's group does not reach them."""
    every: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        every = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
    for process in every:
        with contextlib.suppress(psutil.Error):
            process.kill()


def rank_dies(launcher: subprocess.Popen[bytes], rank: int = 1) -> None:
    """One process is killed, as the system does when memory is short."""
    workers(launcher)[rank].kill()


def time_limit(launcher: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the whole group, as a scheduler sends it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(launcher.pid, signal.SIGTERM)


def full_disk(launcher: subprocess.Popen[bytes], limit: int) -> None:
    """No file of these processes may grow past `limit` bytes: the system refuses the rest of a checkpoint."""
    for process in workers(launcher).values():
        process.rlimit(psutil.RLIMIT_FSIZE, (limit, limit))


def slow_disk(launcher: subprocess.Popen[bytes], seconds: float, delay_ms: int = 30) -> bool:
    """Every opening of a file takes so much longer for a while. False where the system does not let strace attach."""
    if shutil.which("strace") is None:
        return False
    every = [
        p for process in workers(launcher).values() for p in (process, *process.children(recursive=True))
    ]
    call = ["strace", "-f", "-q", "-o", os.devnull, "-e", "trace=openat"]
    call += ["-e", f"inject=openat:delay_exit={delay_ms * 1000}"]
    for process in every:
        call += ["-p", str(process.pid)]
    attached = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        attached.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        attached.send_signal(signal.SIGINT)  # lets the processes go on
        attached.wait(20)


def change_a_byte(checkpoint: Path) -> str:
    """Of the largest file of a checkpoint, in its middle; returns the file's name."""
    file = max((p for p in checkpoint.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte[0] ^ 0x40]))
    return file.name


def poisoned(folder: Path, stage: str, step: int) -> dict[str, str]:
    """Environment of a start in which a weight of the first process becomes NaN at that step."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(POISON, encoding="utf-8")
    paths = [
        str(folder),
        str(Path(__file__).resolve().parents[2]),
        *os.environ.get("PYTHONPATH", "").split(os.pathsep),
    ]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "REHEARSAL_POISON": json.dumps([stage, step])}


def wait_for_step(launcher: subprocess.Popen[bytes], metrics: Path, step: int, limit_s: float) -> bool:
    """Whether training logged that step while it ran."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if last_step(metrics) >= step:
            return launcher.poll() is None
        if launcher.poll() is not None:
            return False
        time.sleep(0.1)
    raise TimeoutError(f"step {step} was not reached within {limit_s:g} s")


def last_step(metrics: Path) -> int:
    """The newest step of a metrics file, 0 without one."""
    try:
        lines = metrics.read_bytes().splitlines()
    except FileNotFoundError:
        return 0
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError):
            return int(json.loads(line)["step"])
    return 0
