"""`convert SRC DST`: a published VideoLLaMA3- or Hulu-Med-type checkpoint → this program's format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from omnivmed.cli.common import ProgressLine
from omnivmed.cli.parser import UsageError


def run(args: argparse.Namespace) -> int:
    """Write a new folder; an existing one is never overwritten."""
    source, target = Path(args.source), Path(args.target)
    if not source.is_dir():
        raise UsageError(f"There is no folder {args.source}.")
    if not (source / "config.json").is_file():
        raise UsageError(f"{args.source} holds no config.json, so it is no published checkpoint.")
    if target.exists():
        raise UsageError(f"{args.target} exists already; name a new folder.")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{args.target} cannot be written: its parent folder does not exist.")
    from omnivmed.model.convert import convert

    progress = ProgressLine()
    done = convert(source, target, progress, drop=tuple(args.drop))
    progress.clear()
    print(
        f"wrote {args.target}: {done.tensors} tensors, {done.bytes / 1e9:.2f} GB, from the {done.layout} layout"
    )
    for what, names in (("setting", done.dropped_settings), ("tensor", done.dropped_tensors)):
        if names:
            print(f"left out {len(names)} {what}(s) without a place here: {', '.join(names[:8])}")
    if not done.has_tokenizer:
        print("Note: there was no tokenizer.json; put one beside it before asking.", file=sys.stderr)
    return 0
