"""Who listens? A visitor who goes away stops the work at once; a caller who never listened, within five seconds.

Gradio notices a closed page between two updates at the earliest, and a model would write several more words by
then. `Leaving` stands before it and hears the connection end: the session's stop flag is set within the same
moment, and the engine ends at its next step. An event whose updates nobody fetches at all is dropped by
`drop_unheard`, which the sweeping thread calls.
"""

from __future__ import annotations

import asyncio
import collections
import re
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from omnivmed.ui.upstream import EventQueue
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send

#: An event that nobody has listened to for this long ends; `drop_unheard` is called every second.
PATIENCE_S = 3.5
#: What the framework keeps for a page or caller goes when nobody listened and nothing ran for so long.
FORGET_S = 45.0
_CALL = re.compile(r"/gradio_api/call/[^/]+/([^/]+)/?$")


class Listeners:
    """Open streams of updates, by the name under which they are fetched (session hash or event)."""

    def __init__(self, queue: EventQueue, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._open: collections.Counter[str] = collections.Counter()
        self._heard: dict[str, float] = {}  # when the last stream of a name ended
        self._silent: dict[str, float] = {}  # since when a name has neither stream nor work
        self._loop: asyncio.AbstractEventLoop | None = None

    def on_loop(self) -> None:
        """Called on the server's event loop, where events have to be dropped."""
        self._loop = asyncio.get_running_loop()

    def begin(self, name: str) -> None:
        """A stream was opened."""
        self._open[name] += 1

    def end(self, name: str) -> None:
        """A stream ended, for whatever reason."""
        self._open[name] -= 1
        if self._open[name] <= 0:
            del self._open[name]
            self._heard[name] = self._clock()

    def unheard(self) -> list[tuple[str, str]]:
        """(event, name of its listener) of all work that nobody has listened to for `PATIENCE_S`."""
        now, found, living = self._clock(), [], set()
        for event in self._queue.events():
            living.add(event.listener)
            if event.listener in self._open:
                continue
            if now - max(event.since, self._heard.get(event.listener, 0.0)) > PATIENCE_S:
                found.append((event.id, event.listener))
        for name in list(self._heard):
            if name not in living:
                self._heard.pop(name, None)
        return found

    def drop_unheard(self, gone: Callable[[str], None]) -> int:
        """End such work: `gone(listener)` stops what runs, what waits leaves the queue. Returns how many."""
        events = self.unheard()
        for event_id, listener in events:
            gone(listener)
            if self._loop is not None and not self._loop.is_closed():
                asyncio.run_coroutine_threadsafe(self._queue.drop(event_id), self._loop)
        return len(events)

    def forget_silent(self) -> None:
        """Have dropped what is kept for pages that left, and for callers that heard their answer."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._forget)

    def _forget(self) -> None:
        now = self._clock()
        silent = self._queue.listeners() - set(self._open) - {e.listener for e in self._queue.events()}
        self._silent = {name: self._silent.get(name, now) for name in silent}
        self._queue.forget([name for name, since in self._silent.items() if now - since > FORGET_S])


class Leaving:
    """ASGI layer: `gone(session_hash)` is called when a stream of updates breaks off before its end."""

    def __init__(
        self, app: App, gone: Callable[[str], None], queue: EventQueue, listeners: Listeners
    ) -> None:
        self.app = app
        self.gone = gone
        self.queue = queue
        self.listeners = listeners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.listeners.on_loop()
        key = stream_of(scope, self.queue.listener_of)
        if key is None:
            await self.app(scope, receive, send)
            return
        over = False

        async def sent(message: Message) -> None:
            nonlocal over
            if message["type"] == "http.response.body":
                over = over or not message.get("more_body", False) or is_last(message.get("body", b""))
            await send(message)

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not over:
                self.gone(key)
            return message

        self.listeners.begin(key)
        try:
            await self.app(scope, heard, sent)
        finally:
            self.listeners.end(key)


def is_last(chunk: bytes) -> bool:
    """Whether a page closes its stream when it has read this. It may have asked for the next thing by the time we hear
    of that, and must not lose it."""
    return chunk.startswith(b'data: {"msg":"close_stream"')


def stream_of(scope: Scope, listener_of: Callable[[str], str] = lambda event: event) -> str | None:
    """Whose updates a request fetches: a page's session hash, or the caller's of one event. None for other requests."""
    if scope["type"] != "http" or scope.get("method", "GET") != "GET":
        return None
    if called := _CALL.search(scope["path"]):
        return listener_of(called[1])
    if not scope["path"].rstrip("/").endswith("/queue/data"):
        return None
    values = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash")
    return values[0] if values else None
