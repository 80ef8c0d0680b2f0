"""Serving the page: private defaults, the layers in front of the framework, warm-up, sweeping."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from omnivmed import __version__
from omnivmed.inference.cards import title_of
from omnivmed.inference.options import AskOptions
from omnivmed.ui import texts
from omnivmed.ui.page.shell import shell
from omnivmed.ui.page.theme import make_css, make_head, make_theme
from omnivmed.ui.tabs.bench import ANSWERING_AT_ONCE
from omnivmed.ui.upstream import LAUNCH, EventQueue, keep_errors_terse, remember_classes
from omnivmed.ui.visit import studies
from omnivmed.ui.visit.clock import boot_clock
from omnivmed.ui.visit.samples import FIRST, SAMPLES
from omnivmed.ui.visit.settings import LOOPBACK
from omnivmed.ui.visit.studies import Context
from omnivmed.ui.web.doorbell import Doorbell
from omnivmed.ui.web.ends import end_tidily
from omnivmed.ui.web.fair import Places
from omnivmed.ui.web.gate import Gate, Rules
from omnivmed.ui.web.health import health_route, hourly_line, metrics_route
from omnivmed.ui.web.leaving import Leaving, Listeners
from omnivmed.ui.web.names import AnonymousNames
from omnivmed.ui.web.receiving import Receiving
from omnivmed.ui.web.shell import Shell
from omnivmed.ui.web.walled import Walled
from omnivmed.ui.web.walls import HUB_FRAMES, Walls

log = logging.getLogger("omnivmed.ui")
SWEEP_S = 1.0
HOUR_S = 3600.0
WARM_UP_PATIENCE_S = 120.0
EVENTS_AT_ONCE = 8  # of a kind that names no limit of its own


def launch(
    demo: gr.Blocks,
    context: Context,
    *,
    block: bool = True,
    warm: bool = True,
    began: float | None = None,
) -> tuple[Any, str, str]:
    """Serve the page: private defaults, bounded queue, sweeping of idle sessions.

    block: wait until the server ends; warm: open the samples ahead of the first visitor; began: when the
    program started (`time.monotonic`), for the log. Returns what `gr.Blocks.launch` returns (app, local address, share
    address).
    """
    settings, limits = context.settings, context.limits
    began = time.monotonic() if began is None else began
    keep_errors_terse()
    remember_classes()
    if not warm:
        context.service.start()
    else:
        threading.Thread(target=_warm_up, args=(context,), name="omnivmed-warm-up", daemon=True).start()
    places = Places(
        answers=limits.queue_size + ANSWERING_AT_ONCE,
        openings=limits.queue_size,
        quick=4 * limits.queue_size,
        share=max(2, limits.queue_size // 2),
    )
    # The gate keeps each kind of work within its places, so the framework's own bound is never the first.
    demo.queue(max_size=places.total, default_concurrency_limit=EVENTS_AT_ONCE, api_open=False)
    queue = EventQueue(demo)
    listeners = Listeners(queue)
    _sweep_forever(context, listeners)
    if block:
        end_tidily(context.end, context.root.remove)

    walled = Walled() if settings.public else None
    if walled is not None:
        walled.look()

    def no_upload() -> str | None:
        if walled is not None and not walled.enough:
            return texts.NO_WALLS
        if context.uploads.bytes() >= limits.waiting_uploads * limits.upload_bytes:
            return texts.NO_ROOM
        return None

    rules = Rules(places, settings.mcp, settings.behind_proxy, settings.keys)
    layers = [
        Middleware(
            Walls,
            loopback=settings.host in LOOPBACK and not settings.behind_proxy,
            behind_proxy=settings.behind_proxy,
            frames=HUB_FRAMES if settings.hub else (),
        ),
        Middleware(Shell, lambda: shell(context.first.picture)),
        Middleware(Doorbell, behind_proxy=settings.behind_proxy),
        Middleware(Gate, rules, queue, no_upload, context.counts.refuse),
        Middleware(Receiving, context.uploads),
        Middleware(AnonymousNames, context.uploads),
        Middleware(Leaving, context.store.gone, queue, listeners),
    ]
    served = demo.launch(
        server_name=settings.host,
        server_port=settings.port or None,
        auth=settings.login,
        max_file_size=limits.upload_bytes,
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        footer_links=[],
        mcp_server=settings.mcp,
        share=False,
        ssr_mode=False,
        allowed_paths=[],
        strict_cors=True,
        state_session_capacity=64,
        prevent_thread_lock=True,
        quiet=True,  # else it invites to make a public link
        theme=make_theme(),
        css=make_css(),
        head=make_head(),
        app_kwargs={"routes": [health_route(context), metrics_route(context, queue)], "middleware": layers},
        **LAUNCH,
    )
    if block:
        print(invitation(context, served[1]), flush=True)
        log.info("page served seconds=%.1f", time.monotonic() - began)
        demo.block_thread()
    return served


def invitation(context: Context, address: str) -> str:
    """What stands in the terminal once the page is served: who speaks, where to look, how to stop it."""
    told = texts.COMMAND_READY if context.settings.host in LOOPBACK else texts.COMMAND_READY_ELSEWHERE
    return told.format(
        version=__version__, model=title_of(context.settings.model), address=address.rstrip("/")
    )


def _warm_up(context: Context) -> None:
    """Start the decoder and open the samples, the first one first: its picture is there when a page asks."""
    from omnivmed.io import warm_up

    options = AskOptions.bounded(context.limits, context.settings.threshold)
    try:
        warm_up()
        context.first.make(studies.open_sample(context, FIRST.key, options))
    except Exception as error:
        log.warning("warm-up failed code=%s", type(error).__name__)
    context.service.start()  # only now: importing the model's libraries would keep the picture waiting
    try:
        context.service.wait(WARM_UP_PATIENCE_S)  # the model first, then the other samples
        for sample in SAMPLES:
            studies.open_sample(context, sample.key, options)
    except Exception as error:
        log.warning("warm-up failed code=%s", type(error).__name__)


def _sweep_forever(context: Context, listeners: Listeners) -> None:
    """In a thread: work nobody listens to ends, what nobody touched for too long goes."""

    steps: tuple[Callable[[], object], ...] = (
        lambda: listeners.drop_unheard(context.store.gone),
        listeners.forget_silent,
        context.store.sweep,
        context.uploads.drop_broken,
        lambda: context.uploads.drop_forgotten(60 * context.limits.waiting_upload_minutes),
    )

    def sweep() -> None:
        told = boot_clock()
        while not context.ended.wait(SWEEP_S):
            for step in steps:
                try:
                    step()
                except Exception as error:  # the next second has to come
                    log.warning("sweeping: code=%s", type(error).__name__)
            if boot_clock() - told >= HOUR_S:
                told = boot_clock()
                log.info("%s", hourly_line(context))

    threading.Thread(target=sweep, name="omnivmed-sweep", daemon=True).start()
