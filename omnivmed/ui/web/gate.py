"""Before anything is parsed: which doors are open, how large a request may be, who may still come in.

The framework offers more than this page needs, among it a route that runs ffmpeg on whatever is sent to it. So both
what may be fetched and what may be posted to are short lists; a door that a newer framework adds is closed until
somebody lists it here. By name only `/ask`, `/prune` and `/generate` can be called: the page's own events go by
number, and those that take long only through the queue, in which everybody has a share (`omnivmed.ui.web.fair`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from omnivmed.ui import texts
from omnivmed.ui.upstream import EventQueue
from omnivmed.ui.visit.secrets import label_of
from omnivmed.ui.web.addresses import ForeignAddress, uploads_only
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send
from omnivmed.ui.web.fair import KIND_OF, Caller, Kind, Places, Refusal, refusal

MOST_BYTES = 2 * 2**20  # of one request that brings no file; the page's own are a few kilobytes
MOST_MCP_BYTES = 32 * 2**20  # an MCP call may carry a study inside, as base64; larger ones are uploaded
NAMED = "ask|prune|generate"
POSTED = re.compile(
    rf"^/gradio_api/(upload|queue/join|cancel|reset|run/(predict|{NAMED})|call/({NAMED}))$|^/login$"
)
FETCHED = re.compile(
    r"^(/(teach|healthz|metrics|config|login|logout|theme\.css|favicon\.ico|robots\.txt|manifest\.json))?$"
    r"|^/(static|assets|svelte)/.+|^/pwa_icon(/\d+)?$"
    r"|^/gradio_api/(info|app_id|startup-events|theme\.css|user|token|login_check|upload_progress|queue/data)$"
    rf"|^/gradio_api/(heartbeat/[^/]+|call/({NAMED})/[^/]+|file=.+)$"
)
CALLER = "omnivmed.caller"  # in the scope of a request, for whoever counts


@dataclass(frozen=True)
class Rules:
    """How this page is run, as far as the gate has to know it. `keys`: digests of API keys, empty: none is needed."""

    places: Places
    mcp: bool = False
    behind_proxy: bool = False
    keys: Mapping[str, str] | None = None


class Gate:
    """ASGI layer.

    queue: the events that wait or run; no_upload(): a sentence when no file may be sent now, else None;
    refused(reason): told of each request that is turned away.
    """

    def __init__(
        self,
        app: App,
        rules: Rules,
        queue: EventQueue,
        no_upload: Callable[[], str | None],
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.app = app
        self.rules = rules
        self.queue = queue
        self.no_upload = no_upload
        self.refused = refused
        self._joining: list[tuple[Kind, Caller]] = []  # let through, not in the queue yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def refuse(code: int, sentence: str, reason: str) -> None:
            self.refused(reason)
            await JSONResponse({"detail": sentence}, code)(scope, receive, send)

        path, method = scope["path"].rstrip("/"), scope["method"]
        headers = Headers(scope=scope)
        key = label_of(headers.get("authorization", ""), self.rules.keys or {})
        if not self.open(method, path):
            await refuse(404, texts.NOT_HERE, "door")
        elif "/mcp" in path and self.rules.keys and key is None:
            await refuse(401, texts.KEY_NEEDED, "key")
        elif method == "POST" and path.endswith("/upload") and (why := self.no_upload()) is not None:
            await refuse(503, why, "room")
        elif method != "POST" or path.endswith("/upload"):
            await self.app(scope, receive, send)
        else:
            body = await _whole(receive, MOST_MCP_BYTES if "/mcp" in path else MOST_BYTES)
            if body is None:
                await refuse(413, texts.TOO_MUCH_DATA, "size")
                return
            if "/mcp" in path:  # what it calls comes through here again, as an event
                await self.app(scope, _replay(body, receive), send)
                return
            try:
                body = _with_uploads_only(body, scope)
            except ForeignAddress:
                await refuse(400, texts.NO_ADDRESS, "address")
                return
            asked = _read(body)
            work = self.queue.work(_function(path, asked))
            if work is not None and work.api_name is not None and self.rules.keys and key is None:
                await refuse(401, texts.KEY_NEEDED, "key")
                return
            if work is not None and work.api_name is not None:
                body = _filled(body, asked, work.defaults)
            page = asked.get("session_hash")
            address = address_of(scope, self.rules.behind_proxy)
            caller = Caller(page if isinstance(page, str) else None, address, key)
            passed = {**scope, CALLER: caller}
            if work is None or not work.queued:
                await self.app(passed, _replay(body, receive), send)
                return
            kind = KIND_OF.get(work.concurrency_id, "quick")
            refused = self._refusal(kind, caller)
            if refused is not None:
                await refuse(503, texts.BUSY_PAGE if refused == "share" else texts.BUSY_FULL, refused)
                return
            self._joining.append((kind, caller))
            try:
                await self.app(passed, _replay(body, receive), send)
            finally:
                self._joining.remove((kind, caller))

    def open(self, method: str, path: str) -> bool:
        """Whether this door is open at all. `path` without a slash at its end."""
        if path.startswith("/gradio_api/mcp"):
            return self.rules.mcp
        if method == "POST":
            return POSTED.search(path) is not None
        return method in ("GET", "HEAD", "OPTIONS") and FETCHED.search(path) is not None

    def _refusal(self, kind: Kind, caller: Caller) -> Refusal | None:
        present = [
            (KIND_OF.get(event.concurrency_id, "quick"), caller_of(event.scope, event.page))
            for event in self.queue.events()
        ]
        return refusal(self.rules.places, kind, caller, [*present, *self._joining])


def caller_of(scope: Scope, page: str | None) -> Caller:
    """Who sent this request, as the gate has noted it."""
    noted = scope.get(CALLER)
    return noted if isinstance(noted, Caller) else Caller(page, "")


def address_of(scope: Scope, behind_proxy: bool) -> str:
    """The network address a request comes from: behind a proxy the last one of `X-Forwarded-For`, which it wrote."""
    if behind_proxy:
        told = Headers(scope=scope).get("x-forwarded-for", "").rsplit(",", 1)[-1].strip()
        if told:
            return told
    client = scope.get("client")
    return str(client[0]) if client else ""


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


def _read(body: bytes) -> dict[str, Any]:
    """The fields of a JSON body; none of a body that is no JSON object (the framework behind refuses it)."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _filled(body: bytes, asked: Mapping[str, Any], defaults: tuple[Any, ...]) -> bytes:
    """The body of a call by name, with defaults for the last values where it has fewer than there are by now.

    The framework refuses such a call, so every new parameter would break the programs that were written before.
    """
    data = asked.get("data")
    if not isinstance(data, list) or not 0 < len(data) < len(defaults):
        return body
    return json.dumps({**asked, "data": [*data, *defaults[len(data) :]]}).encode()


def _function(path: str, fields: Mapping[str, Any]) -> int | str | None:
    """Which event a request asks for: its public name in the path, else its number in the body."""
    name = path.rsplit("/", 1)[-1]
    if "/call/" in path or ("/run/" in path and name != "predict"):
        return name
    number = fields.get("fn_index")
    return number if isinstance(number, int) and not isinstance(number, bool) else None
