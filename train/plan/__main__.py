"""python -m train.plan RECIPE --gpus 8x24: what a run needs, before it is started. Exit code 1: it does not fit."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from train.plan.report import Cards, plan_stage, text
from train.recipes import RECIPES, TrainConfig, recipe
from train.recipes.config import SHARDINGS


def main(argv: list[str] | None = None) -> int:
    """0 fits, 1 does not fit, 2 a mistake in the call."""
    parser = argparse.ArgumentParser(prog="python -m train.plan", description=__doc__)
    parser.add_argument("recipe", help=f"{', '.join(RECIPES)}, or a saved config.json")
    parser.add_argument(
        "--gpus", required=True, help="count x GB per card, such as 8x24; 2x8x40 for two nodes"
    )
    parser.add_argument("--stage", help="only this stage")
    parser.add_argument("--tflops", type=float, help="sustained bf16 TFLOP/s per card")
    parser.add_argument("--link", type=float, help="GB/s between cards while they reduce gradients")
    parser.add_argument("--sharding", choices=SHARDINGS, help="instead of the recipe's")
    parser.add_argument("--offload", action="store_true", help="optimizer on the host (zero3)")
    args = parser.parse_args(argv)
    try:
        path = Path(args.recipe)
        config = TrainConfig.load(path) if path.suffix == ".json" else recipe(args.recipe)
        if args.sharding:
            config = replace(config, sharding=args.sharding)
        config = replace(config, offload=config.offload or args.offload)
        cards = Cards.parse(args.gpus)
        stages = [config.stage(args.stage)] if args.stage else config.stages
        plans = [plan_stage(config, stage, cards, args.tflops, args.link) for stage in stages]
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(text(config, plans))
    return 0 if all(plan.fits for plan in plans) else 1


if __name__ == "__main__":
    sys.exit(main())
