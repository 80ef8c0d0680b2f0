"""Stages over shards: a stage is a function record -> record, a shard a file; a finished shard is not done again.

A stage that cannot use a record raises `Drop`: the record is written to the shard's list of rejects with the reason,
so that input = output + rejects holds for every shard, always. A shard is written beside its place and moved there when
it is whole: whatever kills a run, no row is lost and none is doubled.

Several stages in a row pass a shard on in memory: each still writes its own file, none reads what was just written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import orjson

from train.instruct.rows.record import Record, RecordError

Stage = Callable[[Record], Record]
Named = tuple[str, Stage]
"""A stage and the name of the folder it writes."""
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
    return write_lines((record.to_bytes() for record in records), folder, rows)


def write_lines(lines: Iterable[bytes], folder: Path, rows: int = 1000) -> int:
    """As `write_shards`, of records that are JSON already."""
    folder.mkdir(parents=True, exist_ok=True)
    number, held = 0, []
    for line in lines:
        held.append(line)
        if len(held) == rows:
            _write(folder / f"{number:05d}.jsonl", held)
            number, held = number + 1, []
    if held:
        _write(folder / f"{number:05d}.jsonl", held)
        number += 1
    return number


def shards(folder: Path) -> list[Path]:
    """The shards of a folder, in order, rejects apart."""
    return sorted(path for path in folder.glob("*.jsonl") if REJECTS not in path.suffixes)


def lines_of(folder: Path) -> Iterator[bytes]:
    """Every line of a folder's shards, in order, unread."""
    for shard in shards(folder):
        yield from _lines(shard)


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
    return run_all([(target.name, stage)], source, target.parent, processes)[target.name]


def run_all(
    stages: Sequence[Named],
    source: Path,
    folder: Path,
    processes: int = 1,
    at_once: int = 1,
    done: Callable[[int, int], None] | None = None,
) -> dict[str, Count]:
    """Stages in a row over every shard of `source`, each into `folder/<name>`; returns the counts of each, all shards.

    processes: shards worked on side by side (the stages must be picklable). at_once: rows of a shard for which a stage
    may be waiting for a service side by side; their order stays. done: called with (shards finished, of all).
    """
    for name, _ in stages:
        (folder / name).mkdir(parents=True, exist_ok=True)
    everything = shards(source)
    todo = [s for s in everything if not all((folder / name / s.name).exists() for name, _ in stages)]
    work = partial(run_shard, stages, folder=folder, at_once=at_once)
    finished = len(everything) - len(todo)
    # Not by fork: whoever calls this may have threads.
    pool = ProcessPoolExecutor(processes, get_context("spawn")) if processes > 1 and len(todo) > 1 else None
    with pool or nullcontext():
        for _ in pool.map(work, todo) if pool else map(work, todo):
            finished += 1
            if done is not None:
                done(finished, len(everything))
    return {name: counted(source, folder / name) for name, _ in stages}


def counted(source: Path, target: Path) -> Count:
    """What became of the shards of `source` in `target`, as far as they are done."""
    total = Count()
    for shard in shards(source):
        kept, dropped = _count(target / shard.name), _count(_rejects(target / shard.name))
        total += Count(kept + dropped, kept, dropped)
    return total


def run_shard(stages: Sequence[Named], shard: Path, folder: Path, at_once: int = 1) -> None:
    """Stages in a row over one shard: `<folder>/<name>/<shard>` and its rejects, for each that is not there yet."""
    lines: list[bytes] | None = None
    records: list[Record | bytes] | None = None
    before = shard
    with ThreadPoolExecutor(at_once) if at_once > 1 else nullcontext() as pool:
        for name, stage in stages:
            target = folder / name / shard.name
            if target.exists():
                before, records = target, None
                continue
            if records is None:
                lines, records = _lines(before), []
                for place, line in enumerate(lines, start=1):
                    try:
                        records.append(Record.from_json(line))
                    except RecordError as error:
                        records.append(_rejected(str(error), line=place, shard=shard.name))
            records = list(_one(stage, records, target, pool))
            before = target


def _one(
    stage: Stage, records: Sequence[Record | bytes], target: Path, pool: Executor | None
) -> Iterator[Record]:
    """One stage over a shard in memory, written whole; yields what is kept. bytes: rejected before it was a record."""
    kept: list[bytes] = []
    rejects: list[bytes] = []
    passed: list[Record] = []
    outcome = partial(_outcome, stage)
    for found in pool.map(outcome, records) if pool else map(outcome, records):
        if isinstance(found, bytes):
            rejects.append(found)
        else:
            passed.append(found)
            kept.append(found.to_bytes())
    # The rejects first: the shard's own file says that all of it is done.
    _write(_rejects(target), rejects)
    _write(target, kept)
    return iter(passed)


def _outcome(stage: Stage, record: Record | bytes) -> Record | bytes:
    if isinstance(record, bytes):
        return record
    try:
        return stage(record)
    except Drop as drop:
        return _rejected(str(drop), record=vars(record))
    except RecordError as error:
        return _rejected(str(error), record=vars(record))


def _rejected(reason: str, **what: object) -> bytes:
    return orjson.dumps({"reason": reason, **what})


def reasons(folder: Path) -> dict[str, int]:
    """Reason -> rejected rows of a stage's folder, the commonest first."""
    counts: dict[str, int] = {}
    for reject in rejects_of(folder):
        counts[str(reject["reason"])] = counts.get(str(reject["reason"]), 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def rejects_of(folder: Path) -> Iterator[dict[str, object]]:
    """{"reason", "record"} of every rejected row; {"reason", "line", "shard"} of a line that was no record."""
    for path in sorted(folder.glob(f"*{REJECTS}.jsonl")):
        for line in _lines(path):
            yield orjson.loads(line)


def _rejects(shard: Path) -> Path:
    return shard.with_suffix(f"{REJECTS}.jsonl")


def _lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().split(b"\n") if line] if path.exists() else []


def _count(path: Path) -> int:
    """Lines of a file that this module wrote whole."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _write(path: Path, lines: list[bytes]) -> None:
    draft = path.with_suffix(".part")
    draft.write_bytes(b"".join([line + b"\n" for line in lines]))
    draft.replace(path)
