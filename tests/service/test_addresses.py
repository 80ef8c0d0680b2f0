"""A file is what was uploaded, never an address that the server would fetch (promise C5: nobody is talked to)."""

from __future__ import annotations

from typing import Any

import pytest

from omnivmed.resources import samples_dir
from omnivmed.ui.web.addresses import ForeignAddress, uploads_only
from tests.service.conftest import Starter

HOST = "127.0.0.1:7860"
META = {"_type": "gradio.FileData"}


@pytest.mark.parametrize(
    "path",
    [
        "http://example.com/x.png",
        "https://example.com/gradio_api/file=/tmp/x",
        " HTTP://example.com/x",
        "ftp://example.com/x",
        "file:///etc/passwd",
        f"http://{HOST}/config",
        f"http://someone@{HOST}/gradio_api/file=/x",
        f"http://{HOST}.example.com/gradio_api/file=/x",
    ],
)
def test_no_address_but_our_own_uploads(path: str) -> None:
    for value in ({"path": path, "meta": META}, [[{"a": {"path": path}}]]):
        with pytest.raises(ForeignAddress):
            uploads_only({"data": [value]}, HOST)


def test_our_own_address_is_the_path_behind_it() -> None:
    given = {"path": f"http://{HOST}/gradio_api/file=/tmp/a%20b/x.dcm", "meta": META, "url": "http://else/"}
    assert uploads_only([given], HOST) == [{"path": "/tmp/a b/x.dcm", "meta": META, "url": None}]
    plain = {"data": [{"path": "/tmp/x.dcm"}, "see http://example.com", 3, None], "session_hash": "a"}
    assert uploads_only(plain, HOST) == plain


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that the server set out to fetch."""
    asked: list[str] = []

    async def note(url: str, *_: Any, **__: Any) -> str:
        asked.append(url)
        raise OSError("no network in a test")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", note)
    return asked


def test_the_server_fetches_nothing_for_a_caller(start: Starter, fetched: list[str]) -> None:
    page = start().page()
    foreign = {"path": "http://example.com/x.png", "url": "http://example.com/x.png", "meta": META}
    escaped = (
        b'{"data": [{"path": "http:\\u002f\\u002fexample.com", "meta": {"_type": "gradio.FileData"}}, 0.1]}'
    )
    for body in (
        {"json": {"data": [[foreign], 0.1]}},
        {"json": {"data": [foreign, 0.1]}},
        {"json": {"data": [None, foreign]}},
        {"content": escaped, "headers": {"content-type": "application/json"}},
    ):
        answer = page.http.post(f"{page.api}/call/prune", **body)
        if answer.status_code == 200:  # taken in: what becomes of it?
            page.http.get(f"{page.api}/call/prune/{answer.json()['event_id']}")
        assert fetched == []
        assert answer.status_code == 400
    assert "address" in page.http.post(f"{page.api}/call/prune", json={"data": [[foreign], 0.1]}).text


def test_an_upload_may_be_named_by_its_address(start: Starter, fetched: list[str]) -> None:
    page = start().page()
    address = f"{page.api}/file={page.upload(samples_dir() / 'ct_abdomen.nii.gz')}"
    event = page.http.post(f"{page.api}/call/prune", json={"data": [[{"path": address, "meta": META}], 0.1]})
    told = page.http.get(f"{page.api}/call/prune/{event.json()['event_id']}").text
    assert "event: complete" in told
    assert '"kept"' in told
    assert fetched == []
