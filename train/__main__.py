"""python -m train RECIPE --data DIR --out DIR: run a recipe, or go on with one that was interrupted.

`python -m train tiny` needs neither data nor folder: it draws its own phantoms, is interrupted and resumed once,
evaluated, and asked a question.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from omnivmed.errors import ModelError
from omnivmed.eval.files import LayoutError
from train.data.skips import TooManyBadSamples
from train.loop.world import NotFinite, NotWritten, ShardingError, rank
from train.recipes import RECIPES, TrainConfig, recipe
from train.recipes.config import SHARDINGS


def main(argv: list[str] | None = None) -> int:
    """0 when done, 1 for a run that ended in trouble, 2 for a mistake in the call, the recipe or the data."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("recipe", help=f"{', '.join(RECIPES)}, or a saved config.json")
    parser.add_argument("--data", type=Path, help="folder with the data sets")
    parser.add_argument("--out", type=Path, help="run folder; an interrupted run in it is resumed")
    parser.add_argument("--stage", action="append", default=[], help="only this stage (may be repeated)")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode ahead")
    parser.add_argument("--sharding", choices=SHARDINGS, help="instead of the recipe's")
    parser.add_argument("--offload", action="store_true", help="optimizer on the host (zero3)")
    parser.add_argument("--show-config", action="store_true", help="print the recipe as JSON and stop")
    parser.add_argument("--list-stages", action="store_true", help="print the stages' names and stop")
    args = parser.parse_args(argv)
    try:
        path = Path(args.recipe)
        config = TrainConfig.load(path) if path.suffix == ".json" else recipe(args.recipe)
        if args.sharding:
            config = replace(config, sharding=args.sharding)
        if args.offload:
            config = replace(config, offload=True)
        if args.list_stages:
            print("\n".join(stage.name for stage in config.stages))
            return 0
        if args.show_config:
            print(config.to_json(), end="")
            return 0
        data, out = folders(config, args.data, args.out)
        if config.name == "tiny" and not args.stage:
            from train.tiny import whole

            result = whole(config, data, out)
            print(f"\n{result.scores}\n{result.question} {result.answer}\nmodel in {result.model}")
            return 0
        from train.loop.run import run

        say = print if rank() == 0 else _nothing
        say(f"model in {run(config, data, out, stages=tuple(args.stage), workers=args.workers, say=say)}")
    except (ValueError, LayoutError, ModelError, TooManyBadSamples, ShardingError) as error:
        return told(error, 2)
    except (NotFinite, NotWritten, OSError) as error:
        return told(error, 1)
    return 0


def told(error: Exception, code: int) -> int:
    """One line for the person at the screen, with the process's number where it is not the first; returns `code`."""
    said = str(error)
    if isinstance(error, OSError):
        place = f" ({Path(error.filename).name})" if error.filename else ""
        said = (
            f"{error.strerror or error}{place}; the newest checkpoint is whole, start again to go on from it"
        )
    print(f"process {rank()}: {said}" if rank() else said, file=sys.stderr, flush=True)
    return code


def _nothing(text: str) -> None:
    """Processes but the first say nothing."""


def folders(config: TrainConfig, data: Path | None, out: Path | None) -> tuple[Path, Path]:
    """Data and run folder; the tiny recipe draws its phantoms into the run folder when none is given.

    Raises ValueError when another recipe gets no data folder.
    """
    if config.model.size != "tiny":
        if data is None or out is None:
            raise ValueError("give --data (the folder with the data sets) and --out (the run folder)")
        return data, out
    out = out or Path(tempfile.mkdtemp(prefix="omnivmed-tiny-"))
    if data is None:
        from train.data import phantoms

        data = out / "data"
        if not (data / "phantoms" / "clips.jsonl").is_file():
            phantoms.write(data / "phantoms")
    return data, out


if __name__ == "__main__":
    sys.exit(main())
