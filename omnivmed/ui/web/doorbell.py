"""Wrong log-ins cost time: each one a second, and after five from one address a minute of silence."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.responses import JSONResponse

from omnivmed.ui import texts
from omnivmed.ui.visit.session import session_tag
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send
from omnivmed.ui.web.gate import address_of

log = logging.getLogger("omnivmed.ui")
TRIES = 5
SILENCE_S = 60.0
DELAY_S = 1.0
MOST_ADDRESSES = 10_000  # remembered; the oldest is forgotten first


class Doorbell:
    """ASGI layer in front of `/login`. `clock`: seconds."""

    def __init__(
        self,
        app: App,
        behind_proxy: bool = False,
        delay_s: float = DELAY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.behind_proxy = behind_proxy
        self.delay_s = delay_s
        self._clock = clock
        self._failed: dict[str, list[float]] = {}  # by address, within the last `SILENCE_S`

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].rstrip("/") != "/login":
            await self.app(scope, receive, send)
            return
        address = address_of(scope, self.behind_proxy)
        if self.silent(address):
            await JSONResponse({"detail": texts.LOGIN_SILENCE}, 429)(scope, receive, send)
            return
        self.note(address)  # before the answer is known: sixty tries at once count as sixty

        async def slowly(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] < 400:
                    self._failed.pop(address, None)
                else:
                    log.warning("log-in failed address=%s", session_tag(address))
                    await asyncio.sleep(self.delay_s)
            await send(message)

        await self.app(scope, receive, slowly)

    def silent(self, address: str) -> bool:
        """Whether this address has failed too often within the last minute."""
        now = self._clock()
        failed = [at for at in self._failed.get(address, ()) if now - at < SILENCE_S]
        if failed:
            self._failed[address] = failed
        else:
            self._failed.pop(address, None)
        return len(failed) >= TRIES

    def note(self, address: str) -> None:
        """A log-in from this address that has not succeeded."""
        self._failed.setdefault(address, []).append(self._clock())
        while len(self._failed) > MOST_ADDRESSES:
            self._failed.pop(next(iter(self._failed)))
