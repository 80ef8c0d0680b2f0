"""Many at once: whose answer, how long to the first word, and how long a sample takes while uploads are decoded."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.load.program import ROOT, Program, served
from benchmarks.load.visitor import Visitor, noisy_volume, percentile
from tests.service.page_client import Busy

WAVES = 3  # of uploads: enough openings beside them for a 95th percentile
SAMPLE = "mr_head"


def rounds(users: int, turns: int, against: Path | None, times: int) -> dict[str, Any]:
    """`users` people ask `turns` questions each, all at once. With `against`, both checkouts in turn, `times` times.

    "crossed" counts answers in which somebody else's question stands, "refused" questions that were told of a full
    queue at once, "errors" everything else that went wrong.
    """
    builds = {"ours": ROOT} | ({"other": against} if against is not None else {})
    said: dict[str, Any] = {name: {"first_word_s": [], "rounds": []} for name in builds}
    for number in range(times):
        for name in builds if number % 2 == 0 else reversed(list(builds)):
            with served(builds[name]) as program:
                one = all_at_once(program, users, turns)
            said[name]["first_word_s"] += one.pop("first_word_s")
            said[name]["rounds"].append(one)
    for found in said.values():
        words = found["first_word_s"]
        found["median_s"], found["p95_s"] = percentile(words, 0.5), percentile(words, 0.95)
        found |= {key: sum(one[key] for one in found["rounds"]) for key in ("answers", "refused", "crossed")}
        found["errors"] = [error for one in found["rounds"] for error in one["errors"]]
    if against is not None:
        said["p95_ratio"] = said["ours"]["p95_s"] / said["other"]["p95_s"]
        said["median_ratio"] = said["ours"]["median_s"] / said["other"]["median_s"]
    return said


def all_at_once(program: Program, users: int, turns: int) -> dict[str, Any]:
    """One page, `users` people, `turns` questions each: seconds to the first words, and what went wrong."""
    lock = threading.Lock()
    found: dict[str, Any] = {"first_word_s": [], "answers": 0, "refused": 0, "crossed": 0, "errors": []}
    together = threading.Barrier(users, timeout=120)

    def person(number: int) -> None:
        with Visitor(program.url) as page:
            page.open_first()
            together.wait()
            for turn in range(turns):
                own = f"person{number}turn{turn}"
                try:
                    first, said = page.first_word(own)
                except Busy:
                    with lock:
                        found["refused"] += 1
                    continue
                others = (f"person{other}turn" for other in range(users) if other != number)
                with lock:
                    found["answers"] += 1
                    found["first_word_s"].append(first)
                    found["crossed"] += any(other in said for other in others)
                    if f"echo {own} end" not in said:
                        found["errors"].append("an answer without its question")

    _together(users, person, lambda error: found["errors"].append(type(error).__name__))
    return found


def _together(n: int, work: Callable[[int], None], failed: Callable[[Exception], None]) -> None:
    with ThreadPoolExecutor(n) as pool:
        for future in [pool.submit(work, k) for k in range(n)]:
            error = future.exception()
            if isinstance(error, Exception):
                failed(error)


def openings(slices: int, uploads: int, alone: int, against: Path | None) -> dict[str, Any]:
    """Seconds from the click on a sample to its picture: `alone` times by itself, then while uploads are decoded.

    `uploads` volumes of 512 x 512 x `slices` each are sent by as many pages and opened at once, in `WAVES` waves, with
    a part of the openings alone before each.
    "ratio" is the 95th percentile beside them by that of alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = noisy_volume(Path(folder) / "v.nii.gz", slices)
        told: dict[str, Any] = {"upload_mb": file.stat().st_size / 1e6}
        for name, checkout in {"ours": ROOT, "other": against}.items():
            if checkout is not None:
                with served(checkout) as program:
                    told[name] = beside(program, file, uploads, alone)
    return told


def beside(program: Program, file: Path, uploads: int, alone: int) -> dict[str, Any]:
    """Openings of a sample alone, then while `file` is decoded for `uploads` pages: seconds, and their ratio."""
    quiet: list[float] = []
    busy: list[float] = []
    waves: list[float] = []
    with Visitor(program.url) as page:
        for _ in range(3):
            page.opened_in(SAMPLE)  # made once, then everybody's
    for wave in range(WAVES):  # alone in between, so that other work of the machine is in both
        quiet += [_one(program) for _ in range(alone * wave // WAVES, alone * (wave + 1) // WAVES)]
        with Uploaders(program.url, file, uploads) as others:
            began = time.perf_counter()
            while others.busy():
                busy.append(_one(program))
            waves.append(time.perf_counter() - began)
    return {
        "alone_s": quiet,
        "beside_s": busy,
        "uploads_s": waves,
        "alone_p95_s": percentile(quiet, 0.95),
        "beside_p95_s": percentile(busy, 0.95),
        "ratio": percentile(busy, 0.95) / percentile(quiet, 0.95),
        "median_ratio": percentile(busy, 0.5) / percentile(quiet, 0.5),
    }


class Uploaders:
    """So many people who have sent `file` and open it at once, when the block begins.

    In a process of their own: what they have to do to read their page's updates is not the server's doing, and would
    keep whoever is timed here waiting.
    """

    def __init__(self, url: str, file: Path, people: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._sent, self._go = context.Event(), context.Event()
        self._process = context.Process(target=_send_and_open, args=(url, file, people, self._sent, self._go))

    def __enter__(self) -> Uploaders:
        self._process.start()
        while not self._sent.wait(0.1):
            if not self._process.is_alive():
                raise RuntimeError("nothing could be sent")
        self._go.set()
        return self

    def busy(self) -> bool:
        """Whether somebody still waits for the picture."""
        return self._process.is_alive()

    def __exit__(self, *_: object) -> None:
        self._process.join(600)
        if self._process.exitcode != 0:
            raise RuntimeError("an upload was not opened")


def _send_and_open(url: str, file: Path, people: int, sent: Any, go: Any) -> None:
    pages = [Visitor(url) for _ in range(people)]
    where = [page.upload(file) for page in pages]
    sent.set()
    go.wait()
    with ThreadPoolExecutor(people) as pool:
        list(pool.map(open_sent, pages, where))
    os._exit(0)  # without the second it takes to clean up


def _one(program: Program) -> float:
    """Somebody comes, opens a sample, and goes."""
    with Visitor(program.url) as page:
        return page.opened_in(SAMPLE)


def open_sent(page: Visitor, where: str, name: str = "v.nii.gz") -> Any:
    """Open what was uploaded to `where`; what the page shows then."""
    event = page.dependency("ov-upload", "upload")
    inputs = [page.values.get(i) for i in event["inputs"]]
    inputs[0] = [{"path": where, "orig_name": name, "meta": {"_type": "gradio.FileData"}}]
    return page.fire(event, inputs)
