"""The page's HTML on its way out: packed, and with something to look at before the framework's script has come.

The framework sends its whole description of the page inside the HTML, not compressed. Packed it is a quarter as large,
which on a slow line is two seconds. What is seen first stands before that description, so it is there after a few
kilobytes.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders

from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send

PAGES = ("", "/teach")
BEFORE = b"<gradio-app"  # absent where Node has rendered the page already
#: The page's description, four fifths of its HTML. Nothing runs before all of that has come, so it may stand last.
DESCRIPTION = re.compile(
    rb"<script>window\.gradio_config = .*?</script>(?:<script>window\.gradio_api_info.*?</script>)?",
    re.DOTALL,
)


def arranged(page: bytes, shell: bytes) -> bytes:
    """The page's HTML with `shell`, which is seen first, before its description."""
    if BEFORE not in page:
        return page
    described = DESCRIPTION.search(page)
    description = b""
    if described is not None and described.end() < page.index(BEFORE):
        description = described[0]
        page = page[: described.start()] + page[described.end() :]
    return page.replace(BEFORE, shell + description + BEFORE, 1)


class Shell:
    """ASGI layer. `shell()`: what is put before the page's own element."""

    def __init__(self, app: App, shell: Callable[[], bytes]) -> None:
        self.app = app
        self.shell = shell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].rstrip("/") not in PAGES:
            await self.app(scope, receive, send)
            return
        packs = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        start: Message | None = None
        body = bytearray()

        async def held(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                if not self._page(message):
                    await send(message)
                return
            if start is None or not self._page(start):
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            whole = arranged(bytes(body), self.shell())
            headers = MutableHeaders(scope=start)
            headers["Vary"] = "Accept-Encoding"
            if packs:
                whole = gzip.compress(whole, 6)
                headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(whole))
            await send(start)
            await send({**message, "body": whole})

        await self.app(scope, receive, held)

    def _page(self, start: Message) -> bool:
        """Whether this is the beginning of a page that nobody has packed yet."""
        headers = Headers(raw=start["headers"])
        html = headers.get("content-type", "").startswith("text/html")
        return start["status"] == 200 and html and "content-encoding" not in headers
