"""`python -m benchmarks.load`: the running page under many people. On loopback, with a scripted model, bounded.

    python -m benchmarks.load crowd --against OTHER_CHECKOUT      32 people, 3 questions each, at once
    python -m benchmarks.load openings                           a sample's opening while four uploads are decoded
    python -m benchmarks.load mixed                              200 mixed visits: what they leave behind
    python -m benchmarks.load pages                              1,000 pages opened and left
    python -m benchmarks.load starts --against OTHER_CHECKOUT     from the command to the first study, side by side
    python -m benchmarks.load soak --minutes 60                  an hour in which much goes wrong

Prints what was found as JSON, with `--out FILE` into a file too. Seconds mean something on a quiet machine only:
the load average before and after stands beside them, and other work shows in both halves of a ratio alike. What is
left behind does not care.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import report


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    before = report.load_average()
    found = {
        "what": args.what,
        "command": "python -m benchmarks.load " + repeated(args),
        "found": _measure(args),
        "machine": report.machine(),
        "load_average": {"before": before, "after": report.load_average()},
    }
    text = json.dumps(found, indent=1)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    if args.what == "crowd":
        from benchmarks.load.crowd import rounds

        return rounds(args.users, args.turns, args.against, args.times)
    if args.what == "openings":
        from benchmarks.load.crowd import openings

        return openings(args.slices, args.uploads, args.alone, args.against)
    if args.what == "mixed":
        from benchmarks.load.leaks import mixed

        return mixed(args.requests, args.warm)
    if args.what == "pages":
        from benchmarks.load.leaks import pages

        return pages(args.pages, args.at_once, args.warm)
    if args.what == "starts":
        from benchmarks.load.starts import starts

        return starts(args.against, args.times)
    from benchmarks.load.soak import soak

    return soak(args.minutes, args.every, 60 * args.quiet_every, args.seed, _tell)


def _tell(line: dict[str, float]) -> None:
    print(" ".join(f"{name}={value:.3g}" for name, value in line.items()), file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """Six measurements and their sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.splitlines()[0])
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--out", type=Path, help="write the figures there, too")
    kinds = parser.add_subparsers(dest="what", required=True)

    crowd = kinds.add_parser("crowd", parents=[both], help="many people ask at once")
    crowd.add_argument("--users", type=int, default=32)
    crowd.add_argument("--turns", type=int, default=3)
    crowd.add_argument("--times", type=int, default=2, help="how often each checkout is measured")
    crowd.add_argument("--against", type=Path, help="another checkout, measured in turn")

    openings = kinds.add_parser(
        "openings", parents=[both], help="a sample's opening, alone and beside uploads"
    )
    openings.add_argument("--slices", type=int, default=208, help="of 512 x 512; 208 are 76 MB on the line")
    openings.add_argument("--uploads", type=int, default=4)
    openings.add_argument("--alone", type=int, default=60)
    openings.add_argument("--against", type=Path, help="another checkout, measured afterwards")

    mixed = kinds.add_parser("mixed", parents=[both], help="mixed visits, and what they leave behind")
    mixed.add_argument("--requests", type=int, default=200)
    mixed.add_argument("--warm", type=int, default=80, help="visits before counting begins")

    pages = kinds.add_parser("pages", parents=[both], help="pages opened and left")
    pages.add_argument("--pages", type=int, default=1000)
    pages.add_argument("--at-once", type=int, default=4)
    pages.add_argument("--warm", type=int, default=100)

    starts = kinds.add_parser("starts", parents=[both], help="from the command to the first study")
    starts.add_argument("--times", type=int, default=4)
    starts.add_argument("--against", type=Path, required=True, help="the checkout to compare with")

    soak = kinds.add_parser("soak", parents=[both], help="a long time in which much goes wrong")
    soak.add_argument("--minutes", type=float, default=60.0)
    soak.add_argument(
        "--every", type=float, default=4.0, help="seconds between two visits of one of three people"
    )
    soak.add_argument("--quiet-every", type=float, default=5.0, help="minutes until everybody leaves")
    soak.add_argument("--seed", type=int, default=0)
    return parser


def repeated(args: argparse.Namespace) -> str:
    """The command that repeats this run, without the folders of this machine."""
    words = [args.what]
    for name, value in vars(args).items():
        if name in ("what", "out") or value is None:
            continue
        words += [f"--{name.replace('_', '-')}", "OTHER_CHECKOUT" if isinstance(value, Path) else str(value)]
    return " ".join(words)


if __name__ == "__main__":
    raise SystemExit(main())
