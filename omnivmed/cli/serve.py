"""`serve`: the page, until it is stopped with Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import threading
import time
from typing import NoReturn

from omnivmed.cli.parser import UsageError
from omnivmed.ui.visit.environment import prepare
from omnivmed.ui.visit.settings import check_address, settings_of


def run(args: argparse.Namespace) -> int:
    """Check the settings, make the private folder, then import Gradio and serve."""
    began = time.monotonic()
    settings = settings_of(args, _refuse)
    check_address(settings, _refuse)  # now, not after the seconds that importing takes
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from omnivmed.io import warm_up

    root = prepare(offline=settings.offline)  # before Gradio is imported: it reads its environment then
    try:
        # The decoder starts while Gradio is imported.
        threading.Thread(target=warm_up, name="omnivmed-decoder", daemon=True).start()
        from omnivmed.ui.app import build_demo, launch, make_context

        context = make_context(settings, root)
        launch(build_demo(context), context, began=began)
    finally:
        root.remove()  # here, too: a process that ends by os._exit runs no exit handlers
    return 0


def _refuse(sentence: str) -> NoReturn:
    raise UsageError(f"omnivmed serve: {sentence} (see omnivmed serve --help)")
