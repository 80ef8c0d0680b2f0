"""The gate by itself. (With the page behind it: tests/service.)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from omnivmed.ui.web.fair import Places
from omnivmed.ui.web.gate import MOST_BYTES, Gate, Rules, address_of
from tests.coroutines import run

PLACES = Places(answers=4, openings=4, quick=4, share=2)


def gate(**rules: Any) -> Gate:
    queue: Any = None
    app: Any = None
    return Gate(app, Rules(PLACES, **rules), queue, lambda: None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/teach"),
        ("GET", "/healthz"),
        ("GET", "/gradio_api/file=/x/y.omv"),
        ("GET", "/assets/index.js"),
        ("HEAD", ""),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/call/ask"),
        ("GET", "/gradio_api/call/prune/abc"),
        ("POST", "/gradio_api/call/generate"),
        ("GET", "/gradio_api/call/generate/abc"),
    ],
)
def test_doors_that_the_page_uses_are_open(method: str, path: str) -> None:
    assert gate().open(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/a-door-that-a-newer-framework-adds"),
        ("GET", "/gradio_api/a-new-one"),
        ("GET", "/gradio_api/proxy=http://example.com"),
        ("GET", "/x/gradio_api/file=/etc/passwd"),
        ("GET", "/static"),
        ("POST", "/gradio_api/call/open_first"),
        ("POST", "/gradio_api/call/v2/ask"),
        ("POST", "/gradio_api/run/answer"),
        ("POST", "/gradio_api/api/predict"),
        ("POST", "/x/gradio_api/upload"),
        ("PUT", "/gradio_api/upload"),
        ("DELETE", ""),
        ("GET", "/gradio_api/mcp"),
        ("POST", "/gradio_api/mcp"),
    ],
)
def test_every_other_door_is_closed(method: str, path: str) -> None:
    assert not gate().open(method, path)


def test_mcp_is_open_where_it_is_asked_for() -> None:
    assert gate(mcp=True).open("POST", "/gradio_api/mcp")


def routes_of(routes: Any, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    """(path without a slash at its end, methods) of all routes, those of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None) or route
        deeper = getattr(inner, "routes", None)
        own = prefix + getattr(route, "path", "")
        if deeper and not getattr(route, "methods", None):
            yield from routes_of(deeper, prefix)
        else:
            yield own.rstrip("/"), set(getattr(route, "methods", None) or ())


def test_every_route_of_the_framework_was_looked_at() -> None:
    """A newer Gradio that adds a route has to be looked at before `make lock` brings it: fails until listed here."""
    import gradio as gr
    from gradio.routes import App

    with gr.Blocks(analytics_enabled=False) as demo:
        gr.Button()
    demo.queue()
    app = App.create_app(demo)
    open_ones = {
        f"{method} {path}"
        for path, methods in routes_of(app.routes)
        for method in methods
        if gate().open(method, path.replace("{api_name}", "ask").replace("{path_or_url:path}", "x"))
    }
    assert {one for one in open_ones if one.startswith("POST")} == {
        "POST /login",
        "POST /gradio_api/upload",
        "POST /gradio_api/queue/join",
        "POST /gradio_api/cancel",
        "POST /gradio_api/reset",
        "POST /gradio_api/call/{api_name}",
        "POST /gradio_api/run/{api_name}",
    }
    fetched = {one.split(" ", 1)[1] for one in open_ones if one.startswith("GET")}
    assert fetched <= {
        "",
        "/assets/{path:path}",
        "/config",
        "/favicon.ico",
        "/gradio_api/app_id",
        "/gradio_api/call/{api_name}/{event_id}",
        "/gradio_api/file={path_or_url:path}",
        "/gradio_api/heartbeat/{session_hash}",
        "/gradio_api/info",
        "/gradio_api/login_check",
        "/gradio_api/queue/data",
        "/gradio_api/startup-events",
        "/gradio_api/theme.css",
        "/gradio_api/token",
        "/gradio_api/upload_progress",
        "/gradio_api/user",
        "/logout",
        "/manifest.json",
        "/pwa_icon",
        "/robots.txt",
        "/static/{path:path}",
        "/svelte/{path:path}",
        "/theme.css",
    }


def test_a_request_too_large_is_not_read_to_its_end() -> None:
    told = 0

    async def receive() -> dict[str, Any]:
        nonlocal told
        told += 1
        assert told < 10
        return {"type": "http.request", "body": b"x" * (MOST_BYTES // 2 + 1), "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join", "headers": []}
    run(gate()(scope, receive, send))
    assert sent[0]["status"] == 413
    assert told == 2


@pytest.mark.parametrize(
    ("told", "behind_proxy", "address"),
    [
        (None, False, "10.0.0.1"),
        ("6.6.6.6", False, "10.0.0.1"),
        ("6.6.6.6", True, "6.6.6.6"),
        ("6.6.6.6, 7.7.7.7", True, "7.7.7.7"),
        ("", True, "10.0.0.1"),
    ],
)
def test_addresses_are_the_proxys_word_only_behind_one(
    told: str | None, behind_proxy: bool, address: str
) -> None:
    headers = [] if told is None else [(b"x-forwarded-for", told.encode())]
    scope = {"type": "http", "headers": headers, "client": ("10.0.0.1", 5)}
    assert address_of(scope, behind_proxy) == address
