"""What `make app` does before the app: it says what, needs no particular name of Python, and stops with a sentence."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("locks_install", ROOT / "locks" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_step_is_said_before_it_is_done(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[list[str]] = []

    def run(command: list[str], _: Path) -> bool:
        said = capsys.readouterr().out.splitlines()
        done.append([said[-1] if not said[-1].startswith(" ") else said[-2], *command[1:]])
        return True

    monkeypatch.setattr(install, "run", run)
    venv = tmp_path / "venv"
    assert install.main([str(venv), str(ROOT / "locks/app.txt"), "--index", "file:///cpu"]) == 0
    assert [step[0][:5] for step in done] == ["[1/3]", "[2/3]", "[3/3]"]
    environment, packages, torch = (step[1:] for step in done)
    assert environment == ["-m", "venv", str(venv)]
    assert {"--no-deps", "--require-hashes", str(ROOT / "locks/app.txt")} <= set(packages)
    assert torch[torch.index("--index-url") + 1] == "file:///cpu"
    assert torch[-1] == "torch"
    count = sum(
        "==" in line for line in (ROOT / "locks/app.txt").read_text().splitlines() if line[:1].isalnum()
    )
    assert done[1][0] == f"[2/3] {count} packages, each file checked against its sha256."


def test_a_step_that_fails_is_the_last_and_has_a_sentence(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[str] = []

    def run(command: list[str], _: Path) -> bool:
        steps.append(command[2])
        return command[2] == "venv"

    monkeypatch.setattr(install, "run", run)
    assert install.main([str(tmp_path / "venv"), str(ROOT / "locks/app.txt")]) == 1
    assert steps == ["venv", "pip"]
    assert "the same command goes on from here" in capsys.readouterr().err


def test_too_old_a_python_and_too_small_a_disk_are_told(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "run", lambda *_: pytest.fail("nothing may be started"))
    arguments = [str(tmp_path / "venv"), str(ROOT / "locks/app.txt")]
    monkeypatch.setattr(install, "free_gigabytes", lambda _: 1.2)
    assert install.main(arguments) == 1
    assert "too little" in capsys.readouterr().err
    monkeypatch.setattr(install, "LEAST", (sys.version_info.major, sys.version_info.minor + 1))
    assert install.main(arguments) == 1
    assert "make app PYTHON=" in capsys.readouterr().err


def test_a_long_step_says_that_it_goes_on_and_keeps_its_result(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "BEAT_S", 0.05)
    (tmp_path / "half").write_bytes(bytes(3_000_000))
    assert install.run([sys.executable, "-c", "import time; time.sleep(.5)"], tmp_path)
    assert "s, 3 MB in place" in capsys.readouterr().out
    assert not install.run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_finds_a_python_that_is_called_python3_11_only(tmp_path: Path) -> None:
    for tool in ("make", "sh"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    new = tmp_path / "python3.11"
    new.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    new.chmod(0o755)
    old = tmp_path / "python3"  # a Python that is too old says no to the question for its version
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    def planned(*more: str) -> str:
        command = ["make", "-n", "app", f"VENV={tmp_path / 'none'}", *more]
        return subprocess.run(
            command, cwd=ROOT, env={"PATH": str(tmp_path)}, text=True, capture_output=True
        ).stdout

    assert "python3.11 locks/install.py" in planned()
    assert '--index "file:///cpu"' in planned("TORCH_INDEX=file:///cpu")
    new.unlink()
    assert "OmniV-Med needs Python 3.11 or newer" in planned()
