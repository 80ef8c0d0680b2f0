"""What is never kept, shown, logged or sent: promises A7, C and D of docs/security.md."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from omnivmed.resources import samples_dir
from omnivmed.ui.visit import environment
from tests.service.conftest import Starter
from tests.service.test_service import wait_until

PATIENT = ("Zebrowski", "Annelise", "MRN77812", "19620304", "Klinik Sonnenhof")
NAME = "Zebrowski_Annelise_MRN77812.dcm"
ROOT = Path(__file__).resolve().parents[2]


def patient_file(path: Path, burned_in: bool = False) -> Path:
    """A small CT slice with a full set of identifiers in its header."""
    data = Dataset()
    data.PatientName, data.PatientID, data.PatientBirthDate = "Zebrowski^Annelise", "MRN77812", "19620304"
    data.InstitutionName = data.StudyDescription = data.SeriesDescription = "Klinik Sonnenhof"
    data.Modality, data.BodyPartExamined = "CT", "CHEST"
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.Rows = data.Columns = 64
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 1, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    if burned_in:
        data.BurnedInAnnotation = "YES"
    data.PixelData = (np.arange(64 * 64, dtype=np.int16) % 2048).tobytes()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def names_in(text: str) -> list[str]:
    return [token for token in PATIENT if token.lower() in text.lower()]


def test_d4_variables_of_the_framework_open_nothing(
    start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of these would: other folders of the computer, a public tunnel, tools for changing the program."""
    secret = tmp_path / "theirs.txt"
    secret.write_text("secret")
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", str(tmp_path))
    for name in environment.OPENING[1:]:
        monkeypatch.setenv(name, "0")
    app = start()
    assert app.page().http.get(f"{app.url}gradio_api/file={secret}").status_code == 403
    assert [name for name in environment.OPENING if name in os.environ] == []
    assert "GRADIO_ALLOWED_PATHS" in caplog.text
    assert str(tmp_path) not in caplog.text


def test_names_of_files_and_headers_are_nowhere(
    start: Starter, tmp_path: Path, every_log: pytest.LogCaptureFixture
) -> None:
    app = start(waiting_upload_minutes=3 / 60)  # the first upload is never opened
    page = app.page()
    page.open_first()
    where = page.upload(patient_file(tmp_path / "source.dcm"), NAME)
    assert names_in(where) == []
    shown = json.dumps(page.open_upload(tmp_path / "source.dcm", NAME))
    assert "CT image" in shown
    page.ask("What kind of image is this?")
    page.saw()
    payloads = set(re.findall(r'"path": ?"([^"]+)"', " ".join(page.bodies)))
    for path in payloads:
        if path.endswith((".omv", ".json", ".md")):
            page.bodies.append(page.http.get(f"{page.api}/file={path}").content.decode("latin-1"))
    assert payloads
    assert names_in(" ".join(page.bodies)) == []
    assert names_in(every_log.text) == []
    deadline = time.monotonic() + 15
    while Path(where).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    for path in app.context.root.run.rglob("*"):
        assert names_in(str(path)) == []
        if path.is_file():
            assert names_in(path.read_bytes().decode("latin-1")) == []


def test_the_upload_cannot_be_fetched_once_it_is_read(start: Starter, tmp_path: Path) -> None:
    app = start()
    page = app.page()
    source = patient_file(tmp_path / "a.dcm")
    dependency = page.dependency("ov-upload", "upload")
    where = page.upload(source)
    inputs = [page.values.get(i) for i in dependency["inputs"]]
    inputs[0] = [{"path": where, "meta": {"_type": "gradio.FileData"}}]
    page.fire(dependency, inputs)
    other = app.page()
    assert other.http.get(f"{other.api}/file={where}").status_code in (403, 404)
    assert not Path(where).exists()
    # The decoded still needs no source: nothing that was uploaded is left.
    assert [p for p in app.files() if p.suffix == ".dcm"] == []


def test_files_go_on_replace_and_when_the_page_closes(start: Starter, tmp_path: Path) -> None:
    app = start()
    page = app.page()
    page.open_upload(patient_file(tmp_path / "a.dcm"))
    page.ask("What kind of image is this?")
    page.saw()
    assert app.files() != []
    page.open_sample("chest_xray")
    assert app.files() == []
    page.open_upload(patient_file(tmp_path / "b.dcm"))
    assert app.files() != []
    app.context.store.drop(page.session)
    assert app.files() == []
    assert len(app.context.store) == 0
    assert app.assistant.forgotten


def test_files_go_when_the_browser_does(start: Starter, tmp_path: Path) -> None:
    app = start()
    page = app.page()
    with page.http.stream(
        "GET", f"{page.api}/heartbeat/{page.session}"
    ) as alive:  # as every open page holds it
        lines = alive.iter_lines()
        assert next(lines) == "data: ALIVE"
        page.open_upload(patient_file(tmp_path / "a.dcm"))
        page.ask("What kind of image is this?")
        assert app.files() != []
    assert wait_until(lambda: app.files() == [] and len(app.context.store) == 0, 30)


def test_idle_sessions_lose_their_files(start: Starter, tmp_path: Path) -> None:
    app = start(idle_minutes=0)
    page = app.page()
    page.open_upload(patient_file(tmp_path / "a.dcm"))
    time.sleep(0.05)
    assert app.context.store.sweep() == 1
    assert app.files() == []


def test_a_broken_upload_is_a_sentence_and_leaves_nothing(start: Starter, tmp_path: Path) -> None:
    app = start()
    page = app.page()
    broken = tmp_path / NAME
    broken.write_bytes(patient_file(tmp_path / "whole.dcm").read_bytes()[:900])
    text = tmp_path / "letter.dcm"
    text.write_text("Dear Annelise Zebrowski")
    for path in (broken, text):
        told = json.dumps(page.open_upload(path))
        assert "ov-error" in told
        assert re.search(
            r'\. <small data-code=\\?"(Corrupt|NotAnImage)\\?">(damaged|no picture in it)</small>', told
        )
        assert names_in(told) == []
        assert "Traceback" not in told
        assert str(tmp_path) not in told
    assert app.files() == []
    assert "You asked" in (page.open_sample("chest_xray") and page.ask("Still there?"))


def test_logs_hold_tag_kind_size_duration_code_only(
    start: Starter, tmp_path: Path, every_log: pytest.LogCaptureFixture
) -> None:
    app = start()
    page = app.page()
    page.open_upload(patient_file(tmp_path / "a.dcm"), NAME)
    page.ask("Is Mrs. Secretname ill?")
    ours = [r.getMessage() for r in every_log.records if r.name == "omnivmed.ui"]
    assert any(
        re.fullmatch(r"session=[0-9a-f]{8} open kind=image bytes=\d+ seconds=[\d.]+ code=ok", m) for m in ours
    )
    assert any(re.fullmatch(r"session=[0-9a-f]{8} ask kind=image seconds=[\d.]+ code=ok", m) for m in ours)
    assert "Secretname" not in every_log.text
    assert page.session not in " ".join(ours)
    assert logging.getLogger("omnivmed.ui").getEffectiveLevel() <= logging.DEBUG


def test_burned_in_text_waits_for_a_confirmation_in_public(start: Starter, tmp_path: Path) -> None:
    app = start(public=True)
    page = app.page()
    page.open_upload(patient_file(tmp_path / "a.dcm", burned_in=True))
    assert "text burned into it" in json.dumps(page.begin("What is this?"))
    page.finish()
    assert app.assistant.asked == []
    page.fire(page.dependency("ov-confirm", "input"), [True])
    assert "You asked" in page.ask("What is this?")
    # Un-ticked again: honoured after a first answer, too.
    page.fire(page.dependency("ov-confirm", "input"), [False])
    assert "text burned into it" in json.dumps(page.begin("And now?"))
    assert len(app.assistant.asked) == 1
    # A new study has to be looked at anew.
    page.open_upload(patient_file(tmp_path / "b.dcm", burned_in=True))
    assert "text burned into it" in json.dumps(page.begin("What is this?"))


def test_side_by_side_waits_for_the_confirmation_too(start: Starter, tmp_path: Path) -> None:
    app = start(public=True)
    page = app.page()
    page.open_upload(patient_file(tmp_path / "a.dcm", burned_in=True))
    run = page.after(page.dependency("cmp-run", "click"))[0]
    inputs = [page.values.get(i) for i in run["inputs"]]
    inputs[0] = "What is this?"
    assert "text burned into it" in json.dumps(page.fire(run, inputs))
    assert app.assistant.asked == []


def test_what_is_cut_off_is_gone_for_viewer_and_model(start: Starter, tmp_path: Path) -> None:
    app = start(public=True)
    page = app.page()
    page.open_upload(patient_file(tmp_path / "a.dcm", burned_in=True))
    session = app.context.store.get(page.session)
    before, whole = session.current, session.current.study
    cut = page.dependency("ov-crop-cut", "click")
    page.fire(cut, [25, 0, 0, 12.5, 0.1, "previous", 0])
    part = session.current.study
    assert part.shape == (1, 48, 56)
    assert np.array_equal(part.values(), whole.values()[:, 16:, :56])
    assert part.content_id != whole.content_id
    assert whole.content_id in app.assistant.forgotten
    assert not before.payload.exists()
    assert len([p for p in app.files() if p.suffix == ".omv"]) == len(session.current.served)
    # A part has to be looked at, too; then the model gets the part.
    assert "text burned into it" in json.dumps(page.begin("What is this?"))
    page.finish()
    page.fire(page.dependency("ov-confirm", "input"), [True])
    assert "You asked" in page.ask("What is this?")
    assert app.assistant.masks[-1].source_size == (48, 56)
    # Cutting starts from the whole again, too much is refused, and the whole comes back.
    page.fire(cut, [0, 50, 0, 0, 0.1, "previous", 0])
    assert session.current.study.shape == (1, 32, 64)
    for margins in ([60, 60, 0, 0], [None, 0, 0, 0], ["x", 0, 0, 0], [0, 0, -5, 0]):
        try:
            assert "Too little" in json.dumps(page.fire(cut, [*margins, 0.1, "previous", 0]))
        except RuntimeError:  # refused by the slider's own range already
            assert session.current.study.shape == (1, 32, 64)
    page.fire(page.dependency("ov-crop-whole", "click"), [0.1, "previous", 0])
    assert session.current.study.content_id == whole.content_id
    assert session.current.whole is None
    page.open_sample("chest_xray")
    assert app.files() == []
    with pytest.raises(ValueError, match="closed"):
        whole.values()


def test_a_part_of_a_sample_is_only_this_visitors(start: Starter) -> None:
    app = start()
    page, other = app.page(), app.page()
    page.open_sample("endoscopy_phantom")
    page.fire(page.dependency("ov-crop-cut", "click"), [10, 10, 0, 0, 0.1, "previous", 0])
    other.open_sample("endoscopy_phantom")
    mine, theirs = (app.context.store.get(p.session).current for p in (page, other))
    assert mine.study.shape[1] < theirs.study.shape[1]
    assert mine.payload != theirs.payload
    page.open_sample("chest_xray")
    assert theirs.study.frames(0, 1).shape[1] == theirs.study.shape[1]


def test_the_public_api_refuses_burned_in_text_with_phi(
    start: Starter, tmp_path: Path, every_log: pytest.LogCaptureFixture
) -> None:
    app = start(public=True)
    page = app.page()
    where = page.upload(patient_file(tmp_path / "a.dcm", burned_in=True))
    ask = next(d for d in page.config["dependencies"] if d["api_name"] == "ask")
    file = {"path": where, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(RuntimeError, match="nobody has looked at it") as caught:
        page.fire(ask, [[file], "What is this?", 0.1, 20])
    assert '"Phi"' in str(caught.value)
    assert app.assistant.asked == []
    assert "code=Phi" in every_log.text
    assert app.files() == []


def test_public_pages_say_what_they_are(start: Starter) -> None:
    app = start(public=True)
    html = json.dumps(app.page().config)
    assert "Please do not upload patient data" in html
    for endpoint in app.page().get("/gradio_api/info").json()["named_endpoints"].values():
        assert "not for diagnosis" in endpoint["description"]


def test_only_ask_and_prune_are_public(start: Starter) -> None:
    info = start().page().get("/gradio_api/info").json()
    assert sorted(info["named_endpoints"]) == ["/ask", "/generate", "/prune"]
    assert info["unnamed_endpoints"] == {}
    ask = info["named_endpoints"]["/ask"]
    assert [p["parameter_name"] for p in ask["parameters"]] == [
        "file",
        "question",
        "threshold",
        "max_new_tokens",
        "from_s",
        "to_s",
        "reference",
    ]
    assert [p["parameter_name"] for p in info["named_endpoints"]["/prune"]["parameters"]] == [
        "file",
        "threshold",
        "reference",
    ]


ROUTES = {
    "/": 200,
    "/teach": 200,
    "/healthz": 200,
    "/config": 200,
    "/gradio_api/info": 200,
    "/gradio_api/heartbeat": 404,
    "/monitoring": 404,
    "/monitoring/": 404,
    "/gradio_api/monitoring": 404,
    "/gradio_api/monitoring/summary": 404,
    "/gradio_api/file=/etc/passwd": 403,
    "/gradio_api/file=../../etc/passwd": 403,
    "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd": 403,
    "/gradio_api/file=app.py": 403,
    "/gradio_api/file=http://example.com/x.png": 403,
    "/file=/etc/passwd": 404,
    "/gradio_api/stream/nobody/0/0/playlist.m3u8": 404,
    "/gradio_api/deep_link": 404,
    "/gradio_api/vibe-code/": 404,
    "/gradio_api/run_history": 404,
    "/gradio_api/proxy=http://example.com/": 404,
    "/gradio_api/mcp/sse": 404,
    "/gradio_api/mcp/": 404,
    "/gradio_api/run-history/records": 404,
    "/gradio_api/custom_component/1/client/component/index.js": 404,
    "/docs": 404,
    "/redoc": 404,
    "/openapi.json": 404,
    "/svelte/../app.py": 404,
    "/assets/../../app.py": 404,
    "/static/../app.py": 404,
}


def test_routes_answer_as_promised(start: Starter) -> None:
    page = start().page()
    got = {path: page.get(path).status_code for path in ROUTES}
    refused = {path: code for path, code in got.items() if code != ROUTES[path] and ROUTES[path] == 200}
    assert refused == {}
    opened = {path: code for path, code in got.items() if ROUTES[path] != 200 and code == 200}
    assert opened == {}
    posted = {
        path: page.http.post(f"{page.url}{path}", content=b"{}").status_code
        for path in (
            "/gradio_api/process_recording",
            "/gradio_api/component_server",
            "/gradio_api/stream/1",
            "/gradio_api/vibe-edit",
            "/gradio_api/run-history/connect",
            "/gradio_api/mcp/messages",
            "/gradio_api/profiling/clear",
            "/config",
            "/healthz",
        )
    }
    assert set(posted.values()) == {404}
    assert page.http.put(f"{page.api}/upload", content=b"x").status_code == 404
    # A queued event cannot be run past the queue.
    answer = page.dependency("sample-mr_head", "click")
    body = {"data": [0.1, "previous", 0], "fn_index": answer["id"], "session_hash": page.session}
    assert page.http.post(f"{page.api}/run/predict", json=body).status_code == 404
    assert page.config["analytics_enabled"] is False
    assert not page.config.get("run_history")


def test_uploads_over_the_limit_are_refused(start: Starter, tmp_path: Path) -> None:
    app = start(upload_bytes=100_000)
    big = tmp_path / "big.dcm"
    big.write_bytes(b"\0" * 200_000)
    page = app.page()
    with big.open("rb") as handle:
        answer = page.http.post(f"{page.api}/upload", files={"files": ("big.dcm", handle)})
    assert answer.status_code == 413


def test_api_streams_and_leaves_nothing(start: Starter) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    app = start()
    client = Client(app.url, verbose=False)
    sample = str(samples_dir() / "mr_head.nii.gz")
    job = client.submit([handle_file(sample)], "Which organ?", 0.1, 10**9, api_name="/ask")
    text, details = job.result()
    assert "You asked: Which organ?" in text
    assert details["usage"]["visual_tokens_after"] == app.assistant.masks[-1].kept
    assert details["done"] is True
    assert len(job.outputs()) > 1
    mask = client.predict([handle_file(sample)], 2.0, api_name="/prune")
    assert mask["threshold"] == 2.0
    with pytest.raises(AppError, match="threshold lies between 0 and 2"):
        client.predict([handle_file(sample)], 1e308, api_name="/prune")
    assert wait_until(lambda: app.files() == [], 10)


def tagged_pictures(folder: Path) -> dict[Path, bytes]:
    """Pictures and a clip with a name in their metadata, and 32 bytes of each as it was sent."""
    import io

    import av
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = Image.fromarray(
        np.random.default_rng(5).integers(90, 106, (64, 80, 3), np.uint8)
    )  # packed by every coder
    text = PngInfo()
    text.add_text("Patient", "Zebrowski Annelise", zip=False)
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = "Zebrowski Annelise MRN77812"
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0), 29: "1962:03:04"}
    found = {}
    for name, options in (
        ("a.png", {"pnginfo": text}),
        ("a.jpg", {"exif": exif}),
        ("a.webp", {"exif": exif}),
    ):
        out = io.BytesIO()
        picture.save(out, {"a.jpg": "JPEG"}.get(name, name[2:].upper()), **options)
        found[folder / name] = out.getvalue()
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        target.metadata["title"] = target.metadata["comment"] = "Zebrowski Annelise MRN77812"
        stream = target.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for _ in range(5):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        target.mux(stream.encode(None))
    found[folder / "a.mp4"] = out.getvalue()
    for path, data in found.items():
        assert names_in(data.decode("latin-1")), path
        path.write_bytes(data)
    start = {p: d.find(b"mdat") + 60 if p.suffix == ".mp4" else len(d) // 2 for p, d in found.items()}
    return {path: data[start[path] :][:32] for path, data in found.items()}


def test_a6_nothing_that_was_uploaded_is_sent_back_as_it_came(start: Starter, tmp_path: Path) -> None:
    app = start()
    page = app.page()
    for path, piece in tagged_pictures(tmp_path).items():
        page.bodies.clear()
        page.open_upload(path)
        page.ask("What is this?")
        page.saw()
        with suppress(StopIteration):
            make = page.dependency("ov-make-clip", "click")
            page.fire(make)
        answers = [body.encode("latin-1", "replace") for body in page.bodies]
        sent = set(re.findall(r'"path": ?"([^"]+)"', " ".join(page.bodies)))
        fetched = [page.http.get(f"{page.api}/file={name}") for name in sent]
        assert any(answer.status_code == 200 for answer in fetched)
        for data in [*answers, *(answer.content for answer in fetched)]:
            assert names_in(data.decode("latin-1")) == [], path.name
            assert piece not in data, path.name
