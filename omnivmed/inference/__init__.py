"""Study + question → streamed answer: prompts, the engine, its caches and its events.

Importing this package imports no torch; `load_model` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omnivmed.inference.assistant import Assistant
from omnivmed.inference.events import Answer, Done, Event, Failed, MaskReady, Stage, Text, Timings, Usage
from omnivmed.inference.options import AskOptions

if TYPE_CHECKING:
    from omnivmed.inference.engine import LocalAssistant as LocalAssistant
    from omnivmed.inference.loading import load_model as load_model

__all__ = [
    "Answer",
    "AskOptions",
    "Assistant",
    "Done",
    "Event",
    "Failed",
    "LocalAssistant",
    "MaskReady",
    "Stage",
    "Text",
    "Timings",
    "Usage",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name == "LocalAssistant":
        from omnivmed.inference.engine import LocalAssistant

        return LocalAssistant
    if name == "load_model":
        from omnivmed.inference.loading import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
