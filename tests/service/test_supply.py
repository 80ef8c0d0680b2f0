"""What is installed is new enough (promise D3): the ranges and the reason beside them, the lock, the versions here."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RANGES = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
LOCK = "".join((ROOT / f).read_text(encoding="utf-8") for f in ("requirements.txt", "locks/dev.txt"))
LOWEST = {
    "gradio": ((6, 20), "CVE-2026-28414"),
    "pillow": ((12, 3), "CVE-2026-40192"),
    "pydicom": ((3, 0, 2), "CVE-2026-32711"),
    "torch": ((2, 10), "CVE-2026-24747"),
    "transformers": ((5, 3), "CVE-2026-4372"),
    "av": ((18, 1), ""),
    "SimpleITK": ((2, 5, 7), ""),
    "nibabel": ((5, 4), ""),
    "starlette": ((1, 5, 1), "CVE-2025-62727"),
    "python-multipart": ((0, 0, 31), "-53540"),
    "h11": ((0, 16), "CVE-2025-43859"),
    "fastapi": ((0, 165), ""),
    "uvicorn": ((0, 54), ""),
}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", text.split("+")[0]))


@pytest.mark.parametrize("package", LOWEST)
def test_d3_versions_are_new_enough_and_say_why(package: str) -> None:
    lowest, reason = LOWEST[package]
    line = re.search(rf"^    \"{package}(?:==|>=)([\d.]+)[^#\n]*(#[^\n]*)?$", RANGES, re.MULTILINE)
    locked = re.search(rf"^{package}==(\S+)", LOCK, re.MULTILINE | re.IGNORECASE)
    assert line is not None
    assert locked is not None
    assert numbers(locked[1]) >= lowest
    assert numbers(line[1]) >= lowest
    assert reason in (line[2] or "")
    assert numbers(version(package)) >= lowest
