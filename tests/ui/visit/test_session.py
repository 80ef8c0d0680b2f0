"""Folders, tickets, idle time, uploads under random names: the parts without a server."""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.inference.options import AskOptions
from omnivmed.limits import LOCAL, PUBLIC
from omnivmed.pruning import prune
from omnivmed.study import Study
from omnivmed.ui.visit import environment
from omnivmed.ui.visit.background import Abandoned, Step, run_with_progress
from omnivmed.ui.visit.opened import OpenStudy, Turn
from omnivmed.ui.visit.session import private_mode
from omnivmed.ui.visit.sessions import SessionStore
from omnivmed.ui.visit.settings import AppSettings, add_arguments, settings_of
from omnivmed.ui.visit.uploads import known_extension, random_name
from omnivmed.ui.web.names import MultipartRewriter

NAME = "Zebrowski_Annelise_MRN.1962"


def a_study(shared: bool = False) -> OpenStudy:
    study = Study.from_array(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    return OpenStudy(study, "Picture", shared=shared)


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    for name in ("sessions", "served"):
        (tmp_path / name).mkdir(mode=0o700)
    return SessionStore(tmp_path / "sessions", tmp_path / "served", LOCAL)


def test_folders_are_private_and_cannot_be_guessed(store: SessionStore) -> None:
    one, two = store.get("a"), store.get("b")
    assert private_mode(one.sources_folder())
    assert private_mode(one.served_folder())
    assert len(one.sources.name) == len(one.served.name) == 32
    assert len({one.sources.name, one.served.name, two.sources.name, two.served.name}) == 4
    assert "a" != one.tag != two.tag


def test_replacing_and_leaving_delete_the_files(store: SessionStore) -> None:
    session = store.get("page")
    first = a_study()
    upload = session.sources_folder() / "x.dcm"
    upload.write_bytes(b"x")
    first.sources = (upload,)
    assert session.show(first, session.begin_opening())
    picture = session.new_served("mask.json")
    picture.write_text("{}")
    assert session.show(a_study(), session.begin_opening())
    assert not upload.exists()
    assert not picture.exists()
    assert not picture.parent.exists()
    with pytest.raises(ValueError, match="closed"):
        first.study.frames(0, 1)
    store.drop("page")
    assert not session.sources.exists()
    assert not session.served.exists()
    assert len(store) == 0


def test_a_slower_earlier_choice_does_not_replace_a_later_one(store: SessionStore) -> None:
    session = store.get("page")
    slow, fast = session.begin_opening(), session.begin_opening()
    late, wanted = a_study(), a_study()
    assert not session.wants(slow)
    assert session.wants(fast)
    assert session.show(wanted, fast)
    assert not session.show(late, slow)
    assert session.current is wanted
    with pytest.raises(ValueError, match="closed"):
        late.study.frames(0, 1)


def test_a_part_takes_over_pixels_and_files_of_its_whole(store: SessionStore) -> None:
    session = store.get("page")
    whole = a_study()
    source, view = session.sources_folder() / "x.dcm", session.sources_folder() / "view"
    for path in (source, view):
        path.write_bytes(b"x")
    whole.sources, whole.served = (source,), (view,)
    session.show(whole, session.begin_opening())
    part = OpenStudy(whole.study.with_crop((8, 64), (0, 64)), "Picture", whole=whole.study, part_of=whole)
    late = OpenStudy(whole.study.with_crop((9, 64), (0, 64)), "Picture", whole=whole.study, part_of=whole)
    first, second = session.begin_opening(), session.begin_opening()
    assert not session.show(late, first)
    assert whole.study.frames(0, 1).shape[1] == 64  # what is on the screen keeps its pixels
    assert session.show(part, second)
    assert part.study.frames(0, 1).shape[1] == 56
    assert part.sources == (source,)
    assert source.exists()
    assert not view.exists()
    store.drop("page")
    with pytest.raises(ValueError, match="closed"):
        whole.study.frames(0, 1)


def test_shared_studies_outlive_a_session(store: SessionStore) -> None:
    sample = a_study(shared=True)
    session = store.get("page")
    session.show(sample, session.begin_opening())
    store.drop("page")
    assert sample.study.frames(0, 1).shape == (1, 64, 64, 3)


def test_idle_sessions_end_and_answering_ones_do_not(tmp_path: Path) -> None:
    now = [0.0]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    store = SessionStore(tmp_path / "a", tmp_path / "b", LOCAL, clock=lambda: now[0])
    idle, busy = store.get("idle"), store.get("busy")
    busy.answering.acquire()
    now[0] = 60.0 * LOCAL.idle_minutes + 1
    assert store.sweep() == 1
    assert idle.closed
    assert not busy.closed
    assert store.get("idle") is not idle


def test_history_is_bounded_on_the_server(store: SessionStore) -> None:
    session = store.get("page")
    session.turns = tuple(Turn(f"q{k}", f"a{k}", "m", "") for k in range(40))
    history = session.history(LOCAL)
    assert len(history) == LOCAL.max_history_turns
    assert history[-1] == ("q39", "a39")


def test_a_temporary_session_leaves_nothing(store: SessionStore, tmp_path: Path) -> None:
    with store.temporary() as session:
        (session.sources_folder() / "x").write_bytes(b"1")
    assert list((tmp_path / "sessions").iterdir()) == []
    assert list((tmp_path / "served").iterdir()) == []


# ------------------------------------------------------------------------------------- the run's folder


@pytest.mark.skipif(os.name != "posix", reason="file locks of POSIX systems")
def test_a_killed_run_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from omnivmed.ui.visit.environment import prepare;"
        "root = prepare(base=pathlib.Path(sys.argv[1])); (root.sessions / 'patient.dcm').write_bytes(b'x');"
        "print(root.run, flush=True); os.kill(os.getpid(), 9)"
    )
    base = tmp_path / "root"
    out = subprocess.run([sys.executable, "-c", code, str(base)], capture_output=True, text=True, check=False)
    dead = Path(out.stdout.strip())
    assert out.returncode == -9
    assert (dead / "sessions" / "patient.dcm").exists()
    assert environment.remove_dead_runs(base) == 1
    assert not dead.exists()


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX systems")
def test_a_living_run_is_left_alone_and_a_foreign_folder_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*environment.QUIET, *environment.OFFLINE, "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    root = environment.prepare(offline=True, base=tmp_path / "root")
    assert environment.remove_dead_runs(tmp_path / "root") == 0
    assert private_mode(root.run)
    assert private_mode(tmp_path / "root")
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["GRADIO_TEMP_DIR"] == str(root.served)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    root.remove()
    assert not root.run.exists()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"folder|exists"):
        environment.prepare(base=tmp_path / "link")


# ------------------------------------------------------------------------------------- uploads


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("scan.NII.GZ", ".nii.gz"),
        ("a/b/c.dcm", ".dcm"),
        (NAME, ""),
        ("Anna.Miller", ""),
        ("clip.mp4", ".mp4"),
        ("no_dot", ""),
    ],
)
def test_only_known_extensions_survive(name: str, kept: str) -> None:
    assert known_extension(name) == kept
    assert random_name(name) != random_name(name)
    assert "Anna" not in random_name(name)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize(
    "filename", [f'filename="{NAME}"', f'filename="x\\"{NAME}"; filename*=UTF-8\'\'{NAME}']
)
def test_file_names_become_random_wherever_the_stream_is_cut(step: int, filename: str) -> None:
    payload = b"\r\n--not the boundary\r\n" + bytes(range(256)) * 3 + b"\r\n--bou"
    body = (
        b'--bound\r\nContent-Disposition: form-data; name="files"; ' + filename.encode() + b"\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n" + payload + b"\r\n--bound\r\n"
        b'Content-Disposition: form-data; name="files"; filename="other.zip"\r\n\r\nsecond\r\n--bound--\r\n'
    )
    rewriter = MultipartRewriter(b"bound")
    out = b"".join(rewriter.feed(body[i : i + step]) for i in range(0, len(body), step)) + rewriter.end()
    assert NAME.encode() not in out
    assert b"Zebrowski" not in out
    assert payload in out
    assert out.endswith(b"second\r\n--bound--\r\n")
    assert out.count(b'filename="') == 2
    assert b'.zip"' in out


# ------------------------------------------------------------------------------------- options and settings


@pytest.mark.parametrize("bad", [float("nan"), "x", None, [], {}])
def test_nonsense_becomes_the_default(bad: Any) -> None:
    assert AskOptions.bounded(LOCAL, bad, bad, bad, bad) == AskOptions()


def test_numbers_are_brought_within_their_limits() -> None:
    low = AskOptions.bounded(PUBLIC, -1, "previous", -5, -5)
    high = AskOptions.bounded(PUBLIC, 1e308, "last_kept", 1e12, 1e12)
    assert (low.threshold, low.max_frames, low.max_new_tokens) == (0.0, None, 1)
    assert (high.threshold, high.max_frames, high.max_new_tokens) == (2.0, 64, 256)
    assert high.reference == "last_kept"


def read_settings(argv: list[str]) -> AppSettings:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return settings_of(parser.parse_args(argv), parser.error)


def test_mcp_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        read_settings(["--mcp"])
    assert "pip install 'mcp" in capsys.readouterr().err
    assert not read_settings([]).mcp


def test_d5_the_network_needs_public_or_a_log_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert read_settings([]) == AppSettings()
    assert read_settings([]).host == "127.0.0.1"
    monkeypatch.delenv("OMNIVMED_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin", None)
    for argv in (["--host", "0.0.0.0"], ["--threshold", "3"], ["--threshold", "nan"], ["--login", "x"]):
        with pytest.raises(SystemExit):
            read_settings(argv)
    assert "--public" in capsys.readouterr().err
    for host in ("192.168.1.5", "10.0.0.1", "::", "some-name"):
        with pytest.raises(SystemExit):
            read_settings(["--host", host])
    with pytest.raises(SystemExit):
        read_settings(["--password-file", "any"])  # without a name it would protect nothing
    assert "--login NAME" in capsys.readouterr().err
    assert read_settings(["--host", "0.0.0.0", "--public"]).limits is PUBLIC
    with pytest.raises(SystemExit):
        read_settings(["--host", "0.0.0.0", "--login", "a:b"])  # a password on the command line
    monkeypatch.setenv("OMNIVMED_PASSWORD", "b")
    assert read_settings(["--host", "0.0.0.0", "--login", "a"]).login == ("a", "b")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        read_settings([])  # a password is set, and the page would be open all the same
    said = capsys.readouterr().err
    assert "OMNIVMED_PASSWORD" in said
    assert "--login NAME" in said
    monkeypatch.delenv("OMNIVMED_PASSWORD")
    monkeypatch.setenv("SPACE_ID", "someone/demo")
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert read_settings([]).public


# ------------------------------------------------------------------------------------- work in a thread


def test_progress_is_passed_on_and_the_value_returned() -> None:
    import threading

    seen = threading.Event()

    def work(progress: Any) -> str:
        progress("reading", 3, 3)
        seen.wait(5)
        return "done"

    generator = run_with_progress(work)
    assert next(generator) == Step("reading", 3, 3)
    seen.set()
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == "done"


def test_an_error_reaches_the_waiting_handler() -> None:
    def work(progress: Any) -> str:
        raise StudyError("Corrupt", "It is damaged; export it again.")

    with pytest.raises(StudyError, match="damaged"):
        next(run_with_progress(work))


def test_closing_ends_the_work_at_its_next_report() -> None:
    import threading

    begun, ended = threading.Event(), threading.Event()

    def work(progress: Any) -> str:
        try:
            progress("reading", 0, 0)
            begun.wait(5)
            progress("reading", 0, 0)
        except Abandoned:
            ended.set()
            raise
        return "never"

    generator = run_with_progress(work)
    next(generator)
    generator.close()
    begun.set()
    assert ended.wait(5)


def test_only_the_session_changes_what_is_on_the_screen(store: SessionStore) -> None:
    """Every field of an open study, from outside and from another thread; the session's own methods still can."""
    session, opened = store.get("page"), a_study()
    opened.label = "Radiograph"  # nobody shows it yet
    assert session.show(opened, session.begin_opening())
    for name in [field.name for field in dataclasses.fields(OpenStudy)]:
        with pytest.raises(RuntimeError, match=name):
            setattr(opened, name, None)
    with session.lock, pytest.raises(RuntimeError, match="confirmed"):
        opened.confirmed = True  # the lock alone is not leave
    session.confirm(True)
    assert opened.confirmed
    inside, refused = threading.Event(), threading.Event()

    def meddle() -> None:
        inside.wait(5)
        try:
            opened.confirmed = False
        except RuntimeError:
            refused.set()

    thread = threading.Thread(target=meddle)
    thread.start()
    with session._change():
        inside.set()
        thread.join(5)
    assert refused.is_set(), "another thread wrote while the session was changing"
    assert opened.confirmed


def test_changes_of_many_threads_are_all_there(store: SessionStore) -> None:
    """Files, turns and masks from eight threads at once: none is lost, and only the last mask's file stays."""
    session, opened = store.get("page"), a_study()
    session.show(opened, session.begin_opening())
    study = opened.study
    made: list[Path] = []
    start = threading.Barrier(8)

    def work(who: int) -> None:
        start.wait(5)
        for k in range(40):
            path = session.served_folder() / f"mask-{who}-{k}"
            path.write_bytes(b"x")
            made.append(path)
            assert session.use_mask(opened, prune(study, threshold=k / 40), path, answered=bool(who % 2))
            session.new_served(f"download-{who}-{k}.json").write_text("{}")
            session.record(opened, Turn("?", f"{who} {k}", "m", ""))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 320
    assert len(session.turns) == 320
    assert [p for p in made if p.exists()] == [opened.mask_payload]
    assert len(opened.served) == 321  # the downloads and one mask
    assert session.show(a_study(), session.begin_opening())
    assert not any(p.exists() for p in made)


def test_a_newer_download_takes_the_place_of_the_one_before(store: SessionStore) -> None:
    session = store.get("page")
    session.show(a_study(), session.begin_opening())
    first = session.new_served("answer.json")
    assert session.new_served("answer.json") == first
    assert session.new_served("other.json") != first
    session.show(a_study(), session.begin_opening())
    assert session.new_served("answer.json") != first


def test_a_mask_for_a_study_that_is_gone_leaves_no_file(store: SessionStore) -> None:
    session, before = store.get("page"), a_study()
    mask = prune(before.study)
    session.show(before, session.begin_opening())
    session.show(a_study(), session.begin_opening())
    late = session.served_folder() / "late"
    late.write_bytes(b"x")
    assert not session.use_mask(before, mask, late, answered=True)
    assert not late.exists()
    assert session.current is not None
    assert session.current.mask is None
    assert not session.use_window(before, (1.0, 2.0))
    session.record(before, Turn("?", "late", "m", ""))
    assert session.turns == ()


def test_one_question_waits_at_a_time(store: SessionStore) -> None:
    session = store.get("page")
    assert session.expect("First?")
    assert not session.expect("Second?")
    assert session.take_question() == "First?"
    assert session.take_question() is None
    with session.answering:
        assert not session.expect("While answering?")
    taken = []
    start = threading.Barrier(8)

    def ask(k: int) -> None:
        start.wait(5)
        if session.expect(str(k)):
            taken.append(k)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert [str(k) for k in taken] == [session.pending]
