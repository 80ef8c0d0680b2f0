"""Serve the app with a scripted assistant, for the browser tests: `python -m tests.browser.serve PORT [SPEED] [ssr]`.

SPEED: tokens per second of the assistant. ssr: the page is rendered by Node first, as some hosts do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

# What the scripted assistant is said to need for one token of a prompt.
SECONDS_PER_TOKEN = 0.002
TOKENS_PER_SECOND = 2.5


def main(port: int, tokens_per_second: float = TOKENS_PER_SECOND, ssr: bool = False) -> None:
    from omnivmed.ui.visit.environment import prepare
    from omnivmed.ui.visit.settings import AppSettings

    root = prepare(offline=True, base=Path(tempfile.mkdtemp()) / "root")
    from omnivmed.ui import app
    from tests.scripted import ScriptedAssistant

    settings = AppSettings(model="scripted", port=port, offline=True)
    context = app.make_context(
        settings,
        root,
        lambda *_, **__: ScriptedAssistant(
            tokens_per_second=tokens_per_second,
            script=speech,
            artist=slow_artist(),
        ),
        lambda _: SECONDS_PER_TOKEN,
    )
    demo: Any = app.build_demo(context)
    if ssr:
        plain = demo.launch

        def rendered(**options: Any) -> Any:
            return plain(
                **{**options, "ssr_mode": True, "quiet": False}
            )  # quiet, it does not say how it renders

        demo.launch = rendered
    app.launch(demo, context, warm=False)


def slow_artist() -> Any:
    """Draws with a tiny expert of random weights, slowly enough to be watched and stopped. No quality."""
    import time

    from tests.generation.tiny import tiny_pipeline
    from tests.scripted import scripted_artist

    pipeline = tiny_pipeline()

    class Slow:
        model_id = pipeline.model_id

        def generate_image(self, prompt: str, image: Any = None, **settings: Any) -> Any:
            return pipeline.generate_image(
                prompt, image, **settings | {"callback": slowly(settings["callback"])}
            )

        def counterfactual(self, image: Any, words: str, **settings: Any) -> Any:
            return pipeline.counterfactual(
                image, words, **settings | {"callback": slowly(settings["callback"])}
            )

    def slowly(callback: Any) -> Any:
        def step(done: int, total: int, preview: Any) -> None:
            time.sleep(0.1)
            callback(done, total, preview)

        return step

    return scripted_artist(Slow(), pipeline.abilities)


def speech(study: object, question: str) -> str:
    """Long enough to be stopped when asked for a lot."""
    lead = f"[scripted] You asked: {question} Look at slice 3. "
    return lead + ("and on " * 300 if "everything" in question else "That is all.")


if __name__ == "__main__":
    speed = float(sys.argv[2]) if len(sys.argv) > 2 else TOKENS_PER_SECOND
    main(int(sys.argv[1]), speed, ssr="ssr" in sys.argv[3:])
