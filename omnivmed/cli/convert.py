"""`convert SRC DST`: a published VideoLLaMA3- or Hulu-Med-type checkpoint → this program's format."""

from __future__ import annotations

import argparse
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
    from omnivmed.inference.public import convert_folder

    progress = ProgressLine()
    convert_folder(source, target, progress)
    progress.clear()
    print(f"wrote {args.target}; use it with --model {args.target}")
    return 0
