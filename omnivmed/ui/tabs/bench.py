"""What tabs are made of and share: the pattern, the kinds of events, and the moments they can join.

A tab is a module with three things and one name::

    @dataclass(frozen=True)
    class NotesPage: ...                                   # its components

    def build(context: Context) -> NotesPage: ...          # lays them out
    class Notes: ...                                       # its handlers: request first, then values; give Updates
    def wire(bench: Bench, page: NotesPage) -> None: ...   # events; joins moments through the bench

    TAB = Tab(build, wire, id="notes", title=…)

and one line in `omnivmed.ui.app.TABS`. A `Panel` is the same without a title: it stands between notes and picture.

All events of the page are private: the public interface is made in `omnivmed.ui.tabs.api`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gradio as gr

from omnivmed.ui.tabs.options import OptionsPage
from omnivmed.ui.tabs.screen import Hooks, Screen
from omnivmed.ui.visit.samples import SAMPLES
from omnivmed.ui.visit.studies import Context

P = TypeVar("P")
LOOK_AFTER_S = 15.0  # how soon an open page hears that its study was deleted
ANSWERING_AT_ONCE = 8  # they wait for the one model in the engine, where each is told its place
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Panel(Generic[P]):
    """`build(context)` lays components out and returns them, `wire(bench, page)` gives them their events."""

    build: Callable[[Context], P]
    wire: Callable[[Bench, P], None]


@dataclass(frozen=True, kw_only=True)
class Tab(Panel[P]):
    """The same under a title of its own. `id`: of the tab, unique on the page."""

    id: str
    title: str


class Bench:
    """Where tabs meet while they are wired.

    `light` events change the page at once; `heavy` ones decode an upload and take their turn; `quick` ones show a
    sample, plan, cut or draw, and never wait behind uploads; `model` ones wait for the model; `clip` ones convert
    and `search` ones look for text in the background.
    """

    light: dict[str, Any] = {**QUIET, "queue": False}  # noqa: RUF012 - never changed
    model: dict[str, Any] = {  # noqa: RUF012
        **QUIET,
        "concurrency_id": "model",
        "concurrency_limit": ANSWERING_AT_ONCE,
    }
    quick: dict[str, Any] = {  # noqa: RUF012
        **QUIET,
        "concurrency_id": "quick",
        "concurrency_limit": ANSWERING_AT_ONCE,
    }
    clip: dict[str, Any] = {**QUIET, "concurrency_id": "clip", "concurrency_limit": 1}  # noqa: RUF012

    search: dict[str, Any] = {  # noqa: RUF012
        **QUIET,
        "concurrency_id": "search",
        "concurrency_limit": 2,
    }

    def __init__(self, context: Context, screen: Screen, options: OptionsPage) -> None:
        self.context = context
        self.screen = screen
        self.options = options
        self.heavy: dict[str, Any] = {
            **QUIET,
            "concurrency_id": "open",
            "concurrency_limit": context.limits.queue_size,  # they wait in a line in which each is told its place
        }
        self.when_planned = Hooks()  # of the OpenStudy: its mask is another
        self.when_known = Hooks()  # of nothing: the model is here, or it is known that it will not be
        self.when_answered = Hooks()  # of Session, OpenStudy and Turn: an answer is over
        self._openers: list[tuple[Any, Any, list[Any], list[Any], dict[str, Any]]] = []
        self._after: list[tuple[Any, Any, Any, dict[str, Any]]] = []
        self._last: list[Callable[[], None]] = []
        self.after_opening(screen.convert_clip, None, screen.page.viewer, self.clip)

    @property
    def when_shown(self) -> Hooks:
        """Of the OpenStudy: it is on the screen."""
        return self.screen.when_shown

    def opens(
        self,
        trigger: Any,
        handler: Any,
        inputs: list[Any],
        also: list[Any] | None = None,
        *,
        decodes: bool = False,
    ) -> None:
        """An event that puts a study on the screen: `handler(request, *inputs, threshold, reference, max_frames)`.

        also: components it changes besides those of the screen; decodes: whether an upload is read for it.
        """
        self._openers.append((trigger, handler, inputs, also or [], self.heavy if decodes else self.quick))

    def after_opening(self, handler: Any, inputs: Any, outputs: Any, kind: dict[str, Any]) -> None:
        """An event of its own after each of those."""
        self._after.append((handler, inputs, outputs, kind))

    def at_last(self, wire: Callable[[], None]) -> None:
        """Wire this when all tabs have joined their moments, so that the outputs of those are known."""
        self._last.append(wire)

    def _answered_before(self, session: Any, opened: Any) -> Any:
        """A page that was loaded anew shows its last answer wherever answers are shown."""
        last = session.last_turn()
        return {} if last is None else self.when_answered(session, *last)

    def finish(self, demo: gr.Blocks) -> None:
        """Wire what had to wait for all tabs, and the screen itself."""
        screen, page = self.screen, self.screen.page
        self.opens(demo.load, screen.open_first, [])
        for button, sample in zip(page.samples, SAMPLES, strict=True):
            self.opens(button.click, screen.sample_opener(sample.key), [])
        self.opens(page.upload.upload, screen.open_files, [page.upload], [page.upload], decodes=True)
        self.opens(page.series.input, screen.choose_series, [page.series], decodes=True)
        page.viewer.clip_refused(screen.clip_refused, None, page.viewer, **self.clip)
        page.confirm.input(screen.confirm_clean, page.confirm, page.notes, **self.light)
        demo.unload(screen.leave)
        gr.Timer(LOOK_AFTER_S).tick(
            screen.look_after, None, [page.status, page.viewer, page.notes], **self.light
        )
        screen.when_back.add(self._answered_before, list(self.when_answered.outputs))
        for wire in self._last:
            wire()
        for trigger, handler, inputs, also, kind in self._openers:
            outputs = [*screen.outputs, *also]
            event = trigger(handler, [*inputs, *self.options.planning], outputs, **kind)
            for then, its_inputs, its_outputs, its_kind in self._after:
                event.then(then, its_inputs, its_outputs, **its_kind)
