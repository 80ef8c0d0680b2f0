"""Fixtures shared by all tests. The core suite needs nothing but the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with licence-clean studies and hostile files; lies beside the repository where it is available."""
    folder = Path(os.environ.get("OMNIVMED_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("needs the shared study collection (set OMNIVMED_SHARED to its folder)")
    return folder
