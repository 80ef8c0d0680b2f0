"""What the framework keeps for those who left is dropped, after a while, and on the server's event loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr
import orjson
import pytest
from gradio.server_messages import CloseStreamMessage, ProcessCompletedMessage

from omnivmed.ui.upstream import EventQueue
from omnivmed.ui.web.leaving import FORGET_S, Leaving, Listeners
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


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (CloseStreamMessage(), []),
        (ProcessCompletedMessage(output={"data": ["close_stream"]}, success=True), ["page"]),
    ],
)
def test_a_page_that_closes_its_stream_at_the_end_has_not_left(last: Any, told: list[str]) -> None:
    """It asks for the next thing before the server hears of that, and its answer would be stopped."""
    queue = EventQueue(gr.Blocks(analytics_enabled=False).queue())
    gone: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        chunk = f"data: {orjson.dumps(last.model_dump(), default=str).decode()}\n\n".encode()
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await receive()

    async def closed() -> Any:
        return {"type": "http.disconnect"}

    async def sent(_: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/gradio_api/queue/data",
        "query_string": b"session_hash=page",
    }
    run(Leaving(app, gone.append, queue, Listeners(queue))(scope, closed, sent))
    assert gone == told
