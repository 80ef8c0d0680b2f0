"""`/healthz`: is the page alive, is the model ready. Answers while everything else is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from omnivmed import __version__

if TYPE_CHECKING:
    from omnivmed.ui.visit.studies import Context


def health_route(context: Context) -> Route:
    """A route that touches no lock, no queue and no decoder."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse(
            {
                "status": "ok",
                "version": __version__,
                "model": context.service.state,
                "sessions": len(context.store),
            }
        )

    return Route("/healthz", healthz, methods=["GET"])
