"""What the commands share: opening the study, progress on a terminal, refusing outputs early."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omnivmed.cli.parser import UsageError

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study
    from omnivmed.viz import Mode


class ProgressLine:
    """One line on stderr that is overwritten; silent when stderr is no terminal."""

    def __init__(self) -> None:
        self._shown = False
        self._live = sys.stderr.isatty()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._live and total > 0:
            share = (
                f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"
                if stage == "downloading"
                else f"{done} of {total}"
            )
            print(f"\r\x1b[K{stage}: {share}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def clear(self) -> None:
        """Wipe the line before other output."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


def check_input(name: str) -> None:
    """Refuse a file that is not there before anything is loaded. Raises UsageError."""
    path = Path(name)
    try:
        if not path.exists():
            raise UsageError(f"There is no file or folder {name}.")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{name} may not be read by you.")
    except (OSError, ValueError):
        raise UsageError("The file name is not a possible one.") from None


def open_from(args: argparse.Namespace, progress: ProgressLine) -> Study:
    """The study named on the command line. Raises UsageError or StudyError."""
    from omnivmed.io import open_study

    check_input(args.file)
    study = open_study(args.file, window=args.window, series=args.series, progress=progress)
    progress.clear()
    if not getattr(args, "paint_out", False):
        return study
    try:
        return without_text(study)
    except BaseException:
        study.close()
        raise


def without_text(study: Study) -> Study:
    """The study with the text that was found in it painted out. Raises StudyError without the extra `text`."""
    from omnivmed.io import find_text

    found = find_text(study)
    return found.with_painted(found.text_boxes or ())


def print_notes(study: Study) -> None:
    """Everything that was altered or is doubtful, one line each, on stderr."""
    for note in study.notes:
        print(f"Note: {note}", file=sys.stderr)


def check_output(name: str | None) -> None:
    """Refuse an output that cannot be written, before any work is done. Raises UsageError."""
    if name is None:
        return
    from omnivmed.viz import FORMATS

    path = Path(name)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{name} cannot be written: choose a name that ends in {', '.join(FORMATS)}.")
    if path.is_dir():
        raise UsageError(f"{name} is a folder; give a file name.")
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"{name} cannot be written: the folder {folder} does not exist.")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UsageError(f"{name} cannot be written: there is no permission.")


def save_overlay(name: str, study: Study, mask: KeepMask, mode: Mode = "kept") -> None:
    """Write the mask over its study. Raises UsageError when the place cannot be written."""
    from omnivmed.viz import write_overlay

    try:
        write_overlay(name, study, mask, mode=mode)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{name} cannot be written: {reason}.") from None
