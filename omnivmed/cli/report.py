"""`report FILE`: findings and impression of a study, streamed to stdout."""

from __future__ import annotations

import argparse

from omnivmed.cli.common import ProgressLine, check_input, open_from, print_notes
from omnivmed.cli.loading import loaded, start_loading


def run(args: argparse.Namespace) -> int:
    """Open, load, write. What the model may not say is said to be held back."""
    check_input(args.file)
    progress = ProgressLine()
    loading = start_loading(args)
    with open_from(args, progress) as study:
        print_notes(study)
        model = loaded(loading, progress)
        for piece in model.write_report(study):
            print(piece, end="", flush=True)
    return 0
