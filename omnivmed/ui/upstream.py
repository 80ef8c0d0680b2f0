"""The only door to names of Gradio that it does not promise: each is used here, tested by name, and nowhere else.

Gradio keeps some of what this page needs to itself. `missing()` lists what an installed version lacks; `check()` turns
that into a sentence before a page is built on it. `tests/ui/test_upstream.py` tries every name, and an architecture
test keeps the rest of `omnivmed/ui` away from names that begin with an underscore and belong to somebody else.

Measured with 6.31.0; everything here was there from 6.20, the lowest version allowed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from omnivmed.ui import texts


class UnknownGradio(RuntimeError):
    """The installed Gradio lacks names this page is built on."""


def missing() -> list[str]:
    """What the installed Gradio lacks of the names used below; empty when the page can be built."""
    queue = getattr(gr.Blocks(analytics_enabled=False), "_queue", None)
    names = {
        "gradio.File._process_single_file": hasattr(gr.File, "_process_single_file"),
        "gradio.Blocks.launch(_frontend=)": "_frontend" in inspect.signature(gr.Blocks.launch).parameters,
        "gradio.EventData._data": "_data" in vars(gr.EventData(None, None)),
        "gradio.Blocks._queue.event_ids_to_events": hasattr(queue, "event_ids_to_events"),
    }
    return [name for name, there in names.items() if not there]


def check() -> None:
    """Raises UnknownGradio with a sentence that names the version and what it lacks."""
    if lacks := missing():
        raise UnknownGradio(texts.UNKNOWN_GRADIO.format(version=gr.__version__, names=", ".join(lacks)))


def event_data(event: gr.EventData) -> dict[str, Any]:
    """What the browser sent along with an event (the second argument of `trigger(name, data)`); {} for nonsense."""
    return event._data if isinstance(event._data, dict) else {}


def waiting_of(demo: gr.Blocks) -> Callable[[str], int]:
    """`waiting(session_hash)`: events of this page that wait or run now. Call after `demo.queue()`."""
    events = demo._queue.event_ids_to_events

    def waiting(key: str) -> int:
        return sum(event.session_hash == key for event in list(events.values()))

    return waiting


# For `Blocks.launch`: without the last look at the own address, which ends the program when a busy machine takes
# over 3 s.
LAUNCH: dict[str, Any] = {"_frontend": False}


class UnopenedFile(gr.File):
    """`gr.File` without the empty temporary file that the original leaves behind at every use."""

    is_template = True

    def _process_single_file(self, f: Any) -> str:
        return str(f.path)
