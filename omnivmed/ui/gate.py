"""Before anything is parsed: how large a request may be, and how much of the queue one page may hold.

The queue serves in order of arrival, so whoever fills it keeps all others out. One page may hold half of its
places; the next event of that page is told "busy", as everybody is when the queue is full.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from omnivmed.ui import texts

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MOST_BYTES = 2 * 2**20  # of one request that brings no file; the page's own are a few kilobytes


class Gate:
    """ASGI layer. `waiting(session_hash)`: events of a page that are not over yet; `most`: how many it may have."""

    def __init__(self, app: App, waiting: Callable[[str], int], most: int) -> None:
        self.app = app
        self.waiting = waiting
        self.most = most
        self._joining: collections.Counter[str] = collections.Counter()  # let through, not in the queue yet

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope.get("path", "").rstrip("/")
        if (
            scope["type"] != "http"
            or scope.get("method") != "POST"
            or path.endswith("/upload")
            or "/mcp/" in path
        ):
            await self.app(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            await JSONResponse({"detail": texts.TOO_MUCH_DATA}, 413)(scope, receive, send)
            return
        key = _session_of(body) if path.endswith("/queue/join") else None
        if key is not None and self.waiting(key) + self._joining[key] >= self.most:
            await JSONResponse({"detail": texts.BUSY_PAGE}, 503)(scope, receive, send)
            return
        if key is not None:
            self._joining[key] += 1
        try:
            await self.app(scope, _replay(body, receive), send)
        finally:
            if key is not None:
                self._joining[key] -= 1
                if not self._joining[key]:
                    del self._joining[key]


async def _whole(receive: Receive) -> bytes | None:
    """The body of a request, None when it is larger than it may be."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)  # the client went away
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body in one piece, then whatever else comes."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _session_of(body: bytes) -> str | None:
    try:
        key = json.loads(body).get("session_hash")
    except (ValueError, AttributeError, RecursionError):
        return None  # what the framework behind refuses
    return key if isinstance(key, str) else None
