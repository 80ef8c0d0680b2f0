"""The samples of a stage on disk, read once by one process and shared by all through memory maps.

647,031 conversations as Python objects take 1.75 GB, in every process of every card again. Here they are lines of JSON
end to end and the place where each begins; a sample exists while it is looked at.

FOLDER/training.json          samples
FOLDER/training.safetensors   starts: where each begins, int64 (n + 1,); positions, patches: int32 (n,), see `costs`
FOLDER/validation.json, .safetensors   the held-out ones, without costs
FOLDER/dropped.jsonl          rows that no reader could use, see `dropped`
FOLDER/facts.json             sizes, hashes and what is said of rows; written last
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from omnivmed.model.prompts import Tokenizer
from omnivmed.records import About, Media, Sample
from omnivmed.vision import VisionBudget
from train.data.costs import Costs, Measure
from train.data.dropped import Account
from train.data.samples import ManifestHash
from train.data.sources import stream_source
from train.recipes.config import Source

FACTS = "facts.json"
DROPPED = "dropped.jsonl"
CHUNK = 4_096
"""Samples that a process measures at a time."""
HELPERS = 8
"""Processes that measure at most; more would wait for the one that reads."""


def to_line(sample: Sample) -> bytes:
    """A sample as JSON; `of_line` gives an equal one back."""
    media, about = sample.media, sample.about
    values = [
        sample.id,
        sample.turns,
        media.kind,
        [os.fspath(path) for path in media.paths],
        [media.window, media.fps, media.num_slices, media.focus],
        [about.modality, about.task, about.source, about.patient],
    ]
    return json.dumps(
        values, separators=(",", ":")
    ).encode()  # ASCII: names that are no Unicode come back too


def of_line(line: bytes) -> Sample:
    """The sample of a line."""
    key, turns, kind, paths, (window, fps, slices, focus), about = json.loads(line)
    shown = None if window is None else (window[0], window[1])
    media = Media(kind, tuple(map(Path, paths)), shown, fps, slices, focus)
    return Sample(key, media, tuple((question, answer) for question, answer in turns), About(*about))


class Rows(Sequence[Sample]):
    """Samples behind a memory map: `rows[3]` reads one. Handed to another process it is its place on disk alone."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.starts = arrays(folder, name)["starts"]
        file = folder / f"{name}.json"
        self.text = np.memmap(file, np.uint8, "r") if self.starts[-1] else np.zeros(0, np.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.folder, self.name)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        start, stop = self.starts[place : place + 2]
        return of_line(self.text[start:stop].tobytes())


class _Writer:
    """Writes what `Rows` reads."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.json"
        self.file = self.path.open("wb")
        self.starts = array("q", [0])

    def add(self, line: bytes) -> None:
        self.file.write(line)
        self.starts.append(self.starts[-1] + len(line))

    def close(self, costs: np.ndarray | None = None) -> None:
        self.file.close()
        values = {"starts": np.asarray(self.starts, np.int64)}
        if costs is not None:
            values |= {k: np.ascontiguousarray(costs[:, i]) for i, k in enumerate(("positions", "patches"))}
        save_file(values, self.path.with_suffix(".safetensors"))


class _Measured:
    """Costs of lines in their order: measured here, or by other processes while reading goes on."""

    def __init__(self, tokenizer: Tokenizer, budget: VisionBudget, helpers: int) -> None:
        global _measure
        _measure = Measure(
            tokenizer, budget
        )  # forked processes have it from here: a tokenizer is not sent about
        self.pool = ProcessPoolExecutor(helpers, multiprocessing.get_context("fork")) if helpers else None
        self.lines: list[bytes] = []
        self.parts: list[np.ndarray] = []
        self.waiting: deque[Future[np.ndarray]] = deque()
        self.helpers = helpers

    def __enter__(self) -> _Measured:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def add(self, line: bytes) -> None:
        self.lines.append(line)
        if len(self.lines) == CHUNK:
            self._send()

    def _send(self) -> None:
        if self.pool is None:
            self.parts.append(_measured(self.lines))
        else:
            self.waiting.append(self.pool.submit(_measured, self.lines))
            while len(self.waiting) > 4 * self.helpers:  # nothing piles up
                self.parts.append(self.waiting.popleft().result())
        self.lines = []

    def all(self) -> np.ndarray:
        """int32 (n, 2): positions, patches."""
        self._send()
        self.parts += [one.result() for one in self.waiting]
        return np.concatenate(self.parts)


_measure: Measure | None = None


def _measured(lines: list[bytes]) -> np.ndarray:
    assert _measure is not None
    costs = [_measure(of_line(line)) for line in lines]
    return np.array([(cost.positions, cost.patches) for cost in costs], np.int32).reshape(-1, 2)


def write_table(
    sources: Sequence[Source],
    data: Path,
    seed: int,
    held_out: Callable[[str], bool],
    tokenizer: Tokenizer,
    budget: VisionBudget,
    folder: Path,
    helpers: int = 0,
) -> dict[str, Any]:
    """Read every source, write the files above but the last into `folder`, and return what goes into that.

    helpers: processes that measure beside the one that reads. Raises LayoutError for a source without a usable sample.
    """
    folder.mkdir(parents=True, exist_ok=True)
    training, validation = _Writer(folder, "training"), _Writer(folder, "validation")
    sizes: list[int] = []
    hashes, sets, counts = {}, {}, {}
    with _Measured(tokenizer, budget, helpers) as measured:
        for source in sources:
            digest, before = ManifestHash(), len(training.starts)

            def take(sample: Sample, digest: ManifestHash = digest) -> None:
                digest.add(sample)
                line = to_line(sample)
                if held_out(sample.id):
                    validation.add(line)
                else:
                    training.add(line)
                    measured.add(line)

            name = f"{source.reader}:{source.path}:{source.split}"
            counts[name], sets[name] = stream_source(source, data, seed, take)
            sizes.append(len(training.starts) - before)
            hashes[name] = str(digest)
        training.close(measured.all())
        validation.close()
    account = Account(sets, counts)
    account.write(folder / DROPPED)
    return {"sizes": sizes, "hashes": hashes, "told": asdict(account.told())}


def apart(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """`work()` in a process of its own where the system can fork, so that the memory it took is given back."""
    if not can_fork():
        return work()
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        global _work
        _work = work
        return pool.submit(_call).result()


_work: Callable[[], dict[str, Any]] | None = None


def _call() -> dict[str, Any]:
    assert _work is not None
    gc.disable()  # nothing in here is circular, and walking through a million rows again and again takes its time
    return _work()


def can_fork() -> bool:
    """Whether a process can be begun that has all of this one's values."""
    return "fork" in multiprocessing.get_all_start_methods() and os.name == "posix"


def arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of a part, behind a memory map. Raises OSError or SafetensorError when they cannot be read."""
    with safe_open(folder / f"{name}.safetensors", framework="pt") as file:  # numpy's would be copies
        return {key: file.get_tensor(key).numpy() for key in file.keys()}  # noqa: SIM118  (not a dict)


def open_costs(folder: Path) -> Costs:
    """Of the training samples."""
    held = arrays(folder, "training")
    return Costs(held["positions"], held["patches"])


def wait_for(path: Path, token: str, pause_s: float = 0.1) -> dict[str, Any]:
    """Facts that the first process of this start writes. Raises ValueError with what stopped it."""
    while True:
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if facts["token"] == token:
                break
        except (FileNotFoundError, json.JSONDecodeError):
            pass
        time.sleep(pause_s)
    if error := facts.get("error"):
        raise ValueError(f"the first process could not read the data: {error}")
    return facts
