"""`prune compare STUDY`: every rule on one study, as a table, a file or a sheet; needs no model and no torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omnivmed.cli.common import ProgressLine, check_input, open_from, print_notes
from omnivmed.cli.parser import UsageError

if TYPE_CHECKING:
    from omnivmed.pruning.compare import Outcome
    from omnivmed.study import Study
    from omnivmed.vision.patches import Patches

FORMATS = (".json", ".png")


def run(args: argparse.Namespace) -> int:
    """Print a line a rule; write what was asked for. Raises UsageError."""
    if args.out and Path(args.out).suffix.lower() not in FORMATS:
        raise UsageError(f"{args.out} cannot be written: choose a name that ends in {' or '.join(FORMATS)}.")
    from omnivmed.pruning.compare import compare, to_dict
    from omnivmed.pruning.rules import RULES
    from omnivmed.vision import named_budget, prepare

    names = tuple(RULES) if args.rules is None else tuple(n for n in args.rules.split(",") if n)
    if unknown := [name for name in names if name not in RULES]:
        raise UsageError(f"There is no rule {unknown[0]}; choose from {', '.join(RULES)}.")
    if not names:
        raise UsageError(f"--rules names none; choose from {', '.join(RULES)}.")
    progress = ProgressLine()
    with open_from(args, progress) as study:
        print_notes(study)
        patches = prepare(study, named_budget(args.budget), max_frames=args.max_frames)
        region = None if args.region is None else _region(args.region, study, patches)
        outcomes = compare(patches, names, match=args.match, region=region)
        for line in table(outcomes):
            print(line)
        if args.out:
            _write(args.out, study, patches, outcomes, to_dict(study, patches, outcomes, args.match))
            print(f"wrote {args.out}")
    return 0


def _region(name: str, study: Study, patches: Patches) -> np.ndarray:
    """bool (t, h, w) of a mask file that has the study's grid: whatever is above 0 is marked."""
    from omnivmed.io import open_study
    from omnivmed.pruning.region import region_tokens

    check_input(name)
    with open_study(name) as mask:
        if mask.shape != study.shape:
            found, wanted = (" x ".join(map(str, one.shape)) for one in (mask, study))
            raise UsageError(f"The region is {found}, the study {wanted}: they must have one grid.")
        values = mask.values(0, mask.shape[0])
    marked = values > 0 if values.ndim == 3 else values.max(axis=-1) > 0
    region = region_tokens(marked, patches)
    if not region.any():
        raise UsageError("The region marks nothing in the slices that are taken; raise --max-frames.")
    return region


def table(outcomes: list[Outcome]) -> list[str]:
    """Lines for the screen."""
    region = outcomes[0].region_tokens is not None
    head = f"{'rule':20}{'looks at':10}{'kept':>7}{'share':>8}{'empty':>7}{'overlap':>9}{'ms':>7}"
    lines = [head + (f"{'region':>9}" if region else "")]
    for one in outcomes:
        line = (
            f"{one.rule.name:20}{one.looks:10}{one.kept:7}{one.kept / one.keep.size:8.1%}{one.empty_frames:7}"
            f"{one.overlap:9.2f}{1000 * one.seconds:7.1f}"
        )
        share = one.region_share
        lines.append(line + (f"{share:9.1%}" if share is not None else "") + _note(one))
    total = outcomes[0].keep.size
    lines.append(f"of {total} tokens; overlap: Jaccard index with {outcomes[0].rule.name}")
    if region:
        lines.append(f"region: {outcomes[0].region_tokens} tokens touch it; the share of them that is kept")
    return lines


def _note(one: Outcome) -> str:
    return "  for comparison only" if one.rule.comparison else ""


def _write(
    name: str, study: Study, patches: Patches, outcomes: list[Outcome], told: dict[str, object]
) -> None:
    from omnivmed.viz.rules import write_rules_sheet

    try:
        if Path(name).suffix.lower() == ".json":
            Path(name).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        else:
            write_rules_sheet(name, study, patches, outcomes)
    except OSError as error:
        raise UsageError(f"{name} cannot be written: {error.strerror or error}.") from None
