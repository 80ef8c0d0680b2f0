"""A run to which everything happens, beside one to which nothing does; at the end both have to be the same."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from train.loop import checkpoint, metrics
from train.recipes.config import TrainConfig
from train.rehearsal import faults

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "train" / "launch" / "torchrun.sh"
STEP_S, END_S = 3600.0, 600.0
"""Patience for a step to be reached and for a group to end."""
GOES_ON = "start the same command again"


@dataclass
class Event:
    """What happened, where, what was said then and at the next start, and whether that is what was wanted."""

    fault: str
    where: str
    said: str
    next: str
    well: bool


@dataclass
class Night:
    """config: of `narrow`, saved as file; data: its phantoms; out: run folder; processes: of the group."""

    config: TrainConfig
    data: Path
    out: Path
    processes: int
    say: Callable[[str], None]
    events: list[Event] = field(default_factory=list)
    starts: int = 0

    @contextmanager
    def running(self, **env: str) -> Iterator[subprocess.Popen[bytes]]:
        """The launch script over the run folder, as anybody starts it; its output goes to a log of its own."""
        self.out.mkdir(parents=True, exist_ok=True)
        file = self.out.with_suffix(".json")
        file.write_text(self.config.to_json(), encoding="utf-8")
        self.starts += 1
        call = [str(SCRIPT), str(self.processes), str(file), str(self.data), str(self.out)]
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        whole = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "WORKERS": "1", **env}
        with self.log(self.starts).open("wb") as log:
            group = subprocess.Popen(
                call, cwd=ROOT, env=whole, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                yield group
            finally:
                faults.power_cut(group)
                group.wait()

    def log(self, start: int) -> Path:
        """Output of a start, counted from 1."""
        return self.out.parent / f"{self.out.name}-start-{start}.log"

    def reach(self, group: subprocess.Popen[bytes], stage: str, step: int) -> None:
        """Wait for a step. Raises RuntimeError with the end of the log when the run ends before."""
        if not faults.wait_for_step(group, self.out / stage / metrics.METRICS, step, STEP_S):
            raise RuntimeError(f"{stage} ended before step {step}:\n{tail(self.log(self.starts))}")

    def finish(self) -> None:
        """Run to the end. Raises RuntimeError when it does not come."""
        with self.running() as group:
            if group.wait():
                raise RuntimeError(f"exit code {group.returncode}:\n{tail(self.log(self.starts))}")

    def told(self, pattern: str) -> str:
        """The last line of the newest log with that pattern in it, the first process's before others'; empty: none."""
        lines = self.log(self.starts).read_text(encoding="utf-8", errors="replace").splitlines()
        found = [line.strip() for line in reversed(lines) if re.search(pattern, line)]
        found.sort(key=lambda line: line.startswith("process "))
        return found[0] if found else ""

    def steps(self, stage: str) -> int:
        """Of a stage."""
        return self.config.stage(stage).planned_steps()


def whole_night(night: Night) -> None:
    """Every fault once, then to the end. Each event says what was printed, and from where the next start went on."""
    at = {name: night.steps(name) for name in ("align", "instruct", "mixed")}
    save = night.config.save_every

    step = max(at["align"] // 2, save + 1)
    with night.running() as group:
        night.reach(group, "align", step)
        faults.power_cut(group)
        group.wait()
    _note(night, "power cut: all processes killed", f"align {step}", "", r"", silent=True)

    step = max(at["instruct"] // 4, save + 1)
    with night.running() as group:
        night.reach(group, "instruct", step)
        faults.rank_dies(group)
        group.wait(END_S)
    _note(night, "one of the processes dies", f"instruct {step}", r"Signal 9|SIGKILL", GOES_ON)

    step = at["instruct"] // 2
    with night.running() as group:
        night.reach(group, "instruct", step)
        before = _rate(night, "instruct")
        seconds = 6.0
        slowed = faults.slow_disk(group, seconds)
        after = _rate(night, "instruct")
        what = (
            f"{before:.0f} -> {after:.0f} positions a second"
            if slowed
            else "strace may not attach here: not tried"
        )
        night.events.append(Event(f"slow disk for {seconds:g} s", f"instruct {step}", what, "went on", True))

        step = at["mixed"] // 8
        night.reach(group, "mixed", max(1, step))
        files = [p for p in (night.out / "instruct" / "final").rglob("*") if p.is_file()]
        faults.full_disk(group, max(p.stat().st_size for p in files) // 2)
        group.wait(END_S)
    _note(
        night, "disk full at a checkpoint", f"mixed {step}", r"No space|too large|cannot be written", GOES_ON
    )

    step = at["mixed"] * 3 // 8
    with night.running(**faults.poisoned(night.out.parent / "poison", "mixed", step)) as group:
        group.wait(STEP_S)
    _note(night, "a weight becomes NaN", f"mixed {step}", r"the loss is nan", GOES_ON)

    step = at["mixed"] * 5 // 8
    with night.running() as group:
        night.reach(group, "mixed", step)
        faults.time_limit(group)
        group.wait(END_S)
    _note(
        night,
        "time limit: SIGTERM to all",
        f"mixed {step}",
        r"SIGTERM|Signal 15|signal 15|" + GOES_ON,
        GOES_ON,
    )

    newest = checkpoint.latest(night.out / "mixed")
    if newest is None:
        raise RuntimeError("no whole checkpoint to damage")
    name = faults.change_a_byte(newest)
    with night.running() as group:
        code = group.wait(STEP_S)
    left = night.told(r"is left alone")
    night.events.append(
        Event(
            "a byte of a checkpoint changed",
            f"{newest.name}, {name}",
            left or "nothing",
            night.told("resuming from"),
            bool(left) and name in left and not code,
        )
    )
    if code:
        raise RuntimeError(f"exit code {code}:\n{tail(night.log(night.starts))}")


def _note(night: Night, fault: str, where: str, pattern: str, last: str, silent: bool = False) -> None:
    """Judge a start that ended: a line that says why, and a last line that says how to go on."""
    lines = night.log(night.starts).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = night.told(pattern) if pattern else ""
    well = silent or (bool(why) and bool(lines) and last in lines[-1])
    night.events.append(Event(fault, where, why or "nothing: nobody was left to say it", "", well))


def resumed(night: Night) -> None:
    """Fill in what the start after each event said."""
    number = 1
    for event in night.events:
        if event.next:
            continue
        number += 1
        text = night.log(number).read_text(encoding="utf-8", errors="replace")
        found = re.search(r"\w+: resuming from checkpoint-\d+", text)
        event.next = found[0] if found else "from the beginning of the stage"


def compare(one: Path, other: Path, config: TrainConfig) -> list[tuple[str, int, bool, bool]]:
    """(stage, losses compared, all of them equal to the last digit, weights equal byte for byte)."""
    out = []
    for stage in config.stages:
        curves = [_curve(folder / stage.name) for folder in (one, other)]
        sums = [_sum(folder / stage.name / "final" / "model.safetensors") for folder in (one, other)]
        out.append((stage.name, len(curves[0]), curves[0] == curves[1] != [], sums[0] == sums[1]))
    return out


def _curve(folder: Path) -> list[tuple[float, str, float]]:
    rows = metrics.read(folder / metrics.METRICS)
    return [(row["step"], key, row[key]) for row in rows for key in ("loss", "eval_loss") if key in row]


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _rate(night: Night, stage: str) -> float:
    rows = metrics.read(night.out / stage / metrics.METRICS)[-8:]
    rates = sorted(row["tokens_per_s"] for row in rows if "tokens_per_s" in row)
    return rates[len(rates) // 2] if rates else 0.0


def tail(path: Path, lines: int = 12) -> str:
    """The end of a log."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def skipped(folder: Path) -> list[str]:
    """Names of bad samples of a run, stage by stage."""
    out = []
    for file in sorted(folder.glob("*/skipped.jsonl")):
        out += [f"{file.parent.name}: {json.loads(line)['id']}" for line in file.read_text().splitlines()]
    return out


def now() -> float:
    """Seconds, for the report."""
    return time.monotonic()
