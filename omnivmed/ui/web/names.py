"""No file name of a client touches anything: it is replaced while the upload streams by.

Gradio writes an upload under the name the client gave, and that name may be a patient's. `AnonymousNames` is a small
ASGI layer in front of its upload route that rewrites each part's `filename`: a random name, with an extension only
when it is one of the formats we read (`omnivmed.ui.visit.uploads`).

It fails closed: an upload whose boundary or part headers are not in the one form that browsers send, which is the one
that is rewritten here, is refused with 400. Other valid spellings exist; a name must not slip through in one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from omnivmed.ui import texts
from omnivmed.ui.visit.uploads import PAGE_HEADER, Uploads, random_name
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send

_MAX_HEADER = 16 * 1024
#: RFC 2046 §5.1.1: what a boundary may be made of.
_BOUNDARY = re.compile(
    rb"multipart/form-data; ?boundary=(?:\"([0-9A-Za-z'()+_,./:=? -]{1,70})\"|([0-9A-Za-z'()+_,./:=?-]{1,70}))"
)
#: The one form of a part's header: as browsers and the usual HTTP libraries write it.
_DISPOSITION = re.compile(
    rb'(content-disposition: form-data; name="[^"\r\n\\]{1,100}")'
    rb'(?:; filename="(?P<plain>(?:[^"\r\n\\]|\\.)*)")?(?:; filename\*=(?P<coded>[^;"\s]{1,2000}))?',
    re.IGNORECASE,
)
_OTHER_HEADER = re.compile(rb"content-(type|length|transfer-encoding): ?[\x20-\x7e]{0,200}", re.IGNORECASE)


class OddUpload(Exception):
    """The upload is not in the form whose names are rewritten."""


class AnonymousNames:
    """ASGI layer: file names of multipart uploads become random while they pass; other forms are refused."""

    def __init__(self, app: App, uploads: Uploads) -> None:
        self.app = app
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_upload(scope):
            await self.app(scope, receive, send)
            return
        odd = False
        answered = False

        async def refuse() -> None:
            await JSONResponse({"detail": texts.ODD_UPLOAD}, 400)(scope, receive, send)

        boundary = boundary_of(scope)
        if boundary is None:
            await refuse()
            return
        page = Headers(scope=scope).get(PAGE_HEADER)
        rewriter = MultipartRewriter(boundary, lambda name: self.uploads.hand(name, page))
        # The length changes with the names; the body's end is told by the stream.
        headers = [(k, v) for k, v in scope["headers"] if k.lower() != b"content-length"]

        async def renamed() -> Message:
            nonlocal odd
            if odd:
                return {"type": "http.disconnect"}
            message = await receive()
            if message["type"] == "http.request":
                try:
                    body = rewriter.feed(message.get("body", b""))
                    if not message.get("more_body", False):
                        body += rewriter.end()
                except OddUpload:
                    odd = True  # for whoever reads on, the visitor has left
                    return {"type": "http.disconnect"}
                message = {**message, "body": body}
            return message

        async def held(message: Message) -> None:
            nonlocal answered
            if odd:
                return  # what the framework says of a broken stream
            answered = True
            await send(message)

        try:
            await self.app({**scope, "headers": headers}, renamed, held)
        except Exception:
            if not odd:
                raise
        if odd and not answered:
            await refuse()


def is_upload(scope: Scope) -> bool:
    """Whether this request sends files."""
    return (
        scope["type"] == "http"
        and scope.get("method") == "POST"
        and bool(scope["path"].rstrip("/").endswith("/upload"))
    )


def boundary_of(scope: Scope) -> bytes | None:
    """The multipart boundary of a request; None when it is no multipart request or names it oddly."""
    kinds = [v for k, v in scope["headers"] if k.lower() == b"content-type"]
    found = _BOUNDARY.fullmatch(kinds[0].strip()) if len(kinds) == 1 else None
    return (found[1] or found[2]) if found else None


class MultipartRewriter:
    """Stream of a multipart body → the same stream with random file names. Holds back a few bytes at most."""

    def __init__(self, boundary: bytes, rename: Callable[[str], str] = random_name) -> None:
        self._rename = rename
        self._delimiter = b"--" + boundary
        self._buffer = b""
        self._in_header = False
        self._first = True

    def feed(self, data: bytes) -> bytes:
        """Bytes in, the bytes that can be passed on already out. Raises OddUpload."""
        self._buffer += data
        out = bytearray()
        while True:
            if self._in_header:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self._buffer) > _MAX_HEADER:
                        raise OddUpload
                    return bytes(out)
                out += _renamed(self._buffer[: end + 4], self._rename)
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
                if self._buffer[after : after + 2] not in (b"\r\n", b"--"):
                    raise OddUpload  # another parser might take what follows for a part
                self._in_header = self._buffer[after : after + 2] == b"\r\n"
                out += self._buffer[: after + 2]
                self._buffer = self._buffer[after + 2 :]

    def end(self) -> bytes:
        """What is left when the body has ended."""
        rest, self._buffer = self._buffer, b""
        return b"" if self._in_header else rest


def _renamed(header: bytes, rename: Callable[[str], str]) -> bytes:
    """The header of one part, with its blank line, with its `filename` made random. Raises OddUpload."""
    lines = header[:-4].lstrip(b"\r\n").split(b"\r\n") if header.strip() else []
    found = [
        _DISPOSITION.fullmatch(line) for line in lines if line.lower().startswith(b"content-disposition")
    ]
    rest = [line for line in lines if not line.lower().startswith(b"content-disposition")]
    if len(found) != 1 or found[0] is None or not all(_OTHER_HEADER.fullmatch(line) for line in rest):
        raise OddUpload
    disposition = found[0][1]
    name_of = (
        found[0]["plain"] if found[0]["plain"] is not None else found[0]["coded"]
    )  # the other one is dropped
    if name_of is not None:
        name = name_of.decode("utf-8", "replace")
        disposition += b'; filename="' + rename(name).encode() + b'"'
    return b"\r\n".join([disposition, *rest]) + b"\r\n\r\n"
