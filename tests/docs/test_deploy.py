"""The recipes of docs/deploy fit this repository: what they copy, run and name exists."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path

import httpx
import pytest

from omnivmed.limits import PUBLIC

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "docs/deploy"


def instructions() -> list[tuple[str, str]]:
    """(name, rest) of every instruction of the container recipe, continued lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Containerfile").read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_the_container_copies_what_is_there_and_runs_as_nobody_special() -> None:
    found = instructions()
    assert found[0][0] == "FROM"
    for name, rest in found:
        if name == "COPY":
            sources = [word for word in shlex.split(rest)[:-1] if not word.startswith("--")]
            assert [source for source in sources if not (ROOT / source).exists()] == []
    names = [name for name, _ in found]
    assert "ADD" not in names  # it would fetch or unpack
    assert dict(found)["USER"] == "10001"
    assert any("useradd" in rest and "--uid 10001" in rest for _, rest in found)
    assert names.index("USER") < names.index("CMD")
    assert dict(found)["STOPSIGNAL"] == "SIGTERM"
    assert not any("trusted-host" in rest or "curl" in rest for _, rest in found)
    assert sum("--require-hashes" in rest for name, rest in found if name == "RUN") == 1


def options_of(command: list[str]) -> None:
    """Parse a documented `omnivmed serve …` with the program's own parser."""
    from omnivmed.cli.parser import build_parser

    parsed = build_parser().parse_args(command)
    assert parsed.public


def test_the_containers_command_is_one_the_program_takes() -> None:
    command = dict(instructions())["CMD"]
    words = re.findall(r'"([^"]*)"', command)
    assert words[0] == "omnivmed"
    options_of(words[1:])


def test_the_unit_is_a_unit_and_its_command_is_taken() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "omnivmed.service", encoding="utf-8")
    service = dict(unit["Service"])
    options_of(shlex.split(service["ExecStart"])[1:])
    assert service["KillSignal"] == "SIGTERM"
    assert service["PrivateTmp"] == "yes"
    assert "RestrictNamespaces" not in service  # the decoder makes a network namespace of its own


def test_the_proxy_sets_who_asks_and_bounds_what_comes() -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}")
    assert re.search(r"X-Forwarded-For\s+\$remote_addr;", text)
    assert f"client_max_body_size    {PUBLIC.upload_bytes >> 20}m;" in text
    assert re.search(r"location = /metrics\s*{ return 404; }", text)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_takes_the_site(tmp_path: Path) -> None:
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    text = re.sub(r"ssl_certificate\S* .*\n", "", text).replace("listen 443 ssl;", "listen 127.0.0.1:18443;")
    (tmp_path / "nginx.conf").write_text(f"events {{}}\nhttp {{\n{text}\n}}\n")
    command = [
        "nginx",
        "-t",
        "-p",
        str(tmp_path),
        "-c",
        str(tmp_path / "nginx.conf"),
        "-e",
        str(tmp_path / "log"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


LINTER = Path(sysconfig.get_path("scripts")) / "hadolint"


def linted(recipe: Path) -> list[str]:
    """Codes of what the linter finds."""
    done = subprocess.run([LINTER, "--format", "json", recipe], capture_output=True, text=True, timeout=60)
    return sorted({str(found["code"]) for found in json.loads(done.stdout)})


@pytest.mark.skipif(not LINTER.exists(), reason="hadolint is not in this environment (extra dev)")
def test_the_recipe_is_linted_and_the_linter_can_object(tmp_path: Path) -> None:
    assert linted(DEPLOY / "Containerfile") == []
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    (tmp_path / "Containerfile").write_text(text.replace("python:3.11-slim", "python:latest"))
    assert linted(tmp_path / "Containerfile") == ["DL3007"]
    (tmp_path / "Containerfile").write_text(text.replace("USER 10001", "USRE 10001"))
    assert linted(tmp_path / "Containerfile") == ["DL1000"]


def engine() -> str | None:
    """A container engine that answers here."""
    for name in ("podman", "docker"):
        if shutil.which(name) is not None:
            asked = subprocess.run([name, "info"], capture_output=True, timeout=60)
            if asked.returncode == 0:
                return name
    return None


def run(*command: str, timeout: float = 120.0) -> str:
    """What the command prints; fails with what it complained about."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.mark.slow
def test_the_container_builds_serves_and_ends_when_told() -> None:
    found = engine()
    if found is None:
        pytest.skip("no container engine answers here")
    image = run(found, "build", "-q", "-f", str(DEPLOY / "Containerfile"), str(ROOT), timeout=3600)
    read_only = ("--read-only", "--tmpfs", "/tmp:size=1g")
    name = run(found, "run", "-d", *read_only, "-p", "127.0.0.1::7860", image)
    try:
        address = run(found, "port", name, "7860").splitlines()[0]
        end = time.monotonic() + 120
        while True:
            try:
                told = httpx.get(f"http://{address}/healthz", timeout=5)
                break
            except httpx.HTTPError:
                assert time.monotonic() < end, run(found, "logs", name)
                time.sleep(1)
        assert told.json()["status"] == "ok"
        began = time.monotonic()
        run(found, "stop", "-t", "20", name)
        assert time.monotonic() - began < 10
    finally:
        run(found, "rm", "-f", name)
