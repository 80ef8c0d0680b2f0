"""Serve the app with a scripted assistant, for the browser tests: `python -m tests.browser.serve PORT`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main(port: int) -> None:
    from omnivmed.ui.environment import prepare
    from omnivmed.ui.settings import AppSettings

    root = prepare(offline=True, base=Path(tempfile.mkdtemp()) / "root")
    from omnivmed.ui import app
    from tests.scripted import ScriptedAssistant

    settings = AppSettings(model="scripted", port=port, offline=True)
    context = app.make_context(
        settings, root, lambda *_, **__: ScriptedAssistant(tokens_per_second=2.5, script=speech)
    )
    app.launch(app.build_demo(context), context, warm=False)


def speech(study: object, question: str) -> str:
    """Long enough to be stopped when asked for a lot."""
    lead = f"[scripted] You asked: {question} Look at slice 3. "
    return lead + ("and on " * 300 if "everything" in question else "That is all.")


if __name__ == "__main__":
    main(int(sys.argv[1]))
