"""python -m benchmarks.recipe_step: tokens a second of processor time of a training step, passes filled or not.

Two recipes, pruning on: the tiny one with passes of four samples and of eight, and the 1.5B one at shrunk widths
(bf16, activation checkpointing, its chunks of the loss) with one sample a pass, as it was before passes were filled,
and with as many as its budgets allow. Every arm trains on the same samples in the same order from the same weights, so
tokens are equal and the ratio is that of processor seconds; losses are compared too. An arm is a process of its own,
arms take turns; a run of one step is subtracted, so that reading and building are not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
ARMS = {"tiny": ("passes of 4", "passes of 8"), "shrunk 1.5B": ("one sample a pass", "filled")}
WANTED = 1.5


def arm(recipe_name: str, name: str, data: Path, out: Path, steps: int) -> dict[str, object]:
    """Train so many steps; processor seconds and losses."""
    import torch

    from train.loop import metrics
    from train.loop.run import run
    from train.recipes import recipe
    from train.rehearsal.narrow import narrow, write

    torch.set_num_threads(1)
    write(data)
    if recipe_name == "tiny":
        config = recipe("tiny")
        config = replace(config, micro_batch=4 if name == "passes of 4" else 8)
    else:
        config = narrow("omnivmed_1p5b_8x24gb", 100, "none")
        config = replace(config, fill=name == "filled", token_budget=4_096, patch_budget=16_384)
    stage = replace(config.stage("mixed"), steps=steps, warmup_ratio=0.0)
    stage = replace(stage, global_batch=32) if recipe_name != "tiny" else stage
    config = replace(config, stages=(stage,), validate=0.0, save_every=10**6, validate_every=10**6)
    begun = time.process_time()
    run(config, data, out, say=lambda line: None)
    spent = time.process_time() - begun
    return {"cpu_s": spent, "losses": [loss for _, loss in metrics.losses(out / "mixed" / metrics.METRICS)]}


def measured(recipe_name: str, name: str, data: Path, steps: int) -> tuple[float, list[float]]:
    """(processor seconds of the steps after the first, losses) of one arm."""
    spent, losses = [], []
    for count in (1, steps + 1):
        with tempfile.TemporaryDirectory() as out:
            call = [sys.executable, "-m", "benchmarks.recipe_step", "--arm", recipe_name, name]
            call += [str(data), out, str(count)]
            env = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
            done = subprocess.run(call, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        spent.append(found["cpu_s"])
        losses = found["losses"]
    return spent[1] - spent[0], losses


def main(argv: list[str] | None = None) -> int:
    """0 when the large recipe is as much faster as wanted at equal losses."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe_step", description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="after the first")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--arm", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.arm:
        recipe_name, name, data, out, steps = args.arm
        print(json.dumps(arm(recipe_name, name, Path(data), Path(out), int(steps))))
        return 0
    well = True
    print(
        "| recipe | before | now | tokens a processor second, now to before | largest difference of a loss |"
    )
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for recipe_name, (before, now) in ARMS.items():
            seconds: dict[str, list[float]] = {before: [], now: []}
            losses: dict[str, list[float]] = {}
            for _ in range(args.rounds):
                for name in (before, now):
                    spent, losses[name] = measured(recipe_name, name, Path(folder), args.steps)
                    seconds[name].append(spent)
            ratios = [a / b for a, b in zip(seconds[before], seconds[now], strict=True)]
            apart = max(abs(a - b) for a, b in zip(losses[before], losses[now], strict=True))
            told = ", ".join(f"{value:.2f}" for value in ratios)
            print(
                f"| {recipe_name} | {before}: {median(seconds[before]):.2f} s | {now}: {median(seconds[now]):.2f} s |"
                f" {median(ratios):.2f} ({told}) | {apart:.5f} |",
                flush=True,
            )
            well &= recipe_name == "tiny" or median(ratios) >= WANTED
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
