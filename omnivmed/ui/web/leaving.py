"""A visitor who goes away in the middle of an answer stops it at once.

Gradio notices a closed page between two updates at the earliest, and a model would write several more words by
then. `Leaving` stands before it and hears the connection end: the session's stop flag is set within the same
moment, and the engine ends at its next step.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send


class Leaving:
    """ASGI layer: `gone(session_hash)` is called when a page's stream of updates breaks off before its end."""

    def __init__(self, app: App, gone: Callable[[str], None]) -> None:
        self.app = app
        self.gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = stream_of(scope)
        if key is None:
            await self.app(scope, receive, send)
            return
        over = False

        async def sent(message: Message) -> None:
            nonlocal over
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                over = True
            await send(message)

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not over:
                self.gone(key)
            return message

        await self.app(scope, heard, sent)


def stream_of(scope: Scope) -> str | None:
    """Session hash of a request for a page's stream of updates, None for any other request."""
    if scope["type"] != "http" or not scope["path"].rstrip("/").endswith("/queue/data"):
        return None
    values = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash")
    return values[0] if values else None
