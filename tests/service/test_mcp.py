"""`--mcp`: a real MCP client lists the tools, hands over a study and gets an answer."""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from omnivmed.resources import samples_dir
from omnivmed.ui.visit.secrets import digest
from tests.coroutines import run
from tests.service.conftest import Running, Starter

mcp = pytest.importorskip("mcp", reason="needs the package mcp (the mcp or dev extra)")


@pytest.fixture
def running(start: Starter) -> Running:
    return start(mcp=True)


def talk(
    running: Running, what: Callable[[Any], Awaitable[Any]], headers: dict[str, str] | None = None
) -> Any:
    """Open a session with the server's MCP door, and close it."""
    from mcp.client.streamable_http import streamablehttp_client

    async def session() -> Any:
        address = f"{running.url.rstrip('/')}/gradio_api/mcp/"
        async with (
            streamablehttp_client(address, headers=headers) as (read, write, _),
            mcp.ClientSession(read, write) as client,
        ):
            await client.initialize()
            return await what(client)

    return run(session())


def told(done: Any) -> Any:
    """The facts a tool returned: Gradio writes a dictionary as Python does."""
    assert not done.isError, done.content
    return ast.literal_eval(done.content[0].text)


def as_data(path: Path) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(path.read_bytes()).decode()


def test_the_tools_are_the_public_interface(running: Running) -> None:
    tools = talk(running, lambda client: client.list_tools()).tools
    assert {tool.name for tool in tools} == {"ask", "prune", "generate"}
    for tool in tools:
        assert "not for diagnosis" in tool.description.lower()
        assert "$ref" not in json.dumps(tool.inputSchema), "a client could not resolve it"
        assert tool.inputSchema["properties"]["file"]["type"] == "string"


def test_prune_and_ask_with_a_study_in_the_call(running: Running) -> None:
    study = as_data(samples_dir() / "chest_xray.dcm")
    done = talk(running, lambda client: client.call_tool("prune", {"file": study, "threshold": 0.1}))
    mask = told(done)
    assert mask["kept"] == mask["total"] > 0
    asked = {"file": study, "question": "Which view?", "threshold": 0.1, "max_new_tokens": 32}
    done = talk(running, lambda client: client.call_tool("ask", asked))
    assert not done.isError, done.content
    assert "[scripted]" in done.content[0].text


def test_prune_with_the_address_of_an_upload(running: Running) -> None:
    page = running.page()
    address = f"{page.api}/file={page.upload(samples_dir() / 'ct_abdomen.nii.gz')}"
    done = talk(running, lambda client: client.call_tool("prune", {"file": address, "threshold": 0.1}))
    assert 0 < told(done)["kept"] < told(done)["total"]


def test_an_address_elsewhere_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> str:
        raise AssertionError("the server set out to fetch an address")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", never)
    file = {"file": "http://example.com/x.png", "threshold": 0.1}
    done = talk(running, lambda client: client.call_tool("prune", file))
    assert done.isError


def test_nothing_of_a_call_stays_behind(running: Running) -> None:
    file = {"file": as_data(samples_dir() / "chest_xray.dcm"), "threshold": 0.1}
    talk(running, lambda client: client.call_tool("prune", file))
    assert running.files() == []


def test_with_api_keys_a_tool_needs_one(start: Starter) -> None:
    running = start(mcp=True, keys={digest("a key of some length"): "ward"})
    file = {"file": as_data(samples_dir() / "chest_xray.dcm"), "threshold": 0.1}
    with pytest.raises(BaseExceptionGroup):
        talk(running, lambda client: client.list_tools())
    key = {"Authorization": "Bearer a key of some length"}
    assert told(talk(running, lambda client: client.call_tool("prune", file), key))["kept"] > 0
