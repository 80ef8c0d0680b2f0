"""The decoding side. Started as `python -m omnivmed.io.worker`, before and apart from anything that loads torch.

The first process imports every reader once, seals itself in (`sandbox`), and then only forks: one child per study,
which reads it under its own limits, hands the pixels over in shared memory and ends, or stays while a clip is open.
A child never opens a path: files arrive as open descriptors. Nothing it prints goes anywhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import os
import select
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from omnivmed.errors import StudyError
from omnivmed.io import sandbox, wire
from omnivmed.io.job import Clip, Reading, Upload, check_bytes
from omnivmed.limits import Limits
from omnivmed.resample import resize_frames

BESIDE = 5  # steps of niceness: whoever clicks or reads an answer goes before somebody else's decoding
IDLE_S = 900.0  # a clip nobody looks at frees its process; the study reopens it when asked
ODD_FAILURE = StudyError("Corrupt", "The file is damaged and could not be decoded; export it again.")
NO_MEMORY = StudyError(
    "TooLarge", "The study needs more memory than a decoder may use; send a smaller version."
)


class RemoteDesk:
    """The worker's desk: memory is made by the door, which checks the size again; every report renews the CPU limit."""

    def __init__(self, sock: socket.socket, limits: Limits, wants_glimpse: bool = False) -> None:
        self._sock = sock
        self._limits = limits
        self.wants_glimpse = wants_glimpse
        self._reported = 0.0
        self.blocks: list[wire.Block] = []
        self.arrays: list[NDArray[Any]] = []

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in shared memory that the door made, once its size is within the limits. Raises StudyError."""
        nbytes = check_bytes(shape, dtype, self._limits)
        kind = np.dtype(dtype)
        wire.send(self._sock, {"op": "allocate", "shape": list(shape), "dtype": kind.str})
        _, fds = wire.receive(self._sock)
        block = wire.Block(fds[0], nbytes)
        self.blocks.append(block)
        self.arrays.append(
            np.frombuffer(block.memory, kind, int(np.prod(shape, dtype=np.int64))).reshape(shape)
        )
        return self.arrays[-1]

    def block_of(self, array: NDArray[Any]) -> int:
        """Place of the block that this array begins."""
        start = array.__array_interface__["data"][0]
        return next(i for i, a in enumerate(self.arrays) if a.__array_interface__["data"][0] == start)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Tell the door where the work is, at most every 0.05 s; each sign of life earns more CPU time."""
        now = time.monotonic()
        if now - self._reported < 0.05 and done < total:
            return
        self._reported = now
        sandbox.more_cpu(self._limits.worker_cpu_s)
        wire.send(self._sock, {"op": "progress", "stage": stage, "done": int(done), "total": int(total)})

    def glimpse(self, reading: Reading) -> None:
        """Send the first look, once, where the door wants one."""
        if self.wants_glimpse:
            self.wants_glimpse = False  # one is enough
            wire.send(self._sock, {**_message(reading, self), "op": "glimpse"})


def serve_study(sock: socket.socket) -> None:
    """One study from request to end, in a forked child."""
    request, fds = wire.receive(sock)
    limits = Limits(**request["limits"])
    sandbox.limit_self(
        limits.worker_memory, limits.worker_cpu_s, int(limits.worker_total_s), limits.worker_files
    )
    desk = RemoteDesk(sock, limits, bool(request.get("glimpse")))
    if request.get("task") == "text":
        _guard(sock, lambda: _find_text(sock, request, fds, desk))
        return
    reading = _guard(sock, lambda: _read(sock, request, fds, limits, desk))
    if reading is None:
        return
    _guard(sock, lambda: _report(sock, reading, desk))
    if reading.clip is not None:
        _serve_frames(sock, reading.clip, limits, desk)


def _guard(sock: socket.socket, work: Callable[[], Any]) -> Any:
    """Run it; whatever it raises becomes one of the error classes. None after an error."""
    try:
        return work()
    except StudyError as error:
        failure = error
    except wire.Closed:
        raise
    except MemoryError:
        failure = NO_MEMORY
    except OSError as error:
        failure = NO_MEMORY if error.errno == errno.ENOMEM else ODD_FAILURE
    except (
        BaseException
    ):  # foreign panics (Rust) are not Exceptions; the message may hold header text: dropped
        failure = ODD_FAILURE
    wire.send(sock, {"op": "error", "code": failure.code, "message": failure.message})
    return None


def _read(
    sock: socket.socket, request: dict[str, Any], fds: list[int], limits: Limits, desk: RemoteDesk
) -> Reading:
    from omnivmed.io.read import read

    held = dict(enumerate(fds))

    def opener(index: int) -> Callable[[], BinaryIO]:
        def open_again() -> BinaryIO:
            if index not in held:
                wire.send(sock, {"op": "open", "index": index})
                _, handed = wire.receive(sock)
                if not handed:
                    raise StudyError("Corrupt", "A file went away while it was read; send it again.")
                fd = handed[0]
                if len(held) < 4:
                    held[index] = fd
                else:
                    return os.fdopen(fd, "rb")
            file = os.fdopen(os.dup(held[index]), "rb")
            file.seek(0)
            return file

        return open_again

    uploads = [
        Upload(entry["extension"], entry["size"], opener(i)) for i, entry in enumerate(request["files"])
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(uploads, limits, request["series"], desk)


def _find_text(sock: socket.socket, request: dict[str, Any], fds: list[int], desk: RemoteDesk) -> bool:
    """Places of text in the pictures of a block; what it says stays here."""
    from omnivmed.io import burned_in

    shape = tuple(int(n) for n in request["shape"])
    block = wire.Block(fds[0], int(np.prod(shape, dtype=np.int64)))
    pictures = np.frombuffer(block.memory, np.uint8, block.nbytes).reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        boxes = burned_in.find(pictures, lambda done: desk.progress("looking for text", done, len(pictures)))
    wire.send(sock, {"op": "text", "boxes": boxes})
    return True


def _report(sock: socket.socket, reading: Reading, desk: RemoteDesk) -> None:
    """Facts to the door."""
    wire.send(sock, _message(reading, desk))


def _message(reading: Reading, desk: RemoteDesk) -> dict[str, Any]:
    """Facts as a message. Arrays stay in the blocks the door made; which one is told by its place in the list."""
    times_s = reading.info.times_s
    info = dataclasses.replace(reading.info, times_s=None, affine=None, slice_mm=None, key_index=None)
    facts = dataclasses.asdict(info)
    affine, slice_mm = reading.info.affine, reading.info.slice_mm
    facts["slice_mm"] = None if slice_mm is None else [float(v) for v in slice_mm]
    message: dict[str, Any] = {
        "op": "study",
        "info": facts,
        "affine": None if affine is None else [float(v) for v in affine.ravel()],
        "axes": reading.axes,
        "flips": reading.flips,
    }
    if times_s is not None:
        block = desk.allocate((len(times_s),), np.float64)
        block[:] = times_s
        message["times"] = len(desk.blocks) - 1
    if reading.info.key_index is not None:
        block = desk.allocate((len(reading.info.key_index),), np.int64)
        block[:] = reading.info.key_index
        message["keys"] = len(desk.blocks) - 1
    if reading.clip is None:
        array = reading.array
        if array is None:
            raise StudyError("Corrupt", "Nothing could be decoded; export the study again.")
        message |= {"block": desk.block_of(array), "shape": list(array.shape), "dtype": array.dtype.str}
    else:
        clip = reading.clip
        message |= {"shape": list(clip.shape), "dtype": clip.dtype.str}
    return message


def _serve_frames(sock: socket.socket, clip: Clip, limits: Limits, desk: RemoteDesk) -> None:
    """Decode frames on request into one reused block, until the door hangs up or nobody asks."""
    sock.settimeout(IDLE_S)
    slots = np.empty(0, np.uint8)
    held = Held(limits.frame_cache_bytes)
    while True:
        try:
            request, _ = wire.receive(sock)
        except TimeoutError:
            return
        count, size = len(request["indices"]), request.get("size")
        shape = _frame_shape(clip, count) if size is None else (count, int(size[0]), int(size[1]), 3)
        needed = int(np.prod(shape, dtype=np.int64)) * clip.dtype.itemsize
        if len(slots) < needed:
            slots = desk.allocate((needed,), np.uint8)
        targets = slots[:needed].view(clip.dtype).reshape(shape)
        for k, index in enumerate(request["indices"]):
            sandbox.more_cpu(limits.worker_cpu_s)
            target = targets[k]

            def decode(index: int = index, target: NDArray[Any] = target, whole: bool = size is None) -> bool:
                if whole:
                    target[...] = held.take(clip, index)
                else:
                    target[...] = resize_frames([held.frame(clip, index)], target.shape[:2])[0]
                return True

            if _guard(sock, decode) is None:
                break
            wire.send(sock, {"op": "frame", "slot": k, "problems": clip.problems()})


class Held:
    """Whole frames of which something smaller was asked: the page asks for the same ones in full soon after."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._frames: dict[int, NDArray[Any]] = {}

    def frame(self, clip: Clip, index: int) -> NDArray[Any]:
        """This frame, kept while there is room."""
        frame = self._frames.get(index)
        if frame is None:
            frame = np.array(clip.frame(index))
            if (len(self._frames) + 1) * frame.nbytes <= self._most:
                self._frames[index] = frame
        return frame

    def take(self, clip: Clip, index: int) -> NDArray[Any]:
        """This frame, which then is kept no longer: whoever asked keeps it."""
        frame = self._frames.pop(index, None)
        return clip.frame(index) if frame is None else frame


def _frame_shape(clip: Clip, n: int) -> tuple[int, ...]:
    tail = (3,) if clip.channels == 3 else ()
    return (n, *clip.shape[1:], *tail)


def main() -> None:
    """Fork a child per request that arrives on descriptor 0; end when the door hangs up."""
    control = socket.socket(fileno=os.dup(0))
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(silence, fd)
    from omnivmed.io import preload

    preload.everything()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    walls = sandbox.seal_family()
    gc.collect()
    gc.freeze()
    children: dict[int, int | None] = {}
    wire.send(control, {"op": "ready", "walls": walls})
    while True:
        select.select([control], [], [])
        try:
            request, fds = wire.receive(control)
        except wire.Closed:
            break
        if request["op"] == "fork":
            pid = os.fork()
            if pid == 0:
                _child(control, fds[0])
            wire.close_all(fds)
            children[pid] = None
            wire.send(control, {"op": "forked", "pid": pid})
        elif request["op"] == "end" and request["pid"] in children:
            status, peak = _end(int(request["pid"]))
            wire.send(control, {"op": "ended", "status": status, "peak_memory": peak})
            del children[request["pid"]]
        else:
            wire.send(control, {"op": "ended", "status": 0, "peak_memory": 0})
    for pid in children:
        _end(pid)


def _child(control: socket.socket, fd: int) -> None:
    code = 1
    try:
        control.close()
        if hasattr(os, "nice"):
            os.nice(BESIDE)
        with socket.socket(fileno=fd) as sock, contextlib.suppress(wire.Closed):
            serve_study(sock)
            code = 0
    finally:
        os._exit(code)


def _end(pid: int) -> tuple[int, int]:
    """Kill the child unless it has ended: (exit code, negative for a signal; largest resident size in bytes)."""
    for _ in range(20):  # a child that just sent its last word needs a moment to be dead by its own hand
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.0005)
    else:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
    return os.waitstatus_to_exitcode(status), peak


if __name__ == "__main__":
    # Forget this module's __main__ copy: readers import `omnivmed.io.worker` under its own name.
    from omnivmed.io import worker

    worker.main()
    sys.exit(0)
