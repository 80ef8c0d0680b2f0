"""The worker: what befalls it costs one request and becomes an error class; nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study, pool, warm_up
from omnivmed.limits import LOCAL, Limits
from tests.io.makers import (
    clip_bytes,
    ct_series,
    dicom_bytes,
    grid,
    nifti_bytes,
    picture_bytes,
    put,
    ramp,
    series_zip,
)

pytestmark = pytest.mark.skipif(not pool.supported(), reason="needs fork and descriptors over Unix sockets")


def family() -> psutil.Process:
    warm_up()
    process = pool.FAMILY._process
    assert process is not None
    return psutil.Process(process.pid)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return put(tmp_path, "a.png", picture_bytes(ramp()))


def test_isolated_and_in_process_agree(tmp_path: Path) -> None:
    files = {
        "a.png": picture_bytes(ramp()),
        "a.nii.gz": nifti_bytes(grid(), np.diag([-2.0, 2, 5, 1]), packed=True),
        "a.zip": series_zip(ct_series()),
    }
    for name, data in files.items():
        path = put(tmp_path, name, data)
        with open_study(path) as there, open_study(path, isolated=False) as here:
            assert np.array_equal(there.values(), here.values())
            assert np.array_equal(there.frames(), here.frames())
            assert there.digest == here.digest
            assert there.series == here.series
            assert (there.window, there.presets, there.warnings, there.notes) == (
                here.window,
                here.presets,
                here.warnings,
                here.notes,
            )
            if here.affine is not None:
                assert there.affine is not None
                assert np.allclose(there.affine, here.affine)


@pytest.mark.parametrize("blow", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGXCPU])
def test_a_dying_decoder_costs_one_request(tmp_path: Path, picture: Path, blow: signal.Signals) -> None:
    path = put(tmp_path, "a.zip", series_zip(ct_series()))
    process = family()

    def strike(stage: str, done: int, total: int) -> None:
        for child in process.children():
            child.send_signal(blow)

    with pytest.raises(StudyError) as caught:
        open_study(path, progress=strike)
    assert caught.value.code in ("Corrupt", "TooLarge")
    open_study(picture).close()
    assert process.children() == []


@pytest.mark.parametrize(
    "message",
    [
        {"op": "allocate"},
        {"op": "allocate", "shape": [2**40, 2], "dtype": "<f8"},
        {"op": "allocate", "shape": ["many"], "dtype": "<u1"},
        {"op": "allocate", "shape": [4], "dtype": "O"},
        {"op": "open", "index": 7},
        {"op": "open", "index": "../../etc/passwd"},
        {"op": "error", "code": "Odd", "message": "x"},
        {"op": "error", "code": "Corrupt", "message": {"name": "somebody"}},
        {"op": "study", "info": {}, "block": 0},
        {"op": "study"},
        {},
    ],
)
def test_a_worker_that_lies_is_ended_and_refused(
    picture: Path, monkeypatch: pytest.MonkeyPatch, message: dict[str, Any]
) -> None:
    """What a decoder could say if it were taken over: nothing of it is believed unless it fits."""
    process = family()
    monkeypatch.setattr(pool.Child, "receive", lambda *_: (message, []))
    with pytest.raises(StudyError) as caught:
        open_study(picture)
    assert caught.value.code in ("Corrupt", "TooLarge")
    assert "somebody" not in caught.value.message
    assert process.children() == []


def test_a_worker_that_only_talks_is_ended(tmp_path: Path) -> None:
    """Signs of life do not go on for ever: the time for opening one study is bounded, too."""
    path = put(tmp_path, "a.zip", series_zip(ct_series()))
    process = family()
    with pytest.raises(StudyError) as caught:
        open_study(path, limits=Limits(worker_total_s=1.0), progress=lambda *_: time.sleep(1.1))
    assert caught.value.code == "TooLarge"
    assert process.children() == []


def test_a_hanging_decoder_is_stopped(tmp_path: Path, picture: Path) -> None:
    path = put(tmp_path, "a.zip", series_zip(ct_series()))
    process = family()

    def freeze(stage: str, done: int, total: int) -> None:
        for child in process.children():
            child.suspend()

    started = time.monotonic()
    with pytest.raises(StudyError) as caught:
        open_study(path, limits=Limits(worker_wall_s=1.0), progress=freeze)
    assert caught.value.code == "TooLarge"
    assert time.monotonic() - started < 10
    open_study(picture).close()
    assert process.children() == []


def test_too_little_memory_is_an_error_class(tmp_path: Path) -> None:
    path = put(tmp_path, "a.nii", nifti_bytes(np.zeros((300, 300, 300), np.int16)))
    with pytest.raises(StudyError) as caught:
        open_study(path, limits=Limits(worker_memory=40 * 2**20))
    assert caught.value.code == "TooLarge"


def test_first_process_is_replaced(picture: Path) -> None:
    before = family()
    before.kill()
    before.wait(5)
    open_study(picture).close()
    assert family().pid != before.pid


def test_killed_clip_opens_again(tmp_path: Path) -> None:
    process = family()
    with open_study(put(tmp_path, "a.mp4", clip_bytes(30)), limits=Limits(frame_cache_bytes=0)) as study:
        first = study.take([5])
        for child in process.children():
            child.kill()
        with suppress(
            StudyError
        ):  # refused where death is met half-way, else answered by a new worker at once
            study.take([6])
        assert np.array_equal(study.take([5]), first)
    assert process.children() == []


def test_surplus_clips_give_way_and_come_back(tmp_path: Path) -> None:
    limits = Limits(open_clips=2, frame_cache_bytes=0)
    process = family()
    studies = [open_study(put(tmp_path, f"{i}.mp4", clip_bytes(10 + i)), limits=limits) for i in range(4)]
    assert len(process.children()) == 2
    for i, study in enumerate(studies):
        assert study.take([9 + i]).shape == (1, 48, 64, 3)
    assert len(process.children()) == 2
    for study in studies:
        study.close()
    assert process.children() == []


def test_nothing_is_left_behind(tmp_path: Path, picture: Path) -> None:
    process, me = family(), psutil.Process()
    broken = put(tmp_path, "b.png", picture_bytes(ramp())[:90])
    clip = put(tmp_path, "c.mp4", clip_bytes(10))
    open_study(picture).close()
    fds, theirs, rss = me.num_fds(), process.num_fds(), me.memory_info().rss
    for _ in range(15):
        open_study(picture).close()
        with pytest.raises(StudyError):
            open_study(broken)
        with open_study(clip) as study:
            study.frames(0, 1)
        study = open_study(clip)  # not closed: gone with its last reference
        del study
    assert me.num_fds() == fds
    assert process.num_fds() == theirs
    assert process.children() == []
    assert me.memory_info().rss - rss < 50 * 2**20
    assert set(os.listdir(tmp_path)) == {"a.png", "b.png", "c.mp4"}


def test_eight_at_once(tmp_path: Path) -> None:
    paths = [put(tmp_path, f"{i}.png", picture_bytes(ramp(10 + i, 20))) for i in range(8)]
    shapes: dict[int, tuple[int, int, int]] = {}

    def work(i: int) -> None:
        for _ in range(3):
            with open_study(paths[i]) as study:
                shapes[i] = study.shape

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == {i: (1, 10 + i, 20) for i in range(8)}


def test_one_clip_from_many_threads(tmp_path: Path) -> None:
    with open_study(put(tmp_path, "a.mp4", clip_bytes(30)), limits=Limits(frame_cache_bytes=0)) as study:
        whole = study.frames()
        wrong: list[int] = []

        def work(seed: int) -> None:
            for i in np.random.default_rng(seed).permutation(30)[:8]:
                if not np.array_equal(study.take([int(i)])[0], whole[i]):
                    wrong.append(int(i))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_the_door_needs_no_heavy_library() -> None:
    code = (
        "import sys, omnivmed; omnivmed.open_study; "
        "bad = {'torch', 'transformers', 'gradio', 'SimpleITK', 'cv2'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
def test_the_walls_stand(tmp_path: Path) -> None:
    """What a decoder could do if it were taken over: tried from inside a forked process under the same walls."""
    secret = put(tmp_path, "secret.txt", b"secret")
    code = f"""
import os, socket, resource
from omnivmed.io import sandbox, preload
preload.everything()
walls = sandbox.seal_family()
sandbox.limit_self({LOCAL.worker_memory}, 20, 60, 64)
held = []
def attempt(name, work):
    try:
        work()
    except (OSError, MemoryError):
        held.append(name)
attempt("read", lambda: open({str(secret)!r}))
attempt("write", lambda: open({str(tmp_path / "new")!r}, "w"))
attempt("grow", lambda: os.write(os.memfd_create("x"), b"1"))
attempt("connect", lambda: socket.create_connection(("127.0.0.1", 9), 1))
attempt("system", lambda: os.system("true"))
attempt("memory", lambda: bytearray({2 * LOCAL.worker_memory}))
print(walls["files"], walls["network"], *held)
"""
    root = str(Path(__file__).resolve().parents[2])
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=root,
        timeout=60,
        check=False,
        env=pool._environment(),
    )
    files, network, *held = run.stdout.split()
    assert {"connect", "system", "memory", "grow"} <= set(held), run.stderr
    if files == "True":
        assert {"read", "write"} <= set(held)
    if network == "False":
        pytest.skip("user namespaces are not allowed here: the network is only closed for Python code")


def test_no_header_text_leaves_the_worker(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    token = "Hidden-Name-77"
    slices = ct_series()
    for ds in slices:
        ds.PatientName, ds.PatientID, ds.SeriesDescription, ds.StudyDate = token, token, token, "19470302"
        ds.BodyPartExamined = token
        ds.add_new(0x00091001, "LO", token)
    folder = tmp_path / token
    folder.mkdir()
    for i, ds in enumerate(slices):
        put(folder, f"{token}_{i}.dcm", dicom_bytes(ds))
    put(folder, f"{token}_bad.dcm", dicom_bytes(slices[0])[:-100])
    with open_study(folder) as study:
        said = repr(study) + repr(study.info) + str(study.series) + str(study.notes) + study.digest
    assert token not in said
    assert "19470302" not in said
    with pytest.raises(StudyError) as caught:
        open_study(put(folder, f"{token}.mp4", b"#EXTM3U " + token.encode()))
    assert token not in str(caught.value)
    assert caught.value.__context__ is None or token not in repr(caught.value.__context__)
    out, err = capfd.readouterr()
    assert token not in out + err


def test_a_decoder_inherits_nothing_but_what_an_interpreter_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from omnivmed.io.pool import _environment

    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "OMNIVMED_PASSWORD", "HOME"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in _environment().values()
    assert set(_environment()) <= {
        "PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LANG",
        "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
    } | {name for name in _environment() if name.startswith(("MKL_", "OPENCV_", "OMP_"))}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_decoder_gives_way_to_who_clicks_and_reads() -> None:
    from omnivmed.io import worker
    from omnivmed.io.pool import FAMILY

    def niceness(pid: int | str) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])

    child = FAMILY.fork(LOCAL)
    try:
        end = time.monotonic() + 10
        while niceness(child.pid) == niceness("self") and time.monotonic() < end:
            time.sleep(0.01)
        assert niceness(child.pid) == min(19, niceness("self") + worker.BESIDE)
    finally:
        child.end()
