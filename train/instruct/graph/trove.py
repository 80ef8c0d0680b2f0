"""The same stages as a datatrove pipeline: local, SLURM or Ray executor, finished shards skipped on a rerun.

A task takes every n-th shard; a shard is done by `train.instruct.rows.shards.run_shard`, so files, accounts and what
is skipped are the same as without datatrove. datatrove's own marks in `logs/` skip tasks that ended; a task that was
killed is done again, and finds its finished shards by their files.

Needs `pip install datatrove`, for Ray also `ray`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from train.instruct.graph.steps import Step, begin
from train.instruct.rows import shards

EXECUTORS = {
    "local": ("datatrove.executor.local", "LocalPipelineExecutor"),
    "slurm": ("datatrove.executor.slurm", "SlurmPipelineExecutor"),
    "ray": ("datatrove.executor.ray", "RayPipelineExecutor"),
}


class Shards:
    """A callable block of a datatrove pipeline: the stages over every shard of this task. Passes on no documents, for
    rows go through files."""

    def __init__(self, steps: Sequence[Step], folder: Path, at_once: int = 1) -> None:
        self.stages = [(step.name, step.stage) for step in steps]
        self.folder = folder
        self.at_once = at_once

    def __call__(self, data: Iterable[Any] | None, rank: int = 0, world_size: int = 1) -> Iterable[Any]:
        """The shards `rank`, `rank + world_size`, … of all, those that are finished left out."""
        for name, _ in self.stages:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for shard in shards.shards(begin(self.folder))[rank::world_size]:
            shards.run_shard(self.stages, shard, self.folder, self.at_once)
        return data or ()


def executor(
    kind: str,
    steps: Sequence[Step],
    folder: Path,
    tasks: int,
    workers: int = -1,
    at_once: int = 1,
    **more: Any,
) -> Any:
    """A datatrove executor, ready for `.run()`. more: its own settings (for slurm `time` and `partition` at least).

    Raises ValueError for a kind that is none, ImportError where datatrove is not installed.
    """
    if kind not in EXECUTORS:
        raise ValueError(f"no executor {kind!r}: {', '.join(EXECUTORS)}")
    module, name = EXECUTORS[kind]
    made = getattr(importlib.import_module(module), name)
    return made(
        pipeline=[Shards(steps, folder.resolve(), at_once)],
        tasks=tasks,
        workers=workers,
        logging_dir=str(folder.resolve() / "logs"),
        **more,
    )
