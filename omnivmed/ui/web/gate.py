"""Before anything is parsed: which doors are open, how large a request may be, how much of the queue a page may hold.

The framework offers more than this page needs, among it a route that runs ffmpeg on whatever is sent to it. What
may be posted to is a short list; of what may be fetched, the parts that nobody here uses are closed.

The queue serves in order of arrival, so whoever fills it keeps all others out. One page may hold half of its
places; the next event of that page is told "busy", as everybody is when the queue is full.
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Callable

from starlette.responses import JSONResponse

from omnivmed.ui import texts
from omnivmed.ui.web.addresses import ForeignAddress, uploads_only
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send

MOST_BYTES = 2 * 2**20  # of one request that brings no file; the page's own are a few kilobytes
MOST_MCP_BYTES = 32 * 2**20  # an MCP call may carry a study inside, as base64; larger ones are uploaded
POSTED = re.compile(r"/gradio_api/(upload|queue/join|cancel|reset|(run|call)/[^/]+(/[^/]+)?)/?$|^/login/?$")
CLOSED = re.compile(
    r"/(proxy=|deep_link|dev/|runs\b|run-history|monitoring|profiling|vibe-|stream/|custom_component/|process_recording)"
    r"|^/(openapi\.json|docs|redoc)\b"
)


class Gate:
    """ASGI layer.

    `waiting(session_hash)`: events of a page that are not over yet; `most`: how many it may have; `room()`: whether
    another file may be sent; `mcp`: whether those routes are asked for.
    """

    def __init__(
        self,
        app: App,
        waiting: Callable[[str], int],
        most: int,
        room: Callable[[], bool],
        mcp: bool = False,
    ) -> None:
        self.app = app
        self.room = room
        self.mcp = mcp
        self.waiting = waiting
        self.most = most
        self._joining: collections.Counter[str] = collections.Counter()  # let through, not in the queue yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, method = scope["path"].rstrip("/"), scope["method"]
        if not self.open(method, path):
            await JSONResponse({"detail": texts.NOT_HERE}, 404)(scope, receive, send)
            return
        if method == "POST" and path.endswith("/upload") and not self.room():
            await JSONResponse({"detail": texts.NO_ROOM}, 503)(scope, receive, send)
            return
        if method != "POST" or path.endswith("/upload"):
            await self.app(scope, receive, send)
            return
        body = await _whole(receive, MOST_MCP_BYTES if "/mcp" in path else MOST_BYTES)
        if body is None:
            await JSONResponse({"detail": texts.TOO_MUCH_DATA}, 413)(scope, receive, send)
            return
        if "/mcp" in path:  # what it calls comes through here again, as an event
            await self.app(scope, _replay(body, receive), send)
            return
        try:
            body = _with_uploads_only(body, scope)
        except ForeignAddress:
            await JSONResponse({"detail": texts.NO_ADDRESS}, 400)(scope, receive, send)
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

    def open(self, method: str, path: str) -> bool:
        """Whether this door is open at all."""
        if "/gradio_api/mcp" in path:
            return self.mcp
        if method == "POST":
            return POSTED.search(path) is not None
        return method in ("GET", "HEAD", "OPTIONS") and CLOSED.search(path) is None


async def _whole(receive: Receive, most: int) -> bytes | None:
    """The body of a request, None when it is larger than `most` bytes."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)  # the client went away
        body += message.get("body", b"")
        if len(body) > most:
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


def _with_uploads_only(body: bytes, scope: Scope) -> bytes:
    """The body, with files named by path alone. Raises ForeignAddress."""
    if b"://" not in body and b"\\" not in body:  # an escape may hide it
        return body
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body  # what the framework behind refuses
    host = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"host"), "")
    try:
        local = uploads_only(value, host)
    except RecursionError:
        raise ForeignAddress from None
    return body if local == value else json.dumps(local).encode()


def _session_of(body: bytes) -> str | None:
    try:
        key = json.loads(body).get("session_hash")
    except (ValueError, AttributeError, RecursionError):
        return None  # what the framework behind refuses
    return key if isinstance(key, str) else None
