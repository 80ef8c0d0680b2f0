"""The only door to names of Gradio that it does not promise: each is used here, tested by name, and nowhere else.

Gradio keeps some of what this page needs to itself. `missing()` lists what an installed version lacks; `check()` turns
that into a sentence before a page is built on it. `tests/ui/test_upstream.py` tries every name, and an architecture
test keeps the rest of `omnivmed/ui` away from names that begin with an underscore and belong to somebody else.

Measured with 6.31.0; everything here was there from 6.20, the lowest version allowed.
"""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import json
import logging
import sys
import traceback
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.components.base import Component
from gradio.components.plot import PlotData
from gradio.queueing import Event
from gradio.server_messages import ProcessCompletedMessage

from omnivmed.ui import texts

log = logging.getLogger("omnivmed.ui")
PRINTING = ("gradio.queueing", "gradio.routes", "gradio.route_utils")  # modules that print tracebacks

LOOKING = ("gradio.blocks", "gradio.component_meta")  # modules that look up what a component's class takes


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
        "gradio.Blocks._queue.clean_events": hasattr(queue, "clean_events"),
        "gradio.Blocks._queue.send_message": hasattr(queue, "send_message"),
        "gradio.Blocks._queue.pending_messages_per_session": hasattr(queue, "pending_messages_per_session"),
        "gradio.Blocks._queue.pending_event_ids_session": hasattr(queue, "pending_event_ids_session"),
        "gradio.queueing.Event": {"_id", "session_hash", "concurrency_id", "enqueue_time", "request"}
        <= set(Event.__init__.__code__.co_names),
        "gradio.block_function.BlockFunction": {
            "api_name",
            "api_visibility",
            "concurrency_id",
            "queue",
            "inputs",
        }
        <= set(BlockFunction.__init__.__code__.co_names),
    }
    for module in LOOKING:
        names[f"{module}.inspect"] = hasattr(importlib.import_module(module), "inspect")
    names["gradio.components.Component._api_info_cache"] = (
        "_api_info_cache" in Component.api_info.__code__.co_names
    )
    for module in PRINTING:
        names[f"{module}.traceback"] = hasattr(importlib.import_module(module), "traceback")
    return [name for name, there in names.items() if not there]


def check() -> None:
    """Raises UnknownGradio with a sentence that names the version and what it lacks."""
    if lacks := missing():
        raise UnknownGradio(texts.UNKNOWN_GRADIO.format(version=gr.__version__, names=", ".join(lacks)))


class TerseErrors:
    """Stands in for the module `traceback` where the framework prints errors.

    Their messages repeat what was sent (a question, a path); the log gets the kind and the place only.
    """

    def print_exc(self, *_: Any, **__: Any) -> None:
        """One line: class of the error, file and line where it came up."""
        kind, _error, trace = sys.exc_info()
        frames = traceback.extract_tb(trace)
        place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"
        log.warning("event failed code=%s at=%s", kind.__name__ if kind else "?", place)

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)


def keep_errors_terse() -> None:
    """From now on no error that the framework prints repeats what a visitor sent."""
    for name in PRINTING:
        vars(importlib.import_module(name))["traceback"] = TerseErrors()


class RememberedSignatures:
    """Stands in for the module `inspect` where the framework looks up what a component's class takes.

    It does so for every component of a page whenever one is opened, and again for each one that an update touches, in
    the thread that serves everybody: a third of that thread's time while uploads told how far they were.
    """

    def __init__(self) -> None:
        self.signature = functools.lru_cache(maxsize=512)(inspect.signature)
        self.getfullargspec = functools.lru_cache(maxsize=512)(inspect.getfullargspec)

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)


def remember_classes() -> None:
    """From now on what the framework says of a component's class (arguments, schema of its value) is worked out once.

    An update of a component makes a new one, and the schema of its value was built again for each of them.
    """
    remembered = RememberedSignatures()
    for name in LOOKING:
        vars(importlib.import_module(name))["inspect"] = remembered
    built: dict[Any, dict[str, Any]] = {}
    original = Component.api_info
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def api_info(self: Component) -> dict[str, Any]:
        if self._api_info_cache is None and self.data_model in built:
            self._api_info_cache = copy.deepcopy(built[self.data_model])  # type: ignore[assignment]
        info = original(self)
        if self.data_model is not None and self.data_model not in built:
            built[self.data_model] = copy.deepcopy(info)
        return info

    Component.api_info = api_info  # type: ignore[method-assign]


def event_data(event: gr.EventData) -> dict[str, Any]:
    """What the browser sent along with an event (the second argument of `trigger(name, data)`); {} for nonsense."""
    return event._data if isinstance(event._data, dict) else {}


@dataclass(frozen=True)
class QueuedEvent:
    """An event of the framework's queue that waits or runs. `page`: session hash, None for a caller that named none."""

    id: str
    page: str | None
    listener: str  # under which name its updates are fetched: the page, or the event itself
    concurrency_id: str
    since: float  # `time.monotonic()` when it came in
    scope: MutableMapping[str, Any]  # of the request that brought it


@dataclass(frozen=True)
class Work:
    """What a request asks for. `api_name` is None for the page's own events; those that do not queue run at once.

    defaults: what each of its values is where nothing was said.
    """

    concurrency_id: str
    api_name: str | None
    queued: bool
    defaults: tuple[Any, ...] = ()


class EventQueue:
    """The framework's queue, as far as this page looks into it. Make it after `demo.queue()`."""

    def __init__(self, demo: gr.Blocks) -> None:
        self._demo = demo
        self._inside = demo._queue

    def events(self) -> list[QueuedEvent]:
        """All that wait or run now."""
        return [
            QueuedEvent(
                event._id,
                None if event.session_hash == event._id else event.session_hash,
                event.session_hash,
                event.concurrency_id,
                event.enqueue_time,
                event.request.scope,
            )
            for event in list(self._inside.event_ids_to_events.values())
        ]

    def work(self, function: int | str | None) -> Work | None:
        """What the event of this number, or with this public name, does; None when there is no such event."""
        for number, fn in self._demo.fns.items():
            if function == number or (isinstance(function, str) and fn.api_name == function):
                public = fn.api_name if fn.api_visibility == "public" else None
                defaults = tuple(getattr(block, "value", None) for block in fn.inputs)
                return Work(fn.concurrency_id, public, bool(fn.queue), defaults)
        return None

    def listener_of(self, event_id: str) -> str:
        """Under which name the updates of this event are sent."""
        event = self._inside.event_ids_to_events.get(event_id)
        return event_id if event is None else event.session_hash

    async def drop(self, event_id: str) -> None:
        """Take an event out of the queue, or end it at its next step.

        Whoever comes to listen after all is told: without a last message their stream would stay open, and silent.
        """
        event = self._inside.event_ids_to_events.get(event_id)
        if event is not None:
            given_up = ProcessCompletedMessage(output={"error": texts.UNHEARD}, success=False)
            self._inside.send_message(event, given_up)
        await self._inside.clean_events(event_id=event_id)

    def listeners(self) -> set[str]:
        """Names under which messages are kept or would be sent: of pages, and of callers without one."""
        return set(self._inside.pending_messages_per_session)

    def forget(self, listeners: Iterable[str]) -> None:
        """Drop what is kept for these names, but for those with work that waits or runs. On the server's event loop.

        The framework keeps the messages of the last 2,000 pages, whether they are still there or not; it makes the
        place anew when a page asks for something again.
        """
        busy = {event.session_hash for event in self._inside.event_ids_to_events.values()}
        for name in set(listeners) - busy:
            self._inside.pending_messages_per_session.pop(name, None)
            self._inside.pending_event_ids_session.pop(name, None)


def plot_data(figure: Any) -> PlotData:
    """A plotly figure for `gr.Plot`, without the maker's logo (a link to outside) and with one button: save as PNG.

    Gradio hands whatever stands under `config` to plotly.js, but takes none from a figure.
    """
    told = {**json.loads(figure.to_json()), "config": PLOT_CONFIG}
    return PlotData(type="plotly", plot=json.dumps(told))


PLOT_CONFIG = {
    "displaylogo": False,
    "scrollZoom": False,
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "png", "filename": "omnivmed-charts", "scale": 2},
}

# For `Blocks.launch`: without the last look at the own address, which ends the program when a busy machine takes
# over 3 s.
LAUNCH: dict[str, Any] = {"_frontend": False}


class UnopenedFile(gr.File):
    """`gr.File` without the empty temporary file that the original leaves behind at every use."""

    is_template = True

    def get_block_name(self) -> str:
        """What the page's script draws it as: a class below this one would get the name of its parent, which that
        script does not know."""
        return "file"

    def _process_single_file(self, f: Any) -> str:  # type: ignore[override]  # a path is all we read of it
        return str(f.path)
