"""What one visitor can do to another, and what many do to the machine: over HTTP, as they would."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from omnivmed.ui.upstream import EventQueue
from tests.scripted import ScriptedAssistant
from tests.service.conftest import Running, Starter
from tests.service.page_client import PageClient
from tests.service.test_service import wait_until

PAGE = "x-omnivmed-page"


def picture(path: Path, seed: int = 0) -> Path:
    """A small PNG that opens."""
    pixels = np.random.default_rng(seed).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def words(states: object) -> str:
    """Everything in there as one text."""
    return json.dumps(states, ensure_ascii=False)


def open_sent(page: PageClient, where: str) -> str:
    """Open what was uploaded before; everything the page said."""
    file = {"path": where, "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}}
    dependency = page.dependency("ov-upload", "upload")
    inputs = [page.values.get(i) for i in dependency["inputs"]]
    inputs[0] = [file]
    return words(page.fire(dependency, inputs))


def test_the_same_file_of_eight_people_opens_for_all(start: Starter, tmp_path: Path) -> None:
    app = start()
    teaching = picture(tmp_path / "class.png")
    pages = [app.page() for _ in range(8)]
    sent = [page.upload(teaching) for page in pages]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(open_sent, pages, sent))
    assert ["no longer there" in one for one in said] == [False] * 8
    assert all("64 × 64" in one for one in said)


def test_a_neighbour_who_knows_an_address_takes_and_spoils_nothing(start: Starter, tmp_path: Path) -> None:
    app = start()
    owner, thief = app.page(), app.page()
    owner.http.headers[PAGE], thief.http.headers[PAGE] = "owner", "thief"
    owner.open_first()
    view = next(p for p in words(owner.bodies).split('\\"') if p.endswith(".omv") and "/samples/" in p)
    sent = owner.upload(picture(tmp_path / "a.png"))
    own = owner.open_upload(picture(tmp_path / "b.png", 1))
    payload = next(p for p in words(own).split('"') if p.endswith(".omv"))
    for address in (view, sent, payload):
        assert Path(address).exists()
        assert "no longer there" in open_sent(thief, address)
        assert Path(address).exists()
        assert owner.http.get(f"{owner.api}/file={address}").status_code == 200
    assert "64 × 64" in open_sent(owner, sent)


def test_uploads_that_break_off_leave_nothing_and_count_meanwhile(start: Starter) -> None:
    import socket

    app = start(upload_bytes=50_000_000)
    host, port = app.url.removeprefix("http://").rstrip("/").split(":")
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 8000000\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="files"; filename="x.dcm"\r\n\r\n'
    )
    lines = [socket.create_connection((host, int(port))) for _ in range(3)]
    for line in lines:
        line.sendall(head.encode() + b"x" * 4_000_000)
    assert wait_until(lambda: app.context.uploads.bytes() >= 3 * 3_900_000, 10)
    for line in lines:
        line.close()
    assert wait_until(lambda: app.context.uploads.bytes() == 0, 5)
    assert list(app.context.uploads.halves()) == []


def test_a_full_disk_is_a_sentence_and_over_when_it_is_over(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    app = start()
    page = app.page()
    file = picture(tmp_path / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr("omnivmed.ui.web.receiving.free_bytes", lambda _: 1000)
        with file.open("rb") as handle:
            told = page.http.post(f"{page.api}/upload", files={"files": ("a.png", handle)})
    assert told.status_code == 507
    assert "no room" in told.json()["detail"]

    class Full:
        """A file on a disk that ends while it is written."""

        def __init__(self, *_: object, **__: object) -> None:
            self.name = str(app.context.root.served / "half")
            Path(self.name).write_bytes(b"half")

        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr("gradio.route_utils.NamedTemporaryFile", Full)
        with file.open("rb") as handle:
            told = page.http.post(f"{page.api}/upload", files={"files": ("a.png", handle)})
    assert told.status_code == 507
    assert wait_until(lambda: not list(app.context.uploads.halves()), 3)
    assert "64 × 64" in words(page.open_upload(file))


def call(app: Running, question: str = "What?") -> int:
    """`/call/ask` without a page; nobody fetches what comes of it."""
    body = {"data": [None, question, 0.1, 32]}
    return httpx.post(f"{app.url}gradio_api/call/ask", json=body, timeout=30).status_code


def test_a_caller_who_listens_to_nothing_keeps_nobody_out(start: Starter, tmp_path: Path) -> None:
    app = start(ScriptedAssistant(tokens_per_second=2, script=lambda *_: "word " * 60))
    file = picture(tmp_path / "a.png")
    sent = [app.page().upload(file) for _ in range(30)]
    codes = []
    for where in sent:
        data = [[{"path": where, "meta": {"_type": "gradio.FileData"}}], "What?", 0.1, 60]
        codes.append(httpx.post(f"{app.url}gradio_api/call/ask", json={"data": data}, timeout=30).status_code)
    assert codes.count(200) <= app.context.limits.queue_size // 2
    assert codes.count(503) == 30 - codes.count(200)
    began = time.monotonic()
    other = app.page()
    other.open_first()
    assert time.monotonic() - began < 5
    assert wait_until(lambda: app.assistant.running == 0, 8)  # 3.5 s of patience, a sweep, a step
    assert "word word" in other.ask("And now?", [0.1, "previous", 0, 4, False])


def test_who_comes_to_listen_too_late_is_told(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow line: between asking and listening lies more time than anybody is waited for."""
    monkeypatch.setattr("omnivmed.ui.web.leaving.PATIENCE_S", 0.5)
    app = start(ScriptedAssistant(tokens_per_second=2, script=lambda *_: "word " * 60))
    page = app.page()
    page.open_first()
    page.begin("What is this?")
    event = page.after(page.dependency("ov-ask", "click"))[0]
    body = {
        "data": [page.values.get(i) for i in event["inputs"]],
        "fn_index": event["id"],
        "session_hash": page.session,
    }
    page.http.post(f"{page.api}/queue/join", json=body).raise_for_status()
    assert wait_until(lambda: app.assistant.running == 1, 5)
    assert wait_until(lambda: app.assistant.running == 0, 8)
    where, told = f"{page.api}/queue/data", []
    with page.http.stream("GET", where, params={"session_hash": page.session}, timeout=10) as answer:
        for line in answer.iter_lines():
            told.append(line)
            if "process_completed" in line:
                break
    assert "given up" in told[-1]
    assert '"success":false' in told[-1].replace(" ", "")


def test_the_framework_keeps_nothing_of_pages_that_rest_and_they_go_on_afterwards(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnivmed.ui.web.leaving.FORGET_S", 0.5)
    app = start()
    page = app.page()
    page.open_first()
    kept = EventQueue(app.demo).listeners
    assert page.session in kept()
    assert wait_until(lambda: page.session not in kept(), 10)
    assert "What is this?" in page.ask("What is this?")
    assert wait_until(lambda: page.session not in kept(), 10)


def test_work_that_is_listened_to_goes_on(start: Starter) -> None:
    app = start(ScriptedAssistant(tokens_per_second=4, script=lambda *_: "word " * 24))  # 6 s
    page = app.page()
    page.open_first()
    assert page.ask("What is this?").count("word") >= 24


def test_a_sample_does_not_wait_behind_uploads(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from omnivmed.ui.visit import studies

    app = start()
    app.page().open_first()
    go_on = threading.Event()
    monkeypatch.setattr(studies, "open_study_files", lambda *_, **__: go_on.wait(30))
    busy = [app.page() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        waiting = [
            pool.submit(page.open_upload, picture(tmp_path / f"{k}.png", k)) for k, page in enumerate(busy)
        ]
        time.sleep(1.0)
        began = time.monotonic()
        app.page().open_sample("chest_xray")
        assert time.monotonic() - began < 3
        assert not any(one.done() for one in waiting)
        go_on.set()


def test_who_waits_to_be_decoded_is_told_the_place(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from omnivmed.ui.visit import studies

    app = start(workers=1)
    go_on, real = threading.Event(), studies.open_study_files

    def slow(*args: object, **more: object) -> object:
        go_on.wait(30)
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(studies, "open_study_files", slow)
    pages = [app.page() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        waiting = []
        for k, page in enumerate(pages):
            waiting.append(pool.submit(page.open_upload, picture(tmp_path / f"{k}.png", k)))
            time.sleep(1.0)
        go_on.set()
        shown = [words(one.result()) for one in waiting]
    assert all("64 × 64" in one for one in shown)
    told = [" ".join(page.bodies) for page in pages]
    assert ["Waiting for your turn" in text for text in told] == [False, True, True]


@pytest.mark.parametrize("way", ["call", "run"])
def test_private_handlers_cannot_be_called_by_name(start: Starter, way: str) -> None:
    app = start()
    page = app.page()
    names = [d["api_name"] for d in page.config["dependencies"] if isinstance(d["api_name"], str)]
    private = [name for name in names if name not in ("ask", "prune", "generate")]
    assert private
    codes = {page.http.post(f"{page.api}/{way}/{n}", json={"data": []}).status_code for n in private}
    assert codes == {404}


def test_memory_of_all_visitors_has_a_bound(start: Starter, tmp_path: Path) -> None:
    import nibabel

    volume = np.zeros((64, 64, 40), np.int16)
    volume[16:48, 16:48] = 900
    path = tmp_path / "v.nii.gz"
    nibabel.Nifti1Image(volume, np.eye(4)).to_filename(path)
    app = start(open_study_bytes=3 * volume.nbytes + 1000)
    pages = [app.page() for _ in range(4)]
    for page in pages:
        assert "64 × 64" in words(page.open_upload(path))
        app.context.store.get(page.session).last_used -= 10  # idle for a while
    assert len(app.context.store) == 3
    told = words(pages[0].begin("What is this?"))
    assert "make room for others" in told
    for page in pages[1:]:
        assert "You asked" in page.ask("What is this?")
    for page in pages[1:]:  # everybody is busy now
        app.context.store.get(page.session)
    assert "no room for this one" in words(pages[0].open_upload(path))


def test_an_idle_page_hears_why_its_study_is_gone(start: Starter, tmp_path: Path) -> None:
    app = start(idle_minutes=0.1)
    page = app.page()
    page.open_upload(picture(tmp_path / "a.png"))
    assert wait_until(lambda: len(app.context.store) == 0, 20)  # the sweeping thread itself
    assert wait_until(lambda: app.files() == [], 5)
    tick = next(
        d
        for d in page.config["dependencies"]
        if any(t[1] == "tick" for t in d["targets"]) and page.ids["ov-notes"] in d["outputs"]
    )
    assert "deleted, because nobody had touched this page" in words(page.fire(tick))
    assert "deleted" not in words(page.fire(tick))  # said once
    assert app.context.store.peek(page.session) is None  # looking is not touching
