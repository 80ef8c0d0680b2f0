"""python -m omnivmed.eval: predict, then score, then report. `--help` of each says more."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.errors import OmniVMedError
from omnivmed.eval import baselines, predictions
from omnivmed.eval.compare import compare
from omnivmed.eval.files import LayoutError
from omnivmed.eval.predictions import Answerer, Header, PredictionsError
from omnivmed.eval.registry import BENCHMARKS, find, find_protocol
from omnivmed.eval.report import Row, markdown

BASELINES = {"majority": baselines.majority, "question-only": baselines.question_only}


def main(argv: list[str] | None = None) -> int:
    """0 when done, 2 for a mistake in the call or the data folder."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (LayoutError, PredictionsError, OmniVMedError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def check(args: argparse.Namespace) -> int:
    """Read the layout and say what was found and what was left out."""
    reading = find(args.benchmark).read(args.data, args.split or find(args.benchmark).test_split)
    closed = sum(item.closed for item in reading.items)
    print(f"{len(reading.items)} questions ({closed} closed), {reading.note}")
    for reason, count in sorted(reading.skipped_by_reason().items()):
        first = next(row.name for row in reading.skipped if row.reason == reason)
        print(f"left out: {count} x {reason}, first {first}")
    return 0


def predict(args: argparse.Namespace) -> int:
    """Answers of a model or a baseline into a JSONL file; goes on where an earlier run stopped."""
    benchmark = find(args.benchmark)
    protocol = find_protocol(benchmark, args.protocol)
    split = args.split or benchmark.test_split
    reading = benchmark.read(args.data, split)
    items = reading.items[: args.limit] if args.limit else reading.items
    threshold = None
    answer: Answerer
    if args.model in BASELINES:
        answer = BASELINES[args.model](benchmark.read(args.data, benchmark.train_split).items)
    else:
        from omnivmed.eval.model import ask
        from omnivmed.inference import AskOptions, load_model  # type: ignore[attr-defined,unused-ignore]

        threshold = args.threshold
        options = AskOptions(threshold=threshold, max_new_tokens=args.max_new_tokens)
        answer = ask(load_model(args.model), options, args.blank)
    name = args.model + (", blank picture" if args.blank else "")
    digest = protocol.prompt_hash(items)
    header = Header(benchmark.name, split, protocol.name, digest, name, threshold, reading.note, len(items))
    replies = predictions.run(items, protocol, header, answer, args.out, _progress)
    print(f"\n{len(replies)} answers in {args.out.name}")
    return 0


def score(args: argparse.Namespace) -> int:
    """Markdown (and JSON beside it) from prediction files; no model is loaded.

    The first file is also compared with each of the others that answers the same questions: paired differences.
    """
    rows, first, differences = [], None, []
    for path in args.predictions:
        header, replies = predictions.load(path)
        benchmark = find(header.benchmark)
        items = benchmark.read(args.data, header.split).items[: header.questions]
        protocol = find_protocol(benchmark, header.protocol)
        if protocol.prompt_hash(items) != header.prompt_hash:
            raise PredictionsError(f"{path.name} answers other questions than those in the data folder")
        given = predictions.texts(replies)
        if first is None:
            first = (header, given)
        elif (header.prompt_hash, header.protocol) == (first[0].prompt_hash, first[0].protocol):
            both = ((first[0].model, first[1]), (header.model, given))
            differences += compare(protocol.name, items, *both)
        seconds = [r.seconds for r in replies.values() if r.seconds]
        rows.append(
            Row(
                header,
                tuple(protocol.score(items, given)),
                predictions.tokens_removed(replies),
                sum(seconds) / len(seconds) if seconds else None,
                sum(bool(r.error) for r in replies.values()),
            )
        )
    text = markdown(
        "Scores", rows, "python -m omnivmed.eval score " + " ".join(p.name for p in args.predictions)
    )
    if differences:
        text += "\nDifferences in points, paired, 95 % interval over images or cases:\n\n"
        text += "".join(f"- {d.text()}\n" for d in differences)
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
        numbers = [
            {"model": r.header.model, "benchmark": r.header.benchmark, "split": r.header.split, **vars(s)}
            for r in rows
            for s in r.scores
        ]
        args.out.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    return 0


def thresholds(args: argparse.Namespace) -> int:
    """One model under several pruning thresholds on the same clips: scores, tokens, seconds (the paper's Table 5)."""
    from omnivmed.eval import thresholds as ablation
    from omnivmed.eval.model import ask
    from omnivmed.inference import AskOptions, Assistant, load_model  # type: ignore[attr-defined,unused-ignore]

    benchmark = find(args.benchmark)
    protocol = find_protocol(benchmark, args.protocol)
    split = args.split or benchmark.test_split
    reading = benchmark.read(args.data, split)
    items = reading.items[: args.limit] if args.limit else reading.items
    loaded: list[Assistant] = []

    def answerer(threshold: float) -> Answerer:
        if not loaded:
            loaded.append(load_model(args.model))
        return ask(loaded[0], AskOptions(threshold=threshold, max_new_tokens=args.max_new_tokens))

    text = ablation.run(
        benchmark,
        protocol,
        items,
        reading.note,
        split,
        args.model,
        answerer,
        args.thresholds,
        args.out,
        _progress,
    )
    print(f"\n{text}")
    return 0


def frames(args: argparse.Namespace) -> int:
    """Numbered pictures of a video (<frame>.png), as the surgical readers want them."""
    from omnivmed.eval.clips import write_frames

    print(f"{write_frames(args.video, args.target, args.every)} frames in {args.target.name}/")
    return 0


def unpack(args: argparse.Namespace) -> int:
    """Turn a hub copy (Parquet) of VQA-RAD or PathVQA into folders."""
    from omnivmed.eval import hub

    for split, count in hub.unpack(args.source, args.target).items():
        print(f"{split}: {count} questions")
    return 0


def _progress(done: int, total: int) -> None:
    print(f"\r{done} of {total}", end="", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m omnivmed.eval", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, run in (("check", check), ("predict", predict), ("thresholds", thresholds)):
        command = commands.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        command.add_argument(
            "benchmark",
            help=f"{', '.join(sorted(BENCHMARKS))}; other clips of a surgical set: cholec80:16x0.5",
        )
        command.add_argument("--data", type=Path, required=True, help="folder of the data set")
        command.add_argument("--split", help="default: the split that is reported")
        command.set_defaults(run=run)
        if run is thresholds:
            command.add_argument("--model", required=True, help="a model name or folder")
            command.add_argument("--protocol", help="default: the paper's")
            command.add_argument("--out", type=Path, required=True, help="folder of answers and tables")
            command.add_argument("--thresholds", type=float, nargs="+", default=[0.0, 0.1, 0.3])
            command.add_argument("--max-new-tokens", type=int, default=64)
            command.add_argument("--limit", type=int, help="only the first so many questions")
        if run is predict:
            command.add_argument(
                "--model", required=True, help="majority, question-only, or a model name or folder"
            )
            command.add_argument("--protocol", help="default: the paper's")
            command.add_argument("--out", type=Path, required=True, help="predictions, JSONL")
            command.add_argument("--threshold", type=float, default=DEFAULT_THRESHOLD)
            command.add_argument("--max-new-tokens", type=int, default=64)
            command.add_argument("--limit", type=int, help="only the first so many questions")
            command.add_argument("--blank", action="store_true", help="show a grey picture instead")
    command = commands.add_parser("frames", help=(frames.__doc__ or "").splitlines()[0])
    command.add_argument("video", type=Path)
    command.add_argument("target", type=Path, help="folder to write")
    command.add_argument("--every", type=int, default=25, help="every so-many-th frame, from 0")
    command.set_defaults(run=frames)
    command = commands.add_parser("unpack", help=(unpack.__doc__ or "").splitlines()[0])
    command.add_argument("source", type=Path, help="the hub copy, with data/*.parquet")
    command.add_argument("target", type=Path, help="folder to write")
    command.set_defaults(run=unpack)
    command = commands.add_parser("score", help=(score.__doc__ or "").splitlines()[0])
    command.add_argument("predictions", type=Path, nargs="+")
    command.add_argument("--data", type=Path, required=True, help="folder of the data set")
    command.add_argument("--out", type=Path, help="markdown file")
    command.set_defaults(run=score)
    return parser


if __name__ == "__main__":
    sys.exit(main())
