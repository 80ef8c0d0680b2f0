"""Files that a request names: only those that were uploaded here. The server never fetches an address for anybody.

Gradio downloads whatever http(s) address stands in the place of a file, for any component, and `--offline` cannot
stop that. The one address that is taken is our own for an upload, which MCP clients are told to hand on; it becomes
the path behind it, and Gradio then checks that it is one of its uploads.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
_OWN = "/gradio_api/file="


class ForeignAddress(Exception):
    """A file is named by an address that is not an upload of this server."""


def uploads_only(value: Any, host: str) -> Any:
    """`value` (decoded JSON) with our own addresses of uploads replaced by their paths.

    host: the request's Host, "127.0.0.1:7860". Raises ForeignAddress when a `FileData` is of any other address.
    """
    if isinstance(value, list):
        return [uploads_only(entry, host) for entry in value]
    if not isinstance(value, dict):
        return value
    path = value.get("path")
    if isinstance(path, str) and _ADDRESS.match(path):
        return {**value, "path": _own_upload(path.strip(), host), "url": None}
    return {key: uploads_only(entry, host) for key, entry in value.items()}


def _own_upload(address: str, host: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.netloc != host or not parts.path.startswith(_OWN):
        raise ForeignAddress
    return unquote(parts.path.removeprefix(_OWN))
