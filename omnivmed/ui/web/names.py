"""No file name of a client touches anything: it is replaced while the upload streams by.

Gradio writes an upload under the name the client gave, and that name may be a patient's. `AnonymousNames` is a small
ASGI layer in front of its upload route that rewrites each part's `filename`: a random name, with an extension only
when it is one of the formats we read (`omnivmed.ui.visit.uploads`).
"""

from __future__ import annotations

import re

from omnivmed.ui.visit.uploads import random_name
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send

_MAX_HEADER = 16 * 1024
_FILENAME = re.compile(rb'(;\s*)filename\*?=("(?:[^"\\]|\\.)*"|[^;\r\n]*)', re.IGNORECASE)


class AnonymousNames:
    """ASGI layer: file names of multipart uploads become random while they pass."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        boundary = _boundary(scope)
        if boundary is None:
            await self.app(scope, receive, send)
            return
        rewriter = MultipartRewriter(boundary)
        # The length changes with the names; the body's end is told by the stream.
        headers = [(k, v) for k, v in scope["headers"] if k.lower() != b"content-length"]

        async def renamed() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body = rewriter.feed(message.get("body", b""))
                if not message.get("more_body", False):
                    body += rewriter.end()
                message = {**message, "body": body}
            return message

        await self.app({**scope, "headers": headers}, renamed, send)


def _boundary(scope: Scope) -> bytes | None:
    if scope["type"] != "http" or scope.get("method") != "POST":
        return None
    if not scope["path"].rstrip("/").endswith("/upload"):
        return None
    kind = next((v for k, v in scope["headers"] if k.lower() == b"content-type"), b"")
    found = re.search(rb'multipart/form-data;.*?boundary="?([^";]+)"?', kind, re.IGNORECASE)
    return found.group(1) if found else None


class MultipartRewriter:
    """Stream of a multipart body → the same stream with random file names. Holds back a few bytes at most."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"--" + boundary
        self._buffer = b""
        self._in_header = False
        self._first = True

    def feed(self, data: bytes) -> bytes:
        """Bytes in, the bytes that can be passed on already out."""
        self._buffer += data
        out = bytearray()
        while True:
            if self._in_header:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self._buffer) > _MAX_HEADER:
                        out += self._buffer  # the parser behind refuses it
                        self._buffer = b""
                    return bytes(out)
                out += _rename(self._buffer[: end + 4])
                self._buffer = self._buffer[end + 4 :]
                self._in_header = False
            else:
                mark = self._delimiter if self._first else b"\r\n" + self._delimiter
                at = self._buffer.find(mark)
                if at < 0:
                    hold = len(mark) + 4
                    out += self._buffer[:-hold]
                    self._buffer = self._buffer[-hold:]
                    return bytes(out)
                after = at + len(mark)
                if len(self._buffer) < after + 2:
                    return bytes(out)  # "--" (the end) or a line break (another part): not here yet
                self._first = False
                self._in_header = self._buffer[after : after + 2] == b"\r\n"
                out += self._buffer[: after + 2]
                self._buffer = self._buffer[after + 2 :]

    def end(self) -> bytes:
        """What is left when the body has ended."""
        rest, self._buffer = self._buffer, b""
        return b"" if self._in_header else rest


def _rename(header: bytes) -> bytes:
    """The header of one part with its `filename` made random; a second, encoded one (`filename*`) is dropped."""
    seen = False

    def random_of(found: re.Match[bytes]) -> bytes:
        nonlocal seen
        if seen:
            return b""
        seen = True
        name = found.group(2).strip(b'"').decode("utf-8", "replace")
        return found.group(1) + b'filename="' + random_name(name).encode() + b'"'

    return _FILENAME.sub(random_of, header)
