"""The same stages under datatrove: the same files, finished shards skipped. Needs datatrove, the last one ray too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from train.instruct.graph import steps, trove
from train.instruct.rows import shards
from train.instruct.rows.record import Record
from train.instruct.services.stub import WordOverlap, Writer

STEPS = steps.caption_steps(Path(), Writer(), [WordOverlap("one"), WordOverlap("two")], 2)


def rows(folder: Path, count: int = 60) -> None:
    made = (
        Record(f"r{n}", "text", (), "What is shown?", f"A clear view of lung {n}.", source="s")
        for n in range(count)
    )
    shards.write_shards(made, folder / "records", 10)


def files(folder: Path) -> dict[str, bytes]:
    found = [path for step in STEPS for path in sorted((folder / step.name).glob("*.jsonl"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_tasks_share_the_shards_out(tmp_path: Path) -> None:
    for part in ("plain", "trove"):
        rows(tmp_path / part)
    steps.run(STEPS, tmp_path / "plain", say=lambda line: None)
    block = trove.Shards(STEPS, tmp_path / "trove")
    for rank in (1, 0, 2):
        assert list(block(None, rank, 3)) == []
    assert files(tmp_path / "trove") == files(tmp_path / "plain")
    with pytest.raises(ValueError, match="local, slurm, ray"):
        trove.executor("cloud", STEPS, tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "ray"])
def test_executors(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("datatrove", reason="pip install datatrove")
    for part in ("plain", "trove"):
        rows(tmp_path / part)
    steps.run(STEPS, tmp_path / "plain", say=lambda line: None)
    folder = tmp_path / "trove"
    if kind == "ray":
        ray = pytest.importorskip("ray", reason="pip install ray")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        more: dict[str, Any] = {"mem_per_cpu_gb": 0.2} if kind == "ray" else {}
        trove.executor(kind, STEPS, folder, tasks=3, workers=2, **more).run()
        assert files(folder) == files(tmp_path / "plain")
        written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")}
        lost = folder / STEPS[-1].name / "00003.jsonl"
        lost.unlink()
        for mark in (folder / "logs" / "completions").glob("*"):
            mark.unlink()  # as if every task had been killed at its end
        trove.executor(kind, STEPS, folder, tasks=3, workers=2, **more).run()
        assert files(folder) == files(tmp_path / "plain")
        again = {path for path, when in written.items() if path.stat().st_mtime_ns != when}
        assert {path.name for path in again} == {"00003.jsonl", "00003.rejects.jsonl"}
        assert {path.parent.name for path in again} == {STEPS[-1].name}
    finally:
        if kind == "ray":
            ray.shutdown()


@pytest.mark.slow
def test_slurm_is_a_configuration(tmp_path: Path) -> None:
    pytest.importorskip("datatrove", reason="pip install datatrove")
    made = trove.executor(
        "slurm", STEPS, tmp_path, tasks=8, time="20:00:00", partition="cpu", cpus_per_task=2
    )
    assert (made.tasks, made.partition, made.cpus_per_task) == (8, "cpu", 2)
