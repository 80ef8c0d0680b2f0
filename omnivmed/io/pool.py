"""The door's side of the workers: start them, bound them, and turn any death into an error class.

One first process (`omnivmed.io.worker`) is started when it is first needed, or by `warm_up`; it forks one child per
study. Children that decode are limited in number; children of open clips stay until the oldest is closed.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omnivmed.errors import STUDY_ERROR_CODES, StudyError
from omnivmed.io import wire
from omnivmed.io.handle import Handle
from omnivmed.limits import Limits, size
from omnivmed.progress import Progress

Report = Callable[[dict[str, Any], list[wire.Block]], None]
START_S = 60.0
MAX_SENTENCE = 400


class Child:
    """One worker of one study."""

    def __init__(self, sock: socket.socket, pid: int, limits: Limits, family: Family) -> None:
        self._sock = sock
        self._family = family
        self.pid = pid
        self.limits = limits
        self.ended = False
        self.status = 0
        self.busy = False  # answering a request: not to be ended for room
        self.last_used = time.monotonic()

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Hand over one message, and open descriptors with it."""
        self.last_used = time.monotonic()
        wire.send(self._sock, message, fds)

    def receive(self, deadline: float) -> tuple[dict[str, Any], list[int]]:
        """Next message before the deadline and within the wall clock of one sign of life; StudyError otherwise."""
        patience = min(self.limits.worker_wall_s, deadline - time.monotonic())
        if patience <= 0:  # however much it has to tell
            self.end()
            raise too_slow(self.limits)
        self._sock.settimeout(patience)
        try:
            return wire.receive(self._sock)
        except TimeoutError:
            self.end()
            raise too_slow(self.limits) from None
        except wire.Closed:
            raise death(self.end(), self.limits) from None

    def end(self) -> int:
        """Close, kill if need be, and bury. The exit code, negative for a signal."""
        if not self.ended:
            self.ended = True
            self._sock.close()
            self.status = self._family.bury(self.pid)
        return self.status

    def retire(self) -> None:
        """End without a fault: its clip opens another one when asked. Safe from a finalizer: waits for nobody."""
        if not self.ended:
            self.ended = True
            self._sock.close()
            self._family.bury_later(self.pid)


class Family:
    """The first process and its children. One per program, restarted when it dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._graves: deque[int] = deque()
        self.starts = 0  # how often its process had to be started
        self.walls: dict[str, bool] = {}  # which walls of the sandbox stand on this machine
        self.last_peak_bytes = 0  # largest resident size of the child that ended last

    def fork(self, limits: Limits) -> Child:
        """A fresh child, ready for one request."""
        for attempt in (0, 1):
            ours, theirs = socket.socketpair()
            try:
                with self._lock:
                    control = self._started()
                    self._fill_graves()
                    wire.send(control, {"op": "fork"}, [theirs.fileno()])
                    message, _ = wire.receive(control)
                return Child(ours, int(message["pid"]), limits, self)
            except (wire.Closed, TimeoutError, OSError):
                ours.close()
                self.stop()
                if attempt:
                    raise StudyError(
                        "Unsupported", "The decoder could not be started on this machine; see doctor."
                    ) from None
            finally:
                theirs.close()
        raise AssertionError("unreachable")

    def bury(self, pid: int) -> int:
        """Kill the child unless it has ended, and take its exit code, negative for a signal."""
        with self._lock:
            self._fill_graves()
            return self._bury(pid)

    def bury_later(self, pid: int) -> None:
        """The same without waiting for the lock, which this very thread may hold: now if it is free, else next time."""
        self._graves.append(pid)
        if self._lock.acquire(blocking=False):
            try:
                self._fill_graves()
            finally:
                self._lock.release()

    def _fill_graves(self) -> None:
        while self._graves:
            self._bury(self._graves.popleft())

    def _bury(self, pid: int) -> int:
        if self._control is None:
            return -int(signal.SIGKILL)
        try:
            wire.send(self._control, {"op": "end", "pid": pid})
            message, _ = wire.receive(self._control)
        except (wire.Closed, TimeoutError):
            return -int(signal.SIGKILL)
        self.last_peak_bytes = int(message["peak_memory"])
        return int(message["status"])

    def forget(self) -> None:
        """After a fork of the whole program: the processes belong to the parent; this one starts its own."""
        self._lock = threading.Lock()
        if self._control is not None:
            self._control.close()
        self._control = None
        self._process = None
        self._graves.clear()

    def start(self) -> None:
        """Start the first process now, so that the first study does not wait for its imports."""
        with self._lock:
            self._started()

    def stop(self) -> None:
        """End the first process and with it every child."""
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=5)
                if self._process.poll() is None:
                    self._process.kill()
                    self._process.wait()
                self._process = None

    def _started(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        if self._control is not None:
            self._control.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "omnivmed.io.worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=os.path.abspath(os.sep),
                env=_environment(),
            )
        ours.settimeout(START_S)
        message, _ = wire.receive(ours)
        self.walls = {str(k): bool(v) for k, v in message["walls"].items()}
        self.starts += 1
        self._control = ours
        return ours


def _environment() -> dict[str, str]:
    """Only what an interpreter needs: no tokens, no proxies, one thread per library."""
    package_parent = str(Path(__file__).resolve().parents[2])
    kept = {k: os.environ[k] for k in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if k in os.environ}
    inherited = [p for p in sys.path if p and p != package_parent]
    return kept | {
        "PYTHONPATH": os.pathsep.join([package_parent, *inherited]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def supported() -> bool:
    """True where a worker can be forked and handed descriptors (Linux, macOS)."""
    return hasattr(os, "fork") and hasattr(socket, "SCM_RIGHTS")


FAMILY = Family()
_turns = threading.Condition()
_busy = 0
_clips: list[Child] = []


@contextmanager
def turn(limits: Limits) -> Iterator[None]:
    """Wait until fewer than `limits.workers` studies are being decoded."""
    global _busy
    with _turns:
        _turns.wait_for(lambda: _busy < limits.workers)
        _busy += 1
    try:
        yield
    finally:
        with _turns:
            _busy -= 1
            _turns.notify()


def keep_clip(child: Child) -> None:
    """A child that stays for its clip; above the limit the one unused for longest gives way."""
    with _turns:
        _clips[:] = [c for c in _clips if not c.ended]
        surplus = len(_clips) + 1 - child.limits.open_clips
        idle = sorted((c for c in _clips if not c.busy), key=lambda c: c.last_used)
        _clips.append(child)
    for old in idle[: max(0, surplus)]:
        old.retire()


def read_remote(
    files: Sequence[Handle],
    limits: Limits,
    series: int | None,
    progress: Progress | None,
    glimpse: Report | None = None,
) -> tuple[dict[str, Any], list[wire.Block], Child]:
    """Let a child read these files: its report, the blocks it filled, and the child (which the caller ends).

    `glimpse` is called once at most, with the report of one slice that can be looked at while the rest is read.

    Raises StudyError for whatever the child reports and for whatever befalls it.
    """
    child = FAMILY.fork(limits)
    blocks: list[wire.Block] = []
    try:
        first = [f.open() for f in files[:1]]
        try:
            child.send(
                {
                    "limits": asdict(limits),
                    "series": series,
                    "glimpse": glimpse is not None,
                    "files": [{"extension": f.extension, "size": f.size} for f in files],
                },
                first,
            )
        finally:
            wire.close_all(first)
        deadline = time.monotonic() + limits.worker_total_s
        while True:
            message, extra = child.receive(deadline)
            wire.close_all(extra)
            op = message.get("op")
            if op == "allocate":
                blocks.append(_hand_memory(child, message, limits, sum(b.nbytes for b in blocks)))
            elif op == "open":
                _hand_file(child, files, message)
            elif op == "progress":
                if progress is not None:
                    progress(str(message["stage"])[:40], int(message["done"]), int(message["total"]))
            elif op == "glimpse":
                if glimpse is not None:
                    glimpse(message, blocks)
                    glimpse = None
            elif op == "study":
                return message, blocks, child
            else:
                raise reported(message)
    except wire.Closed:
        raise death(child.end(), limits) from None
    except (KeyError, TypeError, ValueError, IndexError):  # a message that does not fit: no longer trusted
        child.end()
        raise StudyError(
            "Corrupt", "The file is damaged and could not be decoded; export it again."
        ) from None
    except BaseException:
        child.end()
        raise


def _hand_memory(child: Child, message: dict[str, Any], limits: Limits, already: int) -> wire.Block:
    from omnivmed.io.job import check_bytes

    nbytes = check_bytes(tuple(int(n) for n in message["shape"]), str(message["dtype"]), limits)
    if already + nbytes > 2 * limits.raw_voxel_bytes:
        raise StudyError(
            "TooLarge",
            f"The study unpacks to more than twice the limit of {size(limits.raw_voxel_bytes)}; send a part of it.",
        )
    block = wire.Block.create(nbytes)
    child.send({"op": "memory"}, [block.fd])
    block.close_fd()
    return block


def _hand_file(child: Child, files: Sequence[Handle], message: dict[str, Any]) -> None:
    fd = files[int(message["index"])].open()
    try:
        child.send({"op": "file"}, [fd])
    finally:
        os.close(fd)


def reported(message: dict[str, Any]) -> StudyError:
    """The error a child reported; an unknown code or an odd message becomes Corrupt."""
    code, sentence = message.get("code"), message.get("message")
    if message.get("op") != "error" or code not in STUDY_ERROR_CODES or not isinstance(sentence, str):
        return StudyError("Corrupt", "The file is damaged and could not be decoded; export it again.")
    return StudyError(code, sentence[:MAX_SENTENCE])


def too_slow(limits: Limits) -> StudyError:
    """No sign of life in time."""
    return StudyError(
        "TooLarge",
        f"Decoding took longer than {limits.worker_wall_s:g} s and was stopped; send a smaller part of the study.",
    )


def death(status: int, limits: Limits) -> StudyError:
    """What the end of a child means to the person who sent the file."""
    if sys.platform != "win32":
        if status == -signal.SIGXCPU:
            return too_slow(limits)
        if status == -signal.SIGKILL:
            return StudyError(
                "TooLarge",
                "The decoder ran out of memory or time and was stopped; send a smaller part of the study.",
            )
    return StudyError(
        "Corrupt", "The file made the decoder stop, so it is damaged or unsafe; export it again."
    )


atexit.register(FAMILY.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=FAMILY.forget)
