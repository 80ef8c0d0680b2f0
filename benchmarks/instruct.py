"""python -m benchmarks.instruct: rows a second and memory of the instruction graph, without services.

Made-up rows of text go through the stages with services that answer at once, so that what is measured is the graph:
reading, writing, accounts, selection. Every twentieth row says what another said, every fiftieth is too short.

    python -m benchmarks.instruct --rows 50000     beside the same stages through `datasets.map` (pip install datasets)
    python -m benchmarks.instruct --scale 1000000  memory at a tenth and at all rows; killed twice, every row counted
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.instruct.graph import steps as graph
from train.instruct.rows import shards
from train.instruct.rows.record import Record
from train.instruct.select.repeats import unique
from train.instruct.select.rules import oka, within_limits
from train.instruct.services.stages import Candidates, Similarity

SHARD = 5_000
DOUBLED, SHORT = 20, 50


@dataclass(frozen=True)
class Instant:
    """A service that answers from the request alone."""

    model: str = "instant"

    def chat(
        self, messages: Sequence[dict[str, Any]], *, temperature: float, seed: int, max_tokens: int
    ) -> str:
        """A sentence that depends on the seed."""
        return f"A view of part {seed % 1000}."

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Two numbers a text."""
        return [[1.0 + len(text) % 7, 1.0 + len(text) % 5] for text in texts]


def match(record: Record) -> Record:
    """In place of a judge."""
    return record.with_scores(M=len(record.answer) % 11 / 10)


def rows(count: int) -> Iterator[Record]:
    """Made-up rows of text."""
    for number in range(count):
        said = number - 1 if number % DOUBLED == DOUBLED - 1 else number
        answer = f"{number}." if number % SHORT == 0 else f"Finding number {said} of a made-up report."
        yield Record(
            f"made-up/{number}", "text", (), "What is shown?", answer,
            "ct", "finding", "text", "made up", "none", f"p{number % 1000}",
        )  # fmt: skip


def expected(count: int) -> tuple[int, int]:
    """(rows that are there once, of them long enough)."""
    once = count - sum(n % DOUBLED == DOUBLED - 1 for n in range(count))
    return once, once - sum(n % SHORT == 0 for n in range(count))


def steps() -> list[graph.Step]:
    """The stages of O-K-A that need no picture."""
    service = Instant()
    return [
        graph.Step("1-limits", within_limits),
        graph.Step("2-candidates", Candidates(service, Path(), 2)),
        graph.Step("3-similarity", Similarity(service)),
        graph.Step("4-match", match),
    ]


def ours(count: int, folder: Path, processes: int = 1) -> None:
    """Shards, what is there twice, stages, selection. Goes on where it was stopped."""
    ready = folder / "checked.done"
    if not ready.exists():
        shards.write_shards(rows(count), folder / "records", SHARD)
        unique(folder / "records", folder / "checked")
        ready.touch()
    graph.run(steps(), folder, say=lambda line: None, processes=processes)
    taken(count, len(graph.select_oka(folder)))


def taken(count: int, selected: int) -> None:
    """Raises RuntimeError when another number of rows is selected than half of what should be there."""
    if selected != -(-expected(count)[1] // 2):
        raise RuntimeError(f"{selected} selected of {count}")


def by_map(count: int, folder: Path, batched: bool) -> None:
    """The same stages as maps and filters of `datasets` in one process, the rows written at the end.

    A row is the same JSON, so the stages and what reads and writes a record are the same too.
    """
    datasets = importlib.import_module("datasets")
    datasets.disable_progress_bars()
    lines = folder / "in"
    shards.write_shards(rows(count), lines, count)
    known: set[str] = set()

    def first(text: str) -> bool:
        answer = Record.from_json(text).answer
        fresh = answer not in known
        known.add(answer)
        return fresh

    def apply(stage: shards.Stage, text: str) -> str:
        try:
            return stage(Record.from_json(text)).to_json()
        except shards.Drop:
            return ""

    def how(name: str) -> dict[str, Any]:
        return {
            "batched": batched,
            "load_from_cache_file": False,
            "cache_file_name": str(folder / f"{name}.arrow"),
            "new_fingerprint": name,
        }

    def mapped(found: Any, stage: shards.Stage, name: str) -> Any:
        def one(row: Any) -> Any:
            return {"text": [apply(stage, t) for t in row["text"]] if batched else apply(stage, row["text"])}

        return found.map(one, **how(name))

    def kept(found: Any, test: Any, name: str) -> Any:
        def one(row: Any) -> Any:
            return [test(t) for t in row["text"]] if batched else test(row["text"])

        return found.filter(one, **how(name))

    found = datasets.load_dataset(
        "text", data_files=str(lines / "*.jsonl"), cache_dir=str(folder / "cache"), split="train"
    )
    found = kept(found, first, "once")
    for step in steps():
        found = mapped(found, step.stage, step.name)
        if step.name == "1-limits":
            found = kept(found, bool, "long")
    records = (Record.from_json(row["text"]) for row in found)
    chosen = oka((r.id, r.score("S"), r.score("M")) for r in records)
    found = kept(found, lambda text: Record.from_json(text).id in chosen, "selected")
    found.save_to_disk(str(folder / "selected"))
    taken(count, len(found))


def timed(what: Any, *args: Any) -> tuple[float, float]:
    """(wall, processor) seconds, child processes that have ended among them."""

    def spent() -> float:
        return sum(
            u.ru_utime + u.ru_stime
            for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )

    wall, cpu = time.perf_counter(), spent()
    what(*args)
    return time.perf_counter() - wall, spent() - cpu


def compare(count: int, folder: Path, rounds: int) -> None:
    """Print the rates side by side: each way in turn, the best of so many rounds."""
    ways: dict[str, Any] = {
        "ours, one process": lambda f: ours(count, f),
        "ours, two processes": lambda f: ours(count, f, 2),
        "datasets.map, row by row": lambda f: by_map(count, f, False),
        "datasets.map, batched": lambda f: by_map(count, f, True),
    }
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for n in range(rounds):
        for place, (name, way) in enumerate(ways.items()):
            wall, cpu = timed(way, folder / f"{n}-{place}")
            best[name] = (min(best[name][0], wall), min(best[name][1], cpu))
    ours_wall, ours_cpu = best["ours, two processes"][0], best["ours, one process"][1]
    print("| | rows/s of wall time | rows/s of processor time | ours faster, wall (two) | processor (one) |")
    print("|---|---|---|---|---|")
    for name, (wall, cpu) in best.items():
        print(
            f"| {name} | {count / wall:,.0f} | {count / cpu:,.0f} | {wall / ours_wall:.2f} | {cpu / ours_cpu:.2f} |"
        )


def scale(count: int, folder: Path) -> None:
    """A tenth of the rows, then all of them killed twice; prints one JSON line. Raises RuntimeError for a lost row."""
    small = work(count // 10, folder / "small", 1)
    kills = 0
    for share in (0.3, 0.7):
        child = start(count, folder / "large", 1)
        last = folder / "large" / steps()[-1].name
        while child.poll() is None and len(shards.shards(last)) < share * count / SHARD:
            time.sleep(0.05)
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
    done_before = len(shards.shards(folder / "large" / steps()[-1].name))
    resumed = work(count, folder / "large", 1)
    whole = work(count, folder / "whole", 1)
    told = {
        "rows": count,
        "killed": kills,
        "shards_before_the_last_start": done_before,
        "every_row_once": account(count, folder / "large"),
        "as_if_never_killed": same(folder / "large" / "selected", folder / "whole" / "selected"),
        "rows_s": round(count / whole["wall"]),
        "rows_s_core": round(count / whole["cpu"]),
        "peak_mb_tenth": small["peak"],
        "peak_mb": whole["peak"],
        "peak_mb_resumed": resumed["peak"],
    }
    print(json.dumps(told))


def account(count: int, folder: Path) -> bool:
    """Whether every row that entered a stage is in what it kept or in what it rejected, and once."""
    source, alive = folder / "records", bytearray(b"\1" * count)
    for name in ("checked", *(step.name for step in steps())):
        seen = bytearray(count)
        kept = bytearray(count)
        for record in shards.records_of(folder / name):
            place = int(record.id.split("/")[1])
            seen[place] += 1
            kept[place] = 1
        for reject in shards.rejects_of(folder / name):
            seen[int(str(reject["record"]["id"]).split("/")[1])] += 1  # type: ignore[index]
        if seen != alive:
            raise RuntimeError(f"{name}: rows of {source.name} lost or doubled")
        source, alive = folder / name, kept
    if (sum(alive)) != expected(count)[1]:
        raise RuntimeError(f"{sum(alive)} rows at the end, not {expected(count)[1]}")
    return True


def same(first: Path, second: Path) -> bool:
    """Whether two folders hold the same shards."""
    pairs = zip(shards.shards(first), shards.shards(second), strict=True)
    return all(a.read_bytes() == b.read_bytes() for a, b in pairs)


def start(count: int, folder: Path, processes: int) -> subprocess.Popen[bytes]:
    """A run of its own process."""
    call = [sys.executable, "-m", "benchmarks.instruct", "--work", str(folder), "--rows", str(count)]
    return subprocess.Popen([*call, "--processes", str(processes)], stdout=subprocess.PIPE)


def work(count: int, folder: Path, processes: int) -> dict[str, float]:
    """The same to its end: {"wall", "cpu" seconds, "peak" MB}. Raises RuntimeError when it fails."""
    child = start(count, folder, processes)
    out, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"the run of {count} rows ended with {child.returncode}")
    return dict(json.loads(out))


def main(argv: list[str] | None = None) -> int:
    """0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instruct", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--scale", type=int, metavar="ROWS", help="memory and kills, in place of the comparison"
    )
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="one run there, told as JSON")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args(argv)
    if args.work:
        wall, cpu = timed(ours, args.rows, args.work, args.processes)
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
        print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}))
        return 0
    with tempfile.TemporaryDirectory(prefix="omnivmed-instruct-") as name:
        if args.scale:
            scale(args.scale, Path(name))
        else:
            compare(args.rows, Path(name), args.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
