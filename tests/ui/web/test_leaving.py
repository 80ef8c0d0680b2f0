"""What the framework keeps for those who left is dropped, after a while, and on the server's event loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr

from omnivmed.ui.upstream import EventQueue
from omnivmed.ui.web.leaving import FORGET_S, Listeners
from tests.coroutines import run


def test_a_page_that_left_is_forgotten_and_one_that_listens_or_works_is_not() -> None:
    demo = gr.Blocks(analytics_enabled=False)
    demo.queue()
    inside = demo._queue
    now = [0.0]
    listeners = Listeners(EventQueue(demo), lambda: now[0])
    for name in ("left", "listens", "works"):
        inside.pending_messages_per_session[name] = SimpleNamespace()  # type: ignore[assignment]
    event: Any = SimpleNamespace(
        _id="e",
        session_hash="works",
        concurrency_id="model",
        enqueue_time=0.0,
        request=SimpleNamespace(scope={}),
    )
    inside.event_ids_to_events["e"] = event
    listeners.begin("listens")

    async def seconds_later(seconds: float) -> set[str]:
        now[0] += seconds
        listeners.on_loop()
        listeners.forget_silent()
        await asyncio.sleep(0)
        return set(inside.pending_messages_per_session)

    assert run(seconds_later(0)) == {"left", "listens", "works"}
    assert run(seconds_later(FORGET_S - 1)) == {"left", "listens", "works"}
    assert run(seconds_later(2)) == {"listens", "works"}
    listeners.end("listens")
    assert run(seconds_later(1)) == {"listens", "works"}
    del inside.event_ids_to_events["e"]
    assert run(seconds_later(FORGET_S + 1)) == {"works"}
    assert run(seconds_later(FORGET_S + 1)) == set()
