"""What the operator sees and sets: health, metrics, keys, log-in."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import Starter
from tests.service.test_neighbours import picture
from tests.service.test_service import wait_until

KEY = "ward-key-0123456789abcdef"


def test_health_tells_memory_and_disk(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    app = start()
    told = app.page().get("/healthz").json()
    assert told["status"] == "ok"
    assert told["memory_bytes"] > 50 * 2**20
    assert told["disk_free_bytes"] > 0
    monkeypatch.setattr("omnivmed.ui.web.health.free_bytes", lambda _: 1000)
    assert app.page().get("/healthz").json()["status"] == "full"


def test_metrics_count_and_name_nobody(start: Starter, tmp_path: Path) -> None:
    app = start()
    page = app.page()
    page.open_upload(picture(tmp_path / "Zebrowski.png"), "Zebrowski.png")
    page.ask("Is this Zebrowski?")
    page.get("/docs")
    text = page.get("/metrics").text
    assert 'omnivmed_opening_seconds_count{code="ok"} 1.0' in text
    assert 'omnivmed_answer_seconds_count{code="ok"} 1.0' in text
    assert 'omnivmed_refused_total{reason="door"} 1.0' in text
    assert "omnivmed_sessions 1.0" in text
    assert "Zebrowski" not in text
    assert page.session not in text


def test_behind_a_proxy_metrics_need_a_key(start: Starter) -> None:
    from omnivmed.ui.visit.secrets import digest

    app = start(settings={"behind_proxy": True, "keys": {digest(KEY): "ward"}})
    assert httpx.get(f"{app.url}metrics").status_code == 401
    told = httpx.get(f"{app.url}metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert "omnivmed_memory_bytes" in told.text


def test_programs_need_a_key_where_there_are_keys(start: Starter, tmp_path: Path) -> None:
    from omnivmed.ui.visit.secrets import digest

    app = start(settings={"keys": {digest(KEY): "ward"}})
    page = app.page()
    page.open_first()
    assert "You asked" in page.ask("What is this?")  # the page needs none
    sent = page.upload(picture(tmp_path / "a.png"))
    body = {"data": [[{"path": sent, "meta": {"_type": "gradio.FileData"}}], 0.1]}
    number = next(d["id"] for d in page.config["dependencies"] if d["api_name"] == "prune")
    joined = {**body, "fn_index": number, "session_hash": page.session}
    assert page.http.post(f"{page.api}/call/prune", json=body).status_code == 401
    assert page.http.post(f"{page.api}/queue/join", json=joined).status_code == 401
    wrong = {"Authorization": "Bearer wrong-wrong-wrong-wrong"}
    assert page.http.post(f"{page.api}/call/prune", json=body, headers=wrong).status_code == 401
    right = {"Authorization": f"Bearer {KEY}"}
    called = page.http.post(f"{page.api}/call/prune", json=body, headers=right)
    assert called.status_code == 200
    told = page.http.get(f"{page.api}/call/prune/{called.json()['event_id']}", headers=right).text
    assert "threshold" in told


def test_wrong_log_ins_are_slow_logged_and_then_silent(
    start: Starter, every_log: pytest.LogCaptureFixture
) -> None:
    app = start(settings={"login": ("teacher", "right")})
    with httpx.Client(base_url=app.url) as client:
        began = time.monotonic()
        wrong = {"username": "teacher", "password": "wrong"}
        codes = [client.post("login", data=wrong).status_code for _ in range(6)]
        assert codes[:5] == [400] * 5
        assert codes[5] == 429
        assert time.monotonic() - began > 4.5
        assert client.post("login", data={"username": "teacher", "password": "right"}).status_code == 429
    assert every_log.text.count("log-in failed") == 5
    assert "wrong" not in every_log.text
    assert "127.0.0.1" not in next(r.getMessage() for r in every_log.records if "log-in" in r.getMessage())


def test_the_hourly_line_stands_in_the_log(
    start: Starter, every_log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnivmed.ui.web.launch.HOUR_S", 0.5)
    start()

    def lines() -> list[Any]:
        return [
            r for r in every_log.records if r.levelno == logging.INFO and "hour sessions=" in r.getMessage()
        ]

    assert wait_until(lines, 10)


def test_sixty_turns_cost_what_a_dozen_cost(start: Starter) -> None:
    app = start()
    page = app.page()
    page.open_first()
    sizes: list[int] = []
    for turn in range(40):
        before = sum(map(len, page.bodies))
        page.ask(f"Question number {turn}?")
        page.saw()
        sizes.append(sum(map(len, page.bodies)) - before)
    files = len(app.files())
    page.ask("One more?")
    page.saw()
    assert len(app.files()) == files
    assert sizes[-1] < 1.15 * sizes[14]
    assert "28 earlier questions" in json.dumps(page.bodies[-40:]) or "29 earlier" in json.dumps(
        page.bodies[-40:]
    )


@pytest.mark.parametrize("walls", [{}, {"network": False, "files": False}])
def test_a_public_page_without_walls_takes_no_files(
    start: Starter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every_log: pytest.LogCaptureFixture,
    walls: dict[str, bool],
) -> None:
    from omnivmed.io import pool

    monkeypatch.setattr("omnivmed.io.warm_up", lambda: None)
    monkeypatch.setattr(pool.FAMILY, "walls", walls)
    page = start(public=True).page()
    assert wait_until(lambda: "decoder not walled off" in every_log.text, 10)
    with picture(tmp_path / "a.png").open("rb") as handle:
        told = page.http.post(f"{page.api}/upload", files={"files": ("a.png", handle)})
    assert told.status_code == 503
    assert "takes no files" in told.json()["detail"]
    page.open_first()


@pytest.mark.parametrize("walls", [{"network": True, "files": False}, {"network": False, "files": True}])
def test_one_wall_is_enough_and_the_log_says_which(
    start: Starter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every_log: pytest.LogCaptureFixture,
    walls: dict[str, bool],
) -> None:
    from omnivmed.io import pool

    monkeypatch.setattr("omnivmed.io.warm_up", lambda: None)
    monkeypatch.setattr(pool.FAMILY, "walls", walls)
    page = start(public=True).page()
    assert wait_until(lambda: "decoder walled off" in every_log.text, 10)
    assert page.upload(picture(tmp_path / "a.png"))
    assert "NO" in every_log.text
