"""From the browser's upload to a file of our own: the client's file name is dropped before it touches anything.

Gradio writes an upload under the name the client gave, and that name may be a patient's. `AnonymousNames` is
a small ASGI layer in front of its upload route that rewrites each part's `filename` while the bytes stream
by: a random name, with an extension only when it is one of the formats we read. `take_in` then moves the file
out of the folder a browser could fetch from.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

from omnivmed.errors import StudyError
from omnivmed.ui import texts

log = logging.getLogger("omnivmed.ui")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# A hint for the readers, nothing more: they look at the bytes.
EXTENSIONS = (
    ".nii.gz", ".seg.nrrd", ".nii", ".gz", ".dcm", ".dicom", ".ima", ".zip", ".nrrd", ".mha", ".mhd",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif",
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg",
)  # fmt: skip
_RECEIVED = re.compile(r"[0-9a-f]{64}")
_MAX_HEADER = 16 * 1024
_FILENAME = re.compile(rb'(;\s*)filename\*?=("(?:[^"\\]|\\.)*"|[^;\r\n]*)', re.IGNORECASE)


def known_extension(name: str) -> str:
    """The extension of a name if it is one we read, else nothing (a name may end in ".Miller", too)."""
    lowered = name.lower()
    return next((ext for ext in EXTENSIONS if lowered.endswith(ext)), "")


def random_name(name: str) -> str:
    """A name that says nothing about the file but its format."""
    return secrets.token_hex(16) + known_extension(name)


class AnonymousNames:
    """ASGI layer: file names of multipart uploads become random while they pass."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
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


def _boundary(scope: MutableMapping[str, Any]) -> bytes | None:
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


class StudyFile(gr.File):
    """`gr.File` without the empty temporary file that the original leaves behind at every use."""

    is_template = True

    def _process_single_file(self, f: Any) -> str:
        return str(f.path)


def waiting_uploads(served: Path) -> Iterator[Path]:
    """Files that were sent but not opened yet: Gradio keeps each in a folder named by 64 hexadecimal digits."""
    for folder in _entries(served):
        if _RECEIVED.fullmatch(folder.name) and folder.is_dir():
            yield from (path for path in _entries(folder) if path.is_file())


def _entries(folder: Path) -> list[Path]:
    """What is in `folder`; nothing where it went meanwhile, with its upload or with the ending program."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def has_room(served: Path, most_bytes: int) -> bool:
    """Whether the uploads that wait to be opened leave room for another one."""
    total = 0
    for path in waiting_uploads(served):
        with suppress(FileNotFoundError):  # opened meanwhile
            total += path.stat().st_size
    return total < most_bytes


def drop_forgotten(served: Path, older_than_s: float) -> int:
    """Delete uploads that nobody has opened since; returns how many."""
    dropped = 0
    for path in waiting_uploads(served):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > older_than_s:
                shutil.rmtree(path.parent, ignore_errors=True)
                dropped += 1
    return dropped


def take_in(paths: Sequence[str | Path], folder: Path, served: Path) -> list[Path]:
    """Move uploads into `folder` under random names and delete Gradio's copies. Returns where they are.

    Only files below `served` are touched. Raises StudyError when one is gone already.
    """
    taken: list[Path] = []
    base = served.resolve()
    for given in paths:
        source = Path(given).resolve()
        if not source.is_relative_to(base) or not source.is_file():
            raise StudyError("Corrupt", texts.UPLOAD_GONE)
        target = folder / random_name(source.name)
        os.replace(source, target)
        taken.append(target)
        if source.parent != base:
            shutil.rmtree(source.parent, ignore_errors=True)
    return taken
