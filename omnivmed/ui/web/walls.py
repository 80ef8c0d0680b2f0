"""Around every answer: who may ask, and what a browser may do with what it got.

Requests. A page on this computer is reached under a loopback name only, so a foreign name that was made to point
here (DNS rebinding) is turned away with 421. A request that says it comes from another web page (`Origin`) is refused
with 403: other pages open in the same browser can neither use the model and the disk nor read an answer, which the
framework would let every page of this computer do, whatever its port. What a proxy would say of the client
(`X-Forwarded-*`) is believed only where a proxy is known to stand in front.

Answers. Pixels, masks and event streams of a study must not outlive it in the browser's cache (`no-store`); nothing
is loaded from, sent to or framed by foreign hosts (Content-Security-Policy), but for the hub's frame on a Space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from omnivmed.ui import texts
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
HUB_FRAMES = ("https://huggingface.co", "https://*.hf.space")
#: What a proxy tells about the client; from anybody else it is a claim.
FORWARDED = re.compile(rb"^(x-forwarded-.*|forwarded|x-real-ip)$", re.IGNORECASE)
#: The framework's own files carry their content in their name and hold nothing of a study.
LASTING = re.compile(
    r"^/(assets|static|svelte)/|^/(favicon\.ico|theme\.css|robots\.txt|manifest\.json|pwa_icon)"
)


def policy(frames: Iterable[str] = ()) -> str:
    """The Content-Security-Policy of every answer; `frames`: hosts that may show the page inside their own.

    Gradio's page starts from inline scripts and builds components' code with `Function`, so scripts need
    'unsafe-inline' and 'unsafe-eval'; what remains is that no byte comes from or goes to another host.
    """
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            " ".join(("frame-ancestors 'self'", *frames)),
        )
    )


class Walls:
    """ASGI layer, the outermost of ours.

    loopback: only names of this computer are served; behind_proxy: `X-Forwarded-*` may be believed;
    frames: hosts that may frame the page.
    """

    def __init__(
        self, app: App, loopback: bool, behind_proxy: bool = False, frames: Iterable[str] = ()
    ) -> None:
        self.app = app
        self.loopback = loopback
        self.behind_proxy = behind_proxy
        self._policy = policy(frames)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not self.behind_proxy:
            kept = [(name, value) for name, value in scope["headers"] if not FORWARDED.match(name)]
            scope = {**scope, "headers": kept}
        lasting = LASTING.search(scope["path"]) is not None
        headers = Headers(scope=scope)

        async def walled(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                told["Content-Security-Policy"] = self._policy
                told["X-Content-Type-Options"] = "nosniff"
                told["Referrer-Policy"] = "no-referrer"
                told["Cross-Origin-Resource-Policy"] = "same-origin"
                if not lasting:
                    told["Cache-Control"] = "no-store"
            await send(message)

        if self.loopback and name_of(headers.get("host", "")) not in LOOPBACK_NAMES:
            await JSONResponse({"detail": texts.OTHER_HOST}, 421)(scope, receive, walled)
        elif self._foreign(headers):
            await JSONResponse({"detail": texts.OTHER_PAGE}, 403)(scope, receive, walled)
        else:
            await self.app(scope, receive, walled)

    def _foreign(self, headers: Headers) -> bool:
        """Whether the request says that another web page made it. Programs send no `Origin`."""
        origin = headers.get("origin")
        if origin is None:
            return False
        served = {headers.get("host", "")}
        if self.behind_proxy:  # the name under which the proxy was asked
            served.add(headers.get("x-forwarded-host", ""))
        return urlsplit(origin).netloc.lower() not in {name.lower() for name in served if name}


def name_of(host: str) -> str:
    """The name in a `Host` header without its port: `[::1]:7860` → `::1`. Empty when it is no host."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
