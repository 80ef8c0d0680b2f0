"""`draw "PROMPT" --out FILE.png`: one stamped picture, from words or from a study changed as they say."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

from omnivmed.cli.common import ProgressLine, check_input, open_from, print_notes
from omnivmed.cli.loading import loaded, start_loading
from omnivmed.cli.parser import NOTICE, UsageError


def run(args: argparse.Namespace) -> int:
    """Load, draw, save. The file is written as it was stamped; there is no option that leaves the stamp out."""
    from omnivmed.inference.drawing import DrawOptions
    from omnivmed.inference.events import Failed, Stage
    from omnivmed.inference.making import slice_of
    from omnivmed.inference.reply import Replied

    out = _checked(args.out)
    if args.image is not None:
        check_input(args.image)
    if (args.image is None) != (args.task == "text_to_image"):
        raise UsageError("--image FILE and --task go together: what is to be changed, and how.")
    progress = ProgressLine()
    loading = start_loading(args)
    with contextlib.ExitStack() as closing:
        picture = None
        if args.image is not None:
            args.file = args.image
            study = closing.enter_context(open_from(args, progress))
            print_notes(study)
            picture = slice_of(study, None if args.slice is None else args.slice - 1)
        model = loaded(loading, progress)
        options = DrawOptions(args.steps, args.cfg_text, args.cfg_image, args.seed)
        for event in model.draw(args.prompt, picture, options, task=args.task):
            if isinstance(event, Stage):
                progress(event.name, event.done, event.total)
            elif isinstance(event, Replied):
                (made,) = event.reply.pictures
                seconds = event.reply.seconds
            elif isinstance(event, Failed):
                progress.clear()
                raise event.error
    progress.clear()
    try:
        made.image.save(out)
    except OSError as error:
        raise UsageError(f"{args.out} cannot be written: {error.strerror or error}.") from None
    if made.change is not None:
        print(made.change.explanation)
    print(f"wrote {out}")
    print(f"seed {made.image.seed}")
    print(
        f"{made.image.model_id}: drawn in {seconds:.1f} s. Synthetic. Not a patient. {NOTICE}",
        file=sys.stderr,
    )
    return 0


def _checked(name: str) -> Path:
    """Refuse a file that cannot be written, before any work is done. Raises UsageError."""
    path = Path(name)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{name} cannot be written: a drawn picture is a .png, which keeps what says so.")
    if path.is_dir():
        raise UsageError(f"{name} is a folder; give a file name.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{name} cannot be written: there is no such folder, or no permission.")
    return path
