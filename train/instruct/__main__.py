"""python -m train.instruct plan | records | drawing | check | run | select | out: from public sources.

plan says what will be asked of whom; records turns a recipe's sources into shards; drawing makes pairs of pictures of
them; check drops what is in a test set or there twice; run asks the services, and goes on where it was stopped; select
chooses from stored answers, as often and by as many rules as one likes; out writes the finished set. README.md
here has the order.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from omnivmed.eval.files import LayoutError
from omnivmed.eval.registry import find
from omnivmed.records import Item
from train.instruct.graph import plan
from train.instruct.graph import steps as graph
from train.instruct.rows import shards
from train.instruct.rows.record import RecordError
from train.instruct.select import repeats as quality
from train.instruct.select.rules import KEEP, WEIGHT, Bar
from train.instruct.services.client import HttpService
from train.instruct.sources import cells, gather
from train.instruct.sources import drawing as draw
from train.recipes import RECIPES, TrainConfig, recipe


def main(argv: list[str] | None = None) -> int:
    """0 when done, 2 for a mistake in the call or the data."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (ValueError, LayoutError, RecordError) as error:
        print(error, file=sys.stderr)
        return 2


def show_plan(args: argparse.Namespace) -> int:
    """Calls, tokens, hours and money per service."""
    dollars = None if args.dollars is None else (args.dollars[0], args.dollars[1])
    print(cells.markdown())
    print(f"{args.graph}: {args.rows:,} rows, {args.candidates} candidates, {args.judges} judges\n")
    found = plan.loads(args.graph, args.rows, args.candidates, args.judges)
    print(plan.markdown(found, plan.Price(args.tokens_s, dollars=dollars)))
    return 0


def write_records(args: argparse.Namespace) -> int:
    """The sources of a recipe's stage as shards of records; what is left out is said."""
    path = Path(args.recipe)
    config = TrainConfig.load(path) if path.suffix == ".json" else recipe(args.recipe)
    sources = [s for s in config.stage(args.stage).sources if not args.source or s.reader in args.source]
    parts: list[gather.Part] = []
    rows = gather.gather(sources, args.data, config.seed, parts, args.incomplete)
    print(f"{shards.write_shards(rows, args.out / args.graph / 'records', args.rows)} shards")
    gather.write_account(parts, args.out / args.graph / "sources.json")
    for part in parts:
        print(f"{part.source} ({part.reader}): {part.made} rows of {part.found} found")
        for reason, number in part.left_out.items():
            print(f"  {number} x {reason}")
    print(cells.table((p.source, p.planned, p.found, p.made) for p in parts))
    return 0


def drawing(args: argparse.Namespace) -> int:
    """Records for drawing, from public pairs and from the rows of `records`: pictures into OUT/drawing/media."""
    folder = args.out / "drawing"
    rows = shards.records_of(args.out / args.graph / "records")
    counts = draw.write(draw.everything(rows, args.data, folder / "media", args.seed), folder)
    for task, number in counts.items():
        print(f"{number} x {task}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Drop rows that are in a test set, or there twice; before anything is asked."""
    folder = args.out / args.graph
    items: list[Item] = []
    for given in args.test:
        name, _, path = given.partition("=")
        benchmark = find(name)
        items += benchmark.read(args.data / path, benchmark.test_split).items
    pictures, texts, closed = quality.known_from(items)
    print(
        f"{len(items)} test questions" + (f", {closed} pictures of them cannot be opened" if closed else "")
    )
    leaked = shards.run(quality.Leakage(args.data, pictures, texts), folder / "records", folder / "unleaked")
    print(f"{leaked.kept} of {leaked.read} rows are in no test set")
    doubled = quality.unique(folder / "unleaked", folder / "checked")
    print(f"{doubled.kept} of {doubled.read} rows are there once")
    for part in ("unleaked", "checked"):
        for reason, number in shards.reasons(folder / part).items():
            print(f"  {number} x {reason}")
    return 0


def ask(args: argparse.Namespace) -> int:
    """Ask the services, stage after stage; a run that was stopped goes on."""
    folder = args.out / args.graph

    def service(given: list[str]) -> HttpService:
        return HttpService(given[0], given[1], args.out / "cache", remote=args.remote)

    captioner = service(args.captioner)
    if args.graph == "captions":
        steps = graph.caption_steps(args.data, captioner, [service(j) for j in args.judge], args.candidates)
    else:
        if args.embedder is None or len(args.judge) != 1:
            raise ValueError("oka wants one --embedder, and one --judge for the match of picture and text")
        steps = graph.oka_steps(
            args.data, captioner, service(args.embedder), service(args.judge[0]), args.candidates
        )
    graph.run(
        steps,
        folder,
        at_once=args.at_once,
        done=lambda n, of: print(f"{n} of {of} shards", file=sys.stderr, flush=True),
    )
    return 0


def select(args: argparse.Namespace) -> int:
    """Make `selected/` from stored scores."""
    folder = args.out / args.graph
    if args.graph == "oka":
        chosen = graph.select_oka(folder, args.keep, args.weight)
        print(
            f"{len(chosen)} rows from {chosen.bar:.3f} up; {chosen.unscored} without a score, none of them taken"
        )
        return 0
    counts = graph.select_captions(folder, Bar(args.lowest, args.mean, args.judges))
    print(f"{counts['kept']} of {counts['read']} captions, {counts['rejected']} rejected")
    for pair, kappa in graph.agreement(folder).items():
        print(f"agreement {pair}: weighted kappa {kappa:.2f}")
    return 0


def finish(args: argparse.Namespace) -> int:
    """The selected rows as Parquet, media shards, conversations, Croissant metadata and a card."""
    from train.instruct.out import card, croissant, final, parquet

    folder = args.out / args.graph
    counts = parquet.write(shards.records_of(folder / "selected"), args.data, args.set)
    with (args.set / "conversations.jsonl").open("w", encoding="utf-8") as file:
        for record in shards.records_of(folder / "selected"):
            file.write(json.dumps(final.llava(record), ensure_ascii=False) + "\n")
    card.write(folder, args.set, args.title)
    licences = sorted({r.licence for r in shards.records_of(folder / "selected")})
    croissant.write(args.set, args.title, "Instruction data; the card says what is in it.", licences)
    print(
        ", ".join(f"{n} {split}" for split, n in counts.items()), "rows; read the card before passing them on"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train.instruct", description=__doc__)
    commands = parser.add_subparsers(required=True)
    made = {}
    for name, run in (
        ("plan", show_plan),
        ("records", write_records),
        ("drawing", drawing),
        ("check", check),
        ("run", ask),
        ("select", select),
        ("out", finish),
    ):
        made[name] = commands.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        made[name].add_argument("--graph", choices=("captions", "oka"), default="captions")
        made[name].set_defaults(run=run)
    for name in ("records", "drawing", "check", "run", "select", "out"):
        made[name].add_argument(
            "--out", type=Path, required=True, help="folder of shards, answers and selection"
        )
    for name in ("records", "drawing", "check", "run", "out"):
        made[name].add_argument("--data", type=Path, required=True, help="folder with the data sets")
    for name in ("plan", "run"):
        made[name].add_argument("--candidates", type=int, default=5)
    command = made["plan"]
    command.add_argument("--rows", type=int, default=20_000)
    command.add_argument("--judges", type=int, default=2)
    command.add_argument("--tokens-s", type=float, default=2_000.0, help="written a second by a service")
    command.add_argument(
        "--dollars", type=float, nargs=2, metavar=("READ", "WRITTEN"), help="a million tokens"
    )
    command = made["records"]
    command.add_argument("recipe", help=f"{', '.join(RECIPES)}, or a saved config.json")
    command.add_argument("--stage", default="mixed")
    command.add_argument("--source", action="append", help="only this reader (may be repeated)")
    command.add_argument("--rows", type=int, default=1_000, help="rows a shard")
    command.add_argument(
        "--incomplete", action="store_true", help="keep rows of which modality or task cannot be told"
    )
    made["drawing"].add_argument("--seed", type=int, default=0)
    command = made["check"]
    command.add_argument(
        "--test", action="append", default=[], metavar="BENCHMARK=FOLDER", help="slake=SLAKE; may be repeated"
    )
    command = made["run"]
    command.add_argument("--captioner", nargs=2, required=True, metavar=("URL", "MODEL"))
    command.add_argument("--judge", nargs=2, action="append", default=[], metavar=("URL", "MODEL"))
    command.add_argument("--embedder", nargs=2, metavar=("URL", "MODEL"))
    command.add_argument("--at-once", type=int, default=16, help="rows that wait for a service side by side")
    command.add_argument("--remote", action="store_true", help="pictures may be sent to another computer")
    command = made["select"]
    command.add_argument("--keep", type=float, default=KEEP, help="oka: share of rows")
    command.add_argument("--weight", type=float, default=WEIGHT, help="oka: of S beside M")
    command.add_argument(
        "--lowest", type=float, default=Bar.lowest, help="captions: of any judge in any criterion"
    )
    command.add_argument("--mean", type=float, default=Bar.mean, help="captions: over judges and criteria")
    command.add_argument("--judges", type=int, default=Bar.judges, help="captions: that must have answered")
    command = made["out"]
    command.add_argument("--set", type=Path, required=True, help="folder of the finished set")
    command.add_argument("--title", default="Medical instruction data", help="of the card")
    return parser


if __name__ == "__main__":
    sys.exit(main())
