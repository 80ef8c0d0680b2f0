"""What stays behind: after mixed requests, and after pages that were opened and left."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.load.crowd import open_sent
from benchmarks.load.program import Program, served
from benchmarks.load.visitor import Visitor
from omnivmed.resources import samples_dir

#: Figures that must come back to where they were; memory is told beside them.
BACK = ("files", "sessions", "descriptors", "folders", "zombies")
PATIENCE_S = 60.0
SLACK = {"descriptors": 2}  # a connection that the system has not closed yet


def mixed(requests: int, warm: int) -> dict[str, Any]:
    """So many visits of four kinds (a volume, a broken file, two samples), each with a question, after `warm` others.

    "grown_mb" is of resident memory, 60 s after the last visit by 60 s after the last one to warm up; the other
    figures are counts, after at most 60 s.
    """
    with tempfile.TemporaryDirectory() as folder, served(words_per_second=5000) as program:
        broken = Path(folder) / "broken.dcm"
        broken.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 500)
        return grown(program, requests, warm, lambda k: visit(program, k, broken), PATIENCE_S)


def visit(program: Program, k: int, broken: Path) -> None:
    """Number k of the mixed visits; `broken` is a file that cannot be read."""
    with Visitor(program.url) as page:
        if k % 4 < 2:
            file = samples_dir() / "ct_abdomen.nii.gz" if k % 4 == 0 else broken
            open_sent(page, page.upload(file), file.name)
        else:
            page.see(page.open_sample(("chest_xray", "mr_head")[k % 2]))
        page.first_word(f"visit{k}")
        page.saw()


def pages(n: int, at_once: int, warm: int) -> dict[str, Any]:
    """`n` pages opened, with the study they show first, and left, `at_once` of them at a time, after `warm` others."""
    with served() as program:

        def come_and_go(_: int) -> None:
            with Visitor(program.url) as page:
                if not page.see(page.open_first()):
                    raise RuntimeError("no picture came")

        def some(first: int) -> None:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(come_and_go, range(first, first + at_once)))

        told = grown(
            program, max(1, n // at_once), max(1, warm // at_once), lambda k: some(k * at_once), PATIENCE_S
        )
        told["pages"] = max(1, n // at_once) * at_once
        return told


def grown(
    program: Program, times: int, warm: int, visit: Callable[[int], None], rest_s: float = 0.0
) -> dict[str, Any]:
    """What the program holds more after `visit(k)` for so many k than before, after `warm` such visits.

    rest_s: memory is looked at so long after the last visit, both times; what a page leaves waits for it meanwhile.
    """
    for k in range(warm):
        visit(k)
    program.settle({"sessions": 0, "files": 0})
    time.sleep(rest_s)
    before = program.look()
    memory, began = [before["memory_mb"]], time.monotonic()
    for part in range(10):
        for k in range(part * times // 10, (part + 1) * times // 10):
            visit(k)
        memory.append(program.look()["memory_mb"])
    took = time.monotonic() - began
    within = {name: before[name] + SLACK.get(name, 0) for name in BACK}
    after, waited = program.settle(within, PATIENCE_S)
    time.sleep(max(0.0, rest_s - waited))
    after |= {"memory_mb": program.look()["memory_mb"]}
    return {
        "before": before,
        "after": after,
        "memory_mb": memory,
        "grown_mb": after["memory_mb"] - before["memory_mb"],
        "left": {name: after[name] - before[name] for name in BACK},
        "seconds": took,
        "back_after_s": waited,
        "whole": all(after[name] <= most for name, most in within.items()),
    }
