"""The wheel, built, installed into an environment of its own and used from another folder (`make wheel`).

What omnivmed depends on is lent by the environment that runs the tests; omnivmed itself comes from the wheel alone.
Slow: it builds, and starts the real model, whose backbone must have been fetched.
"""

from __future__ import annotations

import email
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from omnivmed import __version__, weights
from omnivmed.ui import texts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[1]
QUESTION = "Which view is this?"
MOST_BYTES = 100 * 2**20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this tree, as `pip install .` builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    if importlib.util.find_spec("hatchling"):  # of the development lock: no network needed
        command.append("--no-build-isolation")
    subprocess.run(command, check=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return path


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and a folder far from the repository."""

    bin: Path
    elsewhere: Path

    @property
    def environment(self) -> dict[str, str]:
        """Nothing that would lead back to the checkout."""
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OMNIVMED_NANO")}
        return kept | {"OMNIVMED_CACHE": str(weights.cache_dir()), "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.bin / arguments[0]), *arguments[1:]],
            cwd=self.elsewhere,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        """stdout of one command, which must end with this exit code."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, err
        return out

    def python(self, source: str) -> str:
        return self.run("python", "-c", source).strip()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=120)
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder named in a .pth file is searched, but .pth files inside it are not read: an editable omnivmed of the
    # lending environment stays unseen.
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    found = Installed(folder / "bin", elsewhere)
    assert Path(found.python("import omnivmed; print(omnivmed.__file__)")).is_relative_to(site)
    return found


@pytest.fixture(scope="module")
def samples(installed: Installed) -> Path:
    """The sample studies inside the installed package."""
    folder = Path(installed.python("from omnivmed.resources import samples_dir; print(samples_dir())"))
    assert not folder.is_relative_to(ROOT)
    return folder


@pytest.fixture
def fetched() -> None:
    if not weights.is_cached():
        pytest.skip(f"needs the language backbone: {weights.FETCH_COMMAND}")


def tree() -> set[str]:
    """Every file that belongs to the package, under the name it has in the wheel."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "omnivmed", "assets"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("needs a git checkout to know which files belong to it")
    names = {name for name in done.stdout.split() if (ROOT / name).is_file()}
    kept = ("omnivmed/", "assets/nano/", "assets/nano_draw/", "assets/samples/", "assets/SOURCES.md")
    return {
        name if name.startswith("omnivmed/") else f"omnivmed/{name}"
        for name in names
        if name.startswith(kept)
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    information = f"omnivmed-{__version__}.dist-info/"
    assert {name for name in names if not name.startswith(information)} == tree()
    assert {"omnivmed/py.typed", "omnivmed/assets/nano/lora.safetensors"} <= names
    assert {f"{information}licenses/LICENSE", f"{information}licenses/assets/SOURCES.md"} <= names
    assert wheel.stat().st_size < MOST_BYTES


def test_what_the_wheel_says_about_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        stem = f"omnivmed-{__version__}.dist-info"
        facts = email.message_from_bytes(archive.read(f"{stem}/METADATA"))
        points = archive.read(f"{stem}/entry_points.txt").decode()
    assert facts["Name"] == "omnivmed"
    assert facts["Version"] == __version__
    assert facts["License-Expression"] == "Apache-2.0 AND CC-BY-SA-4.0 AND MIT"
    assert "Typing :: Typed" in facts.get_all("Classifier", [])
    assert re.search(r"^omnivmed = ", points, re.MULTILINE)
    needed = [line for line in facts.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("gradio") for line in needed)


def test_asking_elsewhere_gives_the_answer_of_the_checkout(
    installed: Installed, samples: Path, fetched: None
) -> None:
    arguments = ["ask", str(samples / "chest_xray.dcm"), QUESTION, "--offline", "--json"]
    there = json.loads(installed.run("omnivmed", *arguments))
    here = subprocess.run(
        [sys.executable, "-m", "omnivmed", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    expected = json.loads(here.stdout)
    assert there["text"] == expected["text"]
    assert "X-ray" in there["text"] or "PA" in there["text"]
    assert there["mask"] == expected["mask"]


def test_every_other_command_elsewhere(installed: Installed, samples: Path) -> None:
    assert "kind: volume" in installed.run("omnivmed", "info", str(samples / "ct_abdomen.nii.gz"))
    told = installed.run("omnivmed", "prune", str(samples / "ct_abdomen.nii.gz"), "--out", "overlay.png")
    assert "tokens kept" in told
    assert (installed.elsewhere / "overlay.png").stat().st_size > 10_000
    ready = weights.is_cached()
    assert "samples" in installed.run("omnivmed", "doctor", "--quick", code=0 if ready else 1)
    installed.run("omnivmed", "convert", "nowhere", "new", code=2)


def test_a_published_checkpoint_is_converted_elsewhere(installed: Installed, tmp_path: Path) -> None:
    from tests.model.test_convert import hub

    published = hub(tmp_path / "published")
    told = installed.run("omnivmed", "convert", str(published), str(tmp_path / "ours"))
    assert "tensors" in told
    assert (tmp_path / "ours" / "config.json").is_file()


def test_the_types_are_seen_from_outside(installed: Installed) -> None:
    """py.typed: a checker that knows only the installed package finds our annotations."""
    pytest.importorskip("mypy", reason="needs the dev extra: mypy")
    script = installed.elsewhere / "theirs.py"
    settings, python = installed.elsewhere / "mypy.ini", str(installed.bin / "python")
    # Only omnivmed's own types are asked for; reading those of torch takes minutes.
    settings.write_text("[mypy]\n[mypy-torch.*,transformers.*,gradio.*]\nfollow_imports = skip\n")
    script.write_text("import omnivmed\nreveal_type(omnivmed.open_study('x').shape)\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(settings),
            "--python-executable",
            python,
            str(script),
        ],
        cwd=installed.elsewhere,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "tuple[int, int, int]" in done.stdout, done.stdout


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def page(installed: Installed) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`omnivmed serve`, from start to the moment its page can be fetched."""
    port = free_port()
    process = installed.start("omnivmed", "serve", "--offline", "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            assert process.poll() is None, process.communicate()[1]
            try:
                urllib.request.urlopen(f"{address}/healthz", timeout=5).close()
                break
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.1)
        yield process, address
    finally:
        process.kill()
        process.communicate()


def test_the_page_is_served_elsewhere(page: tuple[subprocess.Popen[str], str]) -> None:
    process, address = page
    html = urllib.request.urlopen(address, timeout=30).read().decode()
    assert texts.SAMPLE_NAMES["chest_xray"] in html
    assert "Not for clinical use" in html
    health = json.loads(urllib.request.urlopen(f"{address}/healthz", timeout=30).read())
    assert health["version"] == __version__
    # Being told to stop is no failure; Ctrl-C ends with 130 (ui/web/ends.py).
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
