"""Stages over shards: a stage is a function record -> record, a shard a file; a finished shard is not done again.

A stage that cannot use a record raises `Drop`: the record is written to the shard's list of rejects with the reason,
so that input = output + rejects holds for every shard, always. A shard is written beside its place and moved there when
it is whole: whatever kills a run, no row is lost and none is doubled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from train.instruct.rows.record import Record, RecordError

Stage = Callable[[Record], Record]
REJECTS = ".rejects"


class Drop(Exception):
    """Raised by a stage for a record that goes no further; the message is the reason it is counted under."""


@dataclass(frozen=True)
class Count:
    """Rows of one shard, or of several together."""

    read: int = 0
    kept: int = 0
    dropped: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.read + other.read, self.kept + other.kept, self.dropped + other.dropped)


def write_shards(records: Iterable[Record], folder: Path, rows: int = 1000) -> int:
    """Cut a stream of records into `00000.jsonl`, `00001.jsonl`, … of `rows` each; returns how many shards."""
    folder.mkdir(parents=True, exist_ok=True)
    number, lines = 0, []
    for record in records:
        lines.append(record.to_json())
        if len(lines) == rows:
            _write(folder / f"{number:05d}.jsonl", lines)
            number, lines = number + 1, []
    if lines:
        _write(folder / f"{number:05d}.jsonl", lines)
        number += 1
    return number


def shards(folder: Path) -> list[Path]:
    """The shards of a folder, in order, rejects apart."""
    return sorted(path for path in folder.glob("*.jsonl") if REJECTS not in path.suffixes)


def records_of(folder: Path) -> Iterator[Record]:
    """Every record of a folder, in order. Raises RecordError naming shard and line."""
    for shard in shards(folder):
        for place, line in enumerate(_lines(shard), start=1):
            try:
                yield Record.from_json(line)
            except RecordError as error:
                raise RecordError(f"{shard.name} line {place}: {error}") from None


def run(stage: Stage, source: Path, target: Path, processes: int = 1) -> Count:
    """One stage over every shard of `source` that `target` has not yet; returns the counts of all shards.

    The stage runs in `processes` processes and must be picklable when that is more than one.
    """
    target.mkdir(parents=True, exist_ok=True)
    todo = [shard for shard in shards(source) if not (target / shard.name).exists()]
    work = partial(run_shard, stage, target=target)
    if processes > 1 and len(todo) > 1:
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(work, todo))
    else:
        for shard in todo:
            work(shard)
    total = Count()
    for shard in shards(source):
        kept, dropped = _count(target / shard.name), _count(_rejects(target / shard.name))
        total += Count(kept + dropped, kept, dropped)
    return total


def run_shard(stage: Stage, shard: Path, target: Path) -> Count:
    """One stage over one shard: `<target>/<shard>` and its rejects."""
    kept, rejects = [], []
    for place, line in enumerate(_lines(shard), start=1):
        try:
            kept.append(stage(Record.from_json(line)).to_json())
        except Drop as drop:
            rejects.append(json.dumps({"reason": str(drop), "record": json.loads(line)}, ensure_ascii=False))
        except RecordError as error:
            rejects.append(
                json.dumps({"reason": str(error), "line": place, "shard": shard.name}, ensure_ascii=False)
            )
    # The rejects first: the shard's own file says that all of it is done.
    _write(_rejects(target / shard.name), rejects)
    _write(target / shard.name, kept)
    return Count(len(kept) + len(rejects), len(kept), len(rejects))


def reasons(folder: Path) -> dict[str, int]:
    """Reason -> rejected rows of a stage's folder, the commonest first."""
    counts: dict[str, int] = {}
    for path in sorted(folder.glob(f"*{REJECTS}.jsonl")):
        for line in _lines(path):
            reason = str(json.loads(line)["reason"])
            counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _rejects(shard: Path) -> Path:
    return shard.with_suffix(f"{REJECTS}.jsonl")


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line] if path.exists() else []


def _count(path: Path) -> int:
    """Lines of a file that this module wrote whole."""
    return path.read_bytes().count(b"\n")


def _write(path: Path, lines: list[str]) -> None:
    draft = path.with_suffix(".part")
    draft.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    draft.replace(path)
