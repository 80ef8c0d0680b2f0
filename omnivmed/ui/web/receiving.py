"""Uploads on their way in: counted while they arrive, cleaned up when they break off, a sentence when the disk is full.

The framework writes what arrives straight into the served folder and leaves it there when the visitor goes away or the
disk ends. This layer knows when nothing is arriving, which is when whatever lies there is nobody's.
"""

from __future__ import annotations

import errno
import logging
import shutil
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from omnivmed.ui import texts
from omnivmed.ui.visit.uploads import Uploads
from omnivmed.ui.web.asgi import App, Message, Receive, Scope, Send
from omnivmed.ui.web.names import is_upload

log = logging.getLogger("omnivmed.ui")
#: Always left free: what is made of a study has to fit as well, and a full disk hurts everybody on it.
RESERVE = 64 * 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Receiving:
    """ASGI layer. `reserve`: bytes of the disk that uploads never take."""

    def __init__(self, app: App, uploads: Uploads, reserve: int = RESERVE) -> None:
        self.app = app
        self.uploads = uploads
        self.reserve = reserve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_upload(scope):
            await self.app(scope, receive, send)
            return
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        async def full() -> None:
            log.warning("upload refused code=DiskFull")
            if not begun:
                await JSONResponse({"detail": texts.DISK_FULL}, 507)(scope, receive, send)

        if free_bytes(self.uploads) - self.reserve < announced(scope):
            await full()
            return
        self.uploads.arriving += 1
        try:
            await self.app(scope, receive, sent)
        except ClientDisconnect:
            log.info("upload broken off")
        except OSError as error:
            if error.errno not in _FULL:
                raise
            await full()
        finally:
            self.uploads.arriving -= 1
            self.uploads.drop_broken()


def free_bytes(uploads: Uploads) -> int:
    """Bytes left on the disk that uploads arrive on; very many where the system does not tell."""
    with suppress(OSError):
        return shutil.disk_usage(uploads.served).free
    return 2**62


def announced(scope: Scope) -> int:
    """The length a request says it has, 0 when it does not say."""
    told = next((v for k, v in scope["headers"] if k.lower() == b"content-length"), b"0")
    return int(told) if told.isdigit() else 0
