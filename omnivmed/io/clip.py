"""Clips as frame sources: decoded when asked for, in the worker or in-process, with a small memory of recent frames."""

from __future__ import annotations

import abc
import math
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import WARNING_CODES, StudyError
from omnivmed.frames import Shaped
from omnivmed.io import pool, wire
from omnivmed.io.job import Clip
from omnivmed.limits import Limits
from omnivmed.resample import resize_frames

CHUNK_BYTES = 32 * 1024 * 1024


class ClipSource(Shaped, abc.ABC):
    """What both have in common: cache, order of decoding, late warnings. Thread-safe."""

    def __init__(
        self, shape: tuple[int, int, int], channels: int, dtype: np.dtype[Any], limits: Limits
    ) -> None:
        self._shape = shape
        self._channels = channels
        self._dtype = dtype
        self._limits = limits
        self._lock = threading.RLock()
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._problems: list[tuple[str, str]] = []
        self._closed = False

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(H,W) or (H,W,3)."""
        return (*self._shape[1:], 3) if self._channels == 3 else self._shape[1:]

    @property
    def frame_bytes(self) -> int:
        """Size of one decoded frame."""
        return math.prod(self.frame_shape) * self._dtype.itemsize

    def read(self, indices: Sequence[int]) -> NDArray[Any]:
        """Frames in the order asked; each missing one is decoded once, in rising order, which is the cheap one."""
        with self._lock:
            if self._closed:
                raise ValueError("this study was closed; open it again")
            result = np.empty((len(indices), *self.frame_shape), self._dtype)
            places: dict[int, list[int]] = {}
            for place, index in enumerate(indices):
                held = self._cache.get(index)
                if held is None:
                    places.setdefault(index, []).append(place)
                else:
                    self._cache.move_to_end(index)
                    result[place] = held
            for index, frame in self._decode(sorted(places)):
                for place in places[index]:
                    result[place] = frame
                self._remember(index, frame)
            return result

    def read_resized(self, indices: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """uint8 (n, h, w, 3) of RGB frames, made smaller where they are decoded; None for grey ones."""
        if self._channels != 3:
            return None
        with self._lock:
            if self._closed:
                raise ValueError("this study was closed; open it again")
            result = np.empty((len(indices), *size, 3), np.uint8)
            places: dict[int, list[int]] = {}
            for place, index in enumerate(indices):
                held = self._cache.get(index)
                if held is None:
                    places.setdefault(index, []).append(place)
                else:
                    result[place] = resize_frames([held], size)[0]
            for index, frame in self._decode(sorted(places), size):
                for place in places[index]:
                    result[place] = frame
            return result

    def problems(self) -> list[tuple[str, str]]:
        """(warning code, sentence) of whatever came up while frames were decoded."""
        return list(self._problems)

    def close(self) -> None:
        """Forget the decoded frames; nothing can be read afterwards."""
        with self._lock:
            self._closed = True
            self._cache.clear()

    @abc.abstractmethod
    def _decode(
        self, indices: Sequence[int], size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """(index, frame) for each of these rising indices, RGB ones resized to `size` if it is given. Raises
        StudyError."""

    def _remember(self, index: int, frame: NDArray[Any]) -> None:
        room = self._limits.frame_cache_bytes // max(1, self.frame_bytes)
        if room < 1:
            return
        self._cache[index] = np.array(frame)
        while len(self._cache) > room:
            self._cache.popitem(last=False)

    def _note(self, problems: Sequence[Sequence[str]]) -> None:
        for code, sentence in problems:
            entry = (str(code), str(sentence)[: pool.MAX_SENTENCE])
            if entry[0] in WARNING_CODES and entry not in self._problems:
                self._problems.append(entry)


class LocalClip(ClipSource):
    """Decoding in this process."""

    def __init__(self, clip: Clip, limits: Limits) -> None:
        super().__init__(clip.shape, clip.channels, clip.dtype, limits)
        self._clip = clip

    def _decode(
        self, indices: Sequence[int], size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        for index in indices:
            frame = self._clip.frame(index)
            yield index, frame if size is None else resize_frames([frame], size)[0]
            self._note(self._clip.problems())

    def close(self) -> None:
        """Close the file, too."""
        super().close()
        self._clip.close()


class RemoteClip(ClipSource):
    """Decoding in a worker that stays open; a worker that went away (idle, crash, eviction) is replaced when needed."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        channels: int,
        dtype: np.dtype[Any],
        limits: Limits,
        child: pool.Child,
        reopen: Callable[[], pool.Child],
        release: Callable[[], None],
    ) -> None:
        super().__init__(shape, channels, dtype, limits)
        self._reopen = reopen
        self._block: wire.Block | None = None
        self._holder: list[pool.Child] = [child]
        self._finish = weakref.finalize(self, _end, self._holder, release)
        pool.keep_clip(child)

    def _decode(
        self, indices: Sequence[int], size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        most = 16 if size is not None else max(1, min(16, CHUNK_BYTES // self.frame_bytes))
        for i in range(0, len(indices), most):
            chunk = list(indices[i : i + most])
            try:
                frames = self._ask(chunk, size)
            except wire.Closed:
                frames = self._ask(chunk, size)
            for k, index in enumerate(chunk):
                yield index, frames[k]

    def _child(self) -> pool.Child:
        child = self._holder[0]
        if child.ended:
            child = self._reopen()
            self._holder[0] = child
            self._block = None
            pool.keep_clip(child)
        return child

    def _ask(self, chunk: list[int], size: tuple[int, int] | None) -> NDArray[Any]:
        """Frames of one request, in a view of the shared block. Closed when the worker had gone before the request."""
        child = self._child()
        child.busy = True
        try:
            return self._answer(child, chunk, size)
        finally:
            child.busy = False

    def _answer(self, child: pool.Child, chunk: list[int], size: tuple[int, int] | None) -> NDArray[Any]:
        done = 0
        shape = (len(chunk), *(self.frame_shape if size is None else (*size, 3)))
        needed = math.prod(shape) * self._dtype.itemsize
        try:
            child.send({"op": "frames", "indices": chunk, "size": size})
            while done < len(chunk):
                # Patience counts per frame: each one is a sign of life.
                try:
                    message, extra = child.receive(time.monotonic() + self._limits.worker_wall_s)
                except StudyError:
                    if done == 0 and self._was_idle(child):
                        raise wire.Closed from None
                    raise
                wire.close_all(extra)
                if message.get("op") == "allocate":
                    self._block = wire.Block.create(needed)
                    child.send({"op": "memory"}, [self._block.fd])
                    self._block.close_fd()
                elif message.get("op") == "frame":
                    done += 1
                    self._note(message.get("problems", []))
                else:
                    raise pool.reported(message)
        except wire.Closed:
            child.end()
            raise
        if self._block is None or self._block.nbytes < needed:
            raise StudyError("Corrupt", "The clip could not be decoded; export it again.")
        return np.frombuffer(self._block.memory, self._dtype, math.prod(shape)).reshape(shape)

    @staticmethod
    def _was_idle(child: pool.Child) -> bool:
        return child.ended and child.status == 0

    def close(self) -> None:
        """End the worker process, too."""
        super().close()
        self._finish()


def _end(holder: list[pool.Child], release: Callable[[], None]) -> None:
    holder[0].retire()
    release()
