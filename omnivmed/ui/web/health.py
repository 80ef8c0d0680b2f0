"""`/healthz` and `/metrics`: is the page alive, how full is it. They answer while everything else is busy.

`/healthz` is for whoever may reach the page; `/metrics` (Prometheus text) for this computer alone, or with a key.
Neither holds a name, an address, a question or anything of a study.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from omnivmed import __version__
from omnivmed.ui import texts
from omnivmed.ui.upstream import EventQueue
from omnivmed.ui.visit.secrets import label_of
from omnivmed.ui.web.fair import KIND_OF, KINDS, LOOPBACK_ADDRESSES
from omnivmed.ui.web.receiving import RESERVE, free_bytes

if TYPE_CHECKING:
    from omnivmed.ui.visit.studies import Context


def health_route(context: Context) -> Route:
    """A route that touches no queue and no decoder."""

    async def healthz(_: Request) -> JSONResponse:
        free = free_bytes(context.uploads)
        return JSONResponse(
            {
                "status": "ok" if free > RESERVE else "full",
                "version": __version__,
                "model": context.service.state,
                "sessions": len(context.store),
                "memory_bytes": memory_bytes(),
                "disk_free_bytes": free,
                "waiting_upload_bytes": context.uploads.bytes(),
            }
        )

    return Route("/healthz", healthz, methods=["GET"])


def metrics_route(context: Context, queue: EventQueue) -> Route:
    """Counters since the start and gauges of now."""
    gauges = gauges_of(context, queue)

    async def metrics(request: Request) -> Response:
        here = request.client is not None and request.client.host in LOOPBACK_ADDRESSES
        proxied = context.settings.behind_proxy  # then everybody comes from this computer
        key = label_of(request.headers.get("authorization", ""), context.settings.keys)
        if key is None and (proxied or not here):
            return JSONResponse({"detail": texts.KEY_NEEDED}, 401)
        text = generate_latest(context.counts.registry) + generate_latest(gauges)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", metrics, methods=["GET"])


def gauges_of(context: Context, queue: EventQueue) -> CollectorRegistry:
    """Figures that are read when somebody asks."""
    registry = CollectorRegistry()

    def gauge(name: str, read: Callable[[], float]) -> None:
        Gauge(f"omnivmed_{name}", texts.METRICS[name], registry=registry).set_function(read)

    def decoder_starts() -> float:
        from omnivmed.io.pool import FAMILY

        return FAMILY.starts

    gauge("sessions", lambda: len(context.store))
    gauge("memory_bytes", memory_bytes)
    gauge("disk_free_bytes", lambda: free_bytes(context.uploads))
    gauge("waiting_upload_bytes", lambda: context.uploads.bytes())
    gauge("decoder_starts", decoder_starts)
    waiting = Gauge("omnivmed_events", texts.METRICS["events"], ["kind"], registry=registry)
    for kind in KINDS:
        waiting.labels(kind).set_function(
            lambda kind=kind: sum(  # type: ignore[misc]
                KIND_OF.get(event.concurrency_id, "quick") == kind for event in queue.events()
            )
        )
    return registry


def hourly_line(context: Context) -> str:
    """The same figures as one line of the log."""
    counts = context.counts
    figures = {
        "sessions": len(context.store),
        **{name: counts.total(name) for name in ("answers", "openings", "refused")},
        "memory_mb": memory_bytes() >> 20,
        "disk_free_mb": free_bytes(context.uploads) >> 20,
        "model": context.service.state,
    }
    return " ".join(["hour", *(f"{name}={value}" for name, value in figures.items())])


def memory_bytes() -> int:
    """Resident memory of this process; its highest value so far where the system tells no more."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
