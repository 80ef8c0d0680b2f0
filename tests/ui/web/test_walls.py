"""Who may ask, and what a browser may do with the answer."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from omnivmed.ui.web.walls import HUB_FRAMES, Walls, name_of, policy


def client(**settings: Any) -> TestClient:
    """A page behind the walls that says what it was told of its visitor."""

    async def echo(request: Request) -> JSONResponse:
        return JSONResponse(dict(request.headers))

    paths = ("/", "/gradio_api/file=x", "/gradio_api/upload", "/assets/index.js")
    routes = [Route(path, echo, methods=["GET", "POST"]) for path in paths]
    app = Starlette(routes=routes, middleware=[Middleware(Walls, **{"loopback": True, **settings})])
    return TestClient(app, base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LOCALHOST"])
def test_names_of_this_computer_are_served(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1"],
)
def test_a_foreign_name_that_points_here_is_turned_away(host: str) -> None:
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "127.0.0.1" in answer.json()["detail"]
    assert client(loopback=False).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "https://127.0.0.1:7861"]
)
def test_another_web_page_may_neither_post_nor_read(origin: str) -> None:
    answer = client().post("/gradio_api/upload", headers={"origin": origin})
    assert answer.status_code == 403
    assert client().get("/", headers={"origin": origin}).status_code == 403  # nor read
    assert client().get("/", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"origin": "http://127.0.0.1:7860"}])
def test_the_own_page_and_programs_may_post(headers: dict[str, str]) -> None:
    assert client().post("/gradio_api/upload", headers=headers).status_code == 200


def test_what_a_proxy_would_say_is_believed_only_behind_one() -> None:
    said = {"x-forwarded-host": "evil.example", "x-forwarded-for": "10.0.0.1", "forwarded": "for=10.0.0.1"}
    assert not set(said) & set(client().get("/", headers=said).json())
    assert set(said) <= set(client(behind_proxy=True).get("/", headers=said).json())
    behind = client(loopback=False, behind_proxy=True)
    seen = {"origin": "https://name.example", "x-forwarded-host": "name.example"}
    assert behind.post("/gradio_api/upload", headers=seen).status_code == 200
    assert client(loopback=False).post("/gradio_api/upload", headers=seen).status_code == 403


def test_a_study_is_not_kept_by_the_browser_and_the_programs_own_files_are() -> None:
    for path in ("/", "/gradio_api/file=x"):
        assert client().get(path).headers["cache-control"] == "no-store"
    assert "cache-control" not in client().get("/assets/index.js").headers
    refused = client().get("/gradio_api/file=x", headers={"host": "evil.example"})
    assert refused.headers["cache-control"] == "no-store"


def test_every_answer_carries_the_walls() -> None:
    headers = client().get("/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == policy()


def test_the_policy_names_no_foreign_host_but_the_hubs_frame() -> None:
    assert "http" not in policy()
    directives = dict(part.split(" ", 1) for part in policy(HUB_FRAMES).split("; "))
    assert directives["frame-ancestors"] == "'self' https://huggingface.co https://*.hf.space"
    assert not any("http" in value for name, value in directives.items() if name != "frame-ancestors")
    assert directives["object-src"] == "'none'"


@pytest.mark.parametrize(
    ("host", "name"), [("a:1", "a"), ("[::1]:2", "::1"), ("A", "a"), ("", ""), ("[", "")]
)
def test_names_without_ports(host: str, name: str) -> None:
    assert name_of(host) == name
