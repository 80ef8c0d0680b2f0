"""The corpus of hostile files through the running page, as a visitor would send them (promises A1, A3-A7, C1)."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from omnivmed.errors import STUDY_ERROR_CODES
from omnivmed.ui.visit.samples import SAMPLES
from tests.service.conftest import Running, Starter
from tests.service.page_client import PageClient

SECONDS = 10.0
GROWTH_MB = 50
CODE = re.compile(r"session=\w+ open kind=\w+ bytes=\d+ seconds=[\d.]+ code=(\w+)")


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def send(app: Running, page: PageClient, case: dict[str, Any], path: Path, log: Any) -> tuple[str, float]:
    """What is wrong with the page's answer to this case ('' when all is as promised), and the seconds it took."""
    log.clear()
    page.bodies.clear()
    begun = time.monotonic()
    name = case.get("upload_name") or path.name
    shown = json.dumps(page.open_upload(path, name))
    seconds = time.monotonic() - begun
    if "ov-error" not in shown:
        page.saw()
    said = " ".join(page.bodies)
    expect, codes = case["expect"], CODE.findall(log.text)
    wrong = []
    if len(codes) != 1:
        wrong.append(f"log tells {codes}")
    elif "ov-error" in shown:
        sentence = re.search(r'ov-error\\" role=\\"alert\\">([^<]*)<', shown)
        if expect["outcome"] == "accept" or codes[0] not in expect["error_any_of"]:
            wrong.append(f"refused as {codes[0]}")
        if sentence is None or not sentence[1].strip().endswith("."):
            wrong.append("no sentence")
        if codes[0] not in STUDY_ERROR_CODES or f'<small data-code=\\"{codes[0]}\\">' not in shown:
            wrong.append("no code")
    else:
        if expect["outcome"] == "reject" or codes[0] != "ok":
            wrong.append("opened")
        warned = set(app.context.store.get(page.session).current.study.warnings)
        if expect.get("warn_any_of") and not warned & set(expect["warn_any_of"]):
            wrong.append(f"warns only of {sorted(warned)}")
        if warned and "ov-notes" not in shown:
            wrong.append("a warning is not shown")
    tokens = [*case.get("phi_tokens", []), "Traceback", str(app.context.root.sessions)]
    if case.get("upload_name"):
        tokens.append(case["upload_name"])
    for where, text in (("an answer", said), ("the log", log.text)):
        wrong += [f"{token} is in {where}" for token in tokens if token.lower() in text.lower()]
    names = [str(p) for p in app.context.root.run.rglob("*")]
    wrong += [f"{t} is a file name" for t in case.get("phi_tokens", []) if any(t in n for n in names)]
    canary = str(case.get("canary") or "")
    if canary.startswith("/tmp") and Path(canary).exists():
        wrong.append("the canary was written")
    if seconds > SECONDS:
        wrong.append(f"took {seconds:.1f} s")
    return "; ".join(wrong), seconds


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a1_every_hostile_file_through_the_page(
    start: Starter, shared_dir: Path, every_log: pytest.LogCaptureFixture
) -> None:
    index = shared_dir / "hostile" / "index.json"
    if not index.is_file():
        pytest.skip("needs the collection of hostile files beside the shared studies")
    cases = [c for c in json.loads(index.read_text())["cases"] if (index.parent / c["path"]).is_file()]
    app = start()
    page = app.page()
    for sample in SAMPLES:  # every kind once: what the server learns and keeps for good
        page.open_upload(sample.path)
        page.saw()
    before, slowest, wrong = resident_mb(), 0.0, []
    for case in cases:
        finding, seconds = send(app, page, case, index.parent / case["path"], every_log)
        slowest = max(slowest, seconds)
        if finding:
            wrong.append(f"{case['id']}: {finding}")
    app.context.store.drop(page.session)
    grown = resident_mb() - before
    print(f"{len(cases)} files, {len(wrong)} wrong, slowest {slowest:.1f} s, the server grew {grown:.0f} MB")
    assert wrong == []
    assert grown < GROWTH_MB
    assert app.files() == []
    assert app.page().get("/healthz").json()["status"] == "ok"
    assert not any(c.status() == psutil.STATUS_ZOMBIE for c in psutil.Process().children(recursive=True))
