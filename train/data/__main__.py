"""python -m train.data RECIPE --data DIR: what a recipe's sources hold before anything is trained.

Rows found and left out by source, modality, task and dimension, as a table and a figure per stage; nothing is opened
but the sets' own files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from omnivmed.eval.files import LayoutError
from omnivmed.records import SampleSet
from train.data.dropped import Account
from train.data.sources import read_source
from train.data.statistics import figure, markdown, statistics_of
from train.recipes import RECIPES, TrainConfig, recipe


def main(argv: list[str] | None = None) -> int:
    """0 when done, 1 when more rows are left out than the recipe allows or a source is not there, 2 for a mistake in
    the call."""
    parser = argparse.ArgumentParser(prog="python -m train.data", description=__doc__)
    parser.add_argument("recipe", help=f"{', '.join(RECIPES)}, or a saved config.json")
    parser.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    parser.add_argument("--stage", action="append", default=[], help="only this stage (may be repeated)")
    parser.add_argument(
        "--out", type=Path, help="folder for <stage>.md, <stage>.png and <stage>.dropped.jsonl"
    )
    args = parser.parse_args(argv)
    try:
        path = Path(args.recipe)
        config = TrainConfig.load(path) if path.suffix == ".json" else recipe(args.recipe)
        stages = [config.stage(name) for name in args.stage] or list(config.stages)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    code = 0
    for stage in stages:
        found: dict[str, SampleSet] = {}
        parts = []
        for source in stage.sources:
            try:
                read = read_source(source, args.data, config.seed)
            except (LayoutError, ValueError) as error:
                print(f"{stage.name}: {source.path} ({source.reader}) is not there: {error}", file=sys.stderr)
                code = 1
                continue
            found[f"{source.reader}:{source.path}:{source.split}"] = read
            parts.append((read.samples, source.weight))
        statistics = statistics_of(parts)
        command = f"python -m train.data {path.name} --stage {stage.name}"
        text = markdown(
            statistics, f"{config.name}, {stage.name}: what an epoch is made of", command, stage.samples
        )
        account = Account(found)
        print(text)
        for line in account.lines():
            print(line)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / f"{stage.name}.md").write_text(text, encoding="utf-8")
            figure(statistics, args.out / f"{stage.name}.png")
            account.write(args.out / f"{stage.name}.dropped.jsonl")
        try:
            account.check(config.max_skip_rate)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
