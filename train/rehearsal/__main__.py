"""python -m train.rehearsal: the first night of a large run, before there are cards.

First the recipe at its real widths on torch's meta device: model, freezing, optimizer, sharding over as many processes
as there are cards, passes of a step; nothing is computed and nothing takes memory. Then the same recipe with the tiny
model on phantoms (stills, volumes, clips, text), over several processes through train/launch/torchrun.sh: once left
alone, and once with all processes killed, one of them killed, a slow disk, a full disk at a checkpoint, a NaN, a time
limit, and a byte changed in a checkpoint. Each has to end in a line that says what to do, and what is resumed has to
equal the run that was left alone: every loss to its last digit, every weight.

Exit code 1 when one of them does not. What is in --out is not done again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from train.recipes import RECIPES, recipe
from train.recipes.config import Sharding
from train.rehearsal import narrow, night, wide


def rehearse(
    out: Path, name: str, steps: int, processes: int, sharding: Sharding, say: Callable[[str], None] = print
) -> bool:
    """The second part; writes `out/rehearsal.md`. False when something was not as it has to be."""
    config = narrow.narrow(name, steps, sharding)
    data = out / "data"
    narrow.write(data)
    whole = night.Night(config, data, out / "whole", processes, say)
    if not (out / "whole" / config.stages[-1].name / "final" / "manifest.json").is_file():
        whole.finish()
    say(f"left alone: {sum(stage.planned_steps() for stage in config.stages)} steps done")
    shutil.rmtree(out / "night", ignore_errors=True)
    struck = night.Night(config, data, out / "night", processes, say)
    night.whole_night(struck)
    night.resumed(struck)
    same = night.compare(out / "whole", out / "night", config)
    bad = [night.skipped(out / part) for part in ("whole", "night")]
    text = report(config.name, struck, same, bad)
    (out / "rehearsal.md").write_text(text, encoding="utf-8")
    say(text)
    return (
        all(event.well for event in struck.events)
        and all(c and w for _, _, c, w in same)
        and bad[0] == bad[1]
    )


def report(
    name: str, struck: night.Night, same: list[tuple[str, int, bool, bool]], bad: list[list[str]]
) -> str:
    """Markdown."""
    lines = [f"{name}, {struck.processes} processes, {struck.config.sharding}, {struck.starts} starts", ""]
    lines += ["| what happened | at | what was said | the next start | |", "|---|---|---|---|---|"]
    for event in struck.events:
        verdict = "as it should" if event.well else "NOT as it should"
        lines.append(f"| {event.fault} | {event.where} | {event.said} | {event.next} | {verdict} |")
    lines += ["", "| stage | losses | equal to the run that was left alone | weights |", "|---|---|---|---|"]
    for stage, count, curve, weights in same:
        told = ["to the last digit" if curve else "NO", "byte for byte" if weights else "NO"]
        lines.append(f"| {stage} | {count} | {told[0]} | {told[1]} |")
    equal = "the same" if bad[0] == bad[1] else f"NOT the same: {bad[1]}"
    lines += ["", f"Bad samples of both runs: {', '.join(bad[0]) or 'none'} ({equal})."]
    return "\n".join(lines) + "\n"


def show(name: str, cards: int, say: Callable[[str], None] = print) -> bool:
    """The first part. False when something does not agree with the plan."""
    well = True
    for stage in wide.walk(recipe(name), cards):
        groups = ", ".join(f"{count:,} at {rate:g}" for rate, count in stage.groups.items())
        say(
            f"{name}, {stage.stage}: {stage.parameters:,} parameters, {stage.learning:,} learn ({groups});"
            f" {stage.sharded:,} in one of {cards} processes; states {stage.states / 1e9:.2f} GB before sharding,"
            f" planned {stage.planned / 1e9:.2f}; {stage.steps:,} steps of {stage.slots} passes"
        )
        for sentence in stage.wrong(cards):
            say(f"  NOT as planned: {sentence}")
            well = False
    return well


def main(argv: list[str] | None = None) -> int:
    """0 when all is as it has to be, 1 otherwise, 2 for a mistake in the call."""
    parser = argparse.ArgumentParser(
        prog="python -m train.rehearsal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", default="omnivmed_1p5b_8x24gb", choices=sorted(RECIPES))
    parser.add_argument("--cards", type=int, default=8, help="of the first part")
    parser.add_argument(
        "--steps", type=int, default=2_000, help="of the second part, in all stages together; 0: none"
    )
    parser.add_argument("--processes", type=int, default=2)
    shardings = get_args(Sharding)
    parser.add_argument("--sharding", choices=shardings, default="fsdp2", help="zero1..3 need deepspeed")
    parser.add_argument("--out", type=Path, help="folder for the runs; default: a temporary one")
    args = parser.parse_args(argv)
    try:
        well = show(args.recipe, args.cards)
        if args.steps:
            out = args.out or Path(tempfile.mkdtemp(prefix="omnivmed-rehearsal-"))
            well &= rehearse(out, args.recipe, args.steps, args.processes, args.sharding)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
