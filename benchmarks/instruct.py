"""python -m benchmarks.instruct --rows 100000: rows a second and memory of the instruction graph, without services.

Made-up rows of text go through the stages with services that answer at once, so that what is measured is the graph:
reading, writing, accounts, selection. Beside it the same stages run through `datasets.map` with one process, in the
same run (`pip install datasets`). `--memory 1000000` reports the peak memory after 100,000 rows and after all of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
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
from train.instruct.select.rules import oka, within_limits
from train.instruct.services.stages import Candidates, Similarity


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
        yield Record(
            f"made-up/{number}", "text", (), "What is shown?", f"Finding number {number} of a made-up report.",
            "ct", "finding", "text", "made up", "none", f"p{number % 1000}",
        )  # fmt: skip


def steps() -> list[graph.Step]:
    """The stages of O-K-A that need no picture."""
    service = Instant()
    return [
        graph.Step("1-limits", within_limits),
        graph.Step("2-candidates", Candidates(service, Path(), 2)),
        graph.Step("3-similarity", Similarity(service)),
        graph.Step("4-match", match),
    ]


def ours(count: int, folder: Path) -> float:
    """Seconds of processor time for shards, stages and selection."""
    begun = time.process_time()
    shards.write_shards(rows(count), folder / "records", 5_000)
    source = folder / "records"
    for step in steps():
        shards.run(step.stage, source, folder / step.name)
        source = folder / step.name
    chosen = graph.select_oka(folder)
    if len(chosen) != -(-count // 2):
        raise RuntimeError(f"{len(chosen)} of {count} selected")
    return time.process_time() - begun


def by_map(count: int, folder: Path) -> float:
    """Seconds of processor time for the same stages as maps of `datasets`, the rows written at the end."""
    datasets = importlib.import_module("datasets")
    datasets.disable_progress_bars()
    begun = time.process_time()
    shards.write_shards(rows(count), folder / "in", count)
    text = datasets.load_dataset(
        "text", data_files=str(folder / "in" / "*.jsonl"), cache_dir=str(folder / "cache")
    )
    found = text["train"]
    for step in steps():
        stage = step.stage
        found = found.map(
            lambda row, stage=stage: {"text": stage(Record.from_json(row["text"])).to_json()},
            load_from_cache_file=False,
            cache_file_name=str(folder / f"{step.name}.arrow"),
            new_fingerprint=step.name,
        )
    nan = float("nan")
    scored = (Record.from_json(row["text"]) for row in found)
    chosen = oka((r.id, r.scores.get("S", nan), r.scores.get("M", nan)) for r in scored)
    kept = found.filter(
        lambda row: Record.from_json(row["text"]).id in chosen,
        load_from_cache_file=False,
        new_fingerprint="kept",
    )
    kept.save_to_disk(str(folder / "selected"))
    if len(kept) != -(-count // 2):
        raise RuntimeError(f"{len(kept)} of {count} selected")
    return time.process_time() - begun


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main(argv: list[str] | None = None) -> int:
    """0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instruct", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument(
        "--memory", type=int, help="rows of the run that reports memory, in place of the comparison"
    )
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="omnivmed-instruct-") as name:
        folder = Path(name)
        if args.memory:
            ours(100_000, folder / "small")
            small = _peak_mb()
            seconds = ours(args.memory, folder / "large")
            told = {"rows": args.memory, "rows_s_core": round(args.memory / seconds)}
            print(json.dumps(told | {"peak_mb_100k": round(small), "peak_mb": round(_peak_mb())}))
            return 0
        mine = ours(args.rows, folder / "ours")
        theirs = by_map(args.rows, folder / "map")
    print(
        f"{args.rows:,} rows: {args.rows / mine:,.0f} rows/s a core, datasets.map"
        f" {args.rows / theirs:,.0f} rows/s, ratio {theirs / mine:.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
