"""Study + question → streamed answer: prompts, the engine, its caches and its events.

Importing this package imports no torch; `load_model` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omnivmed.inference.events import Answer, Done, Event, Failed, MaskReady, Stage, Text

if TYPE_CHECKING:
    from omnivmed.inference.engine import Assistant as Assistant
    from omnivmed.inference.loading import load_model as load_model

__all__ = [
    "Answer",
    "Assistant",
    "Done",
    "Event",
    "Failed",
    "MaskReady",
    "Stage",
    "Text",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "Assistant":
        from omnivmed.inference.engine import Assistant

        return Assistant
    if name == "load_model":
        from omnivmed.inference.loading import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
