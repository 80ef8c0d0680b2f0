"""What a run leaves to look at: metrics as JSONL, and the loss as an SVG drawn anew at every log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

METRICS = "metrics.jsonl"
PLOT = "loss.svg"
WIDTH, HEIGHT, MARGIN = 640, 320, 40


class MetricsFile(TrainerCallback):
    """Appends every log line of the main process; on resuming, drops the lines past the checkpoint first."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / METRICS
        self.plot = folder / PLOT

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make the folder; drop rows beyond the step a resumed run starts from."""
        if not state.is_world_process_zero:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in read(self.path) if row["step"] <= state.global_step]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append one row and draw the curve anew."""
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        row = {"step": state.global_step, **{k: v for k, v in logs.items() if k != "epoch"}}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.plot.write_text(svg(read(self.path)), encoding="utf-8")


def read(path: Path) -> list[dict[str, float]]:
    """Rows of a metrics file; none when there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def losses(path: Path) -> list[tuple[int, float]]:
    """(step, training loss) in order."""
    return [(int(row["step"]), float(row["loss"])) for row in read(path) if "loss" in row]


def svg(rows: Sequence[dict[str, float]]) -> str:
    """Training loss as a line, validation loss as dots, on linear axes from 0."""
    train = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    valid = [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]
    last = max((step for step, _ in train + valid), default=1) or 1
    top = max((value for _, value in train + valid), default=1.0) or 1.0

    def place(step: float, value: float) -> tuple[float, float]:
        x = MARGIN + step / last * (WIDTH - 2 * MARGIN)
        return round(x, 1), round(HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN), 1)

    points = " ".join("{},{}".format(*place(*pair)) for pair in train)
    dots = "".join('<circle cx="{}" cy="{}" r="3" fill="#b35900"/>'.format(*place(*pair)) for pair in valid)
    base, right = HEIGHT - MARGIN, WIDTH - MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><title>Loss by step: training (line), validation (dots)</title>'
        f'<path d="M{MARGIN} {MARGIN}V{base}H{right}" fill="none" stroke="#888"/>'
        f'<polyline points="{points}" fill="none" stroke="#1f5f8b" stroke-width="1.5"/>{dots}'
        f'<text x="{MARGIN}" y="{MARGIN - 8}">{top:.3g}</text>'
        f'<text x="{right}" y="{base + 18}" text-anchor="end">{int(last)} steps</text></svg>\n'
    )
