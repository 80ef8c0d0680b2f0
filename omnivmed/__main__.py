"""`python -m omnivmed …` and the command `omnivmed`: see `omnivmed.cli`."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from omnivmed.cli import main


def run() -> NoReturn:
    """One command, then the end of the process with its exit code."""
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        # A model may still be loading in the background for a study that could not be opened: do not wait for it.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
