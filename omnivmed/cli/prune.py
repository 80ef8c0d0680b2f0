"""`prune FILE`: which tokens stay, as numbers and as a picture, without any model (and without torch)."""

from __future__ import annotations

import argparse
import sys

from omnivmed.cli.common import ProgressLine, check_output, open_from, print_notes, save_overlay


def run(args: argparse.Namespace) -> int:
    """Print kept / total and what the threshold means; write the overlay where asked."""
    check_output(args.out)
    from omnivmed.pruning import prune

    progress = ProgressLine()
    with open_from(args, progress) as study:
        print_notes(study)
        mask = prune(study, args.threshold, args.reference, args.max_frames, budget=args.budget)
        t, h, w = mask.keep.shape
        print(
            f"{mask.kept} of {mask.total} tokens kept ({mask.kept_ratio:.1%}): {t} frame(s) of {h} x {w} tokens"
        )
        if mask.reference == "off":
            print(f"pruning off: every token is kept, budget {mask.budget}")
        else:
            print(
                f"threshold {mask.threshold:g} = {mask.threshold_meaning}, reference {mask.reference}, "
                f"budget {mask.budget}"
            )
        if study.kind == "image":
            print("One picture has nothing to compare with: all its tokens are kept.")
        if mask.all_at_floor:
            print(
                "Note: nearly every frame keeps only its minimum; try a narrower window or a lower threshold.",
                file=sys.stderr,
            )
        if args.out:
            save_overlay(args.out, study, mask, args.mode)
            print(f"wrote {args.out}")
    return 0
