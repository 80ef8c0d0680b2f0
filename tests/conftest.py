"""Fixtures shared by all tests. The core suite needs nothing but the repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with licence-clean studies and hostile files; lies beside the repository where it is available."""
    folder = Path(os.environ.get("OMNIVMED_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("needs the shared study collection (set OMNIVMED_SHARED to its folder)")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, one for the whole run (Playwright drives only one at a time); skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the dev extra: playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, headless=True, args=CHROMIUM_FLAGS)
        yield started
        started.close()
