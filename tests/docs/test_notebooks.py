"""Every notebook runs from top to bottom, in order, and is kept without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from omnivmed import weights
from tests.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def run(path: Path, folder: Path, *, model: bool) -> str:
    """Run the code cells as one program in an empty folder; those tagged "model" only with a model. What it prints."""
    taken = [cell for cell in cells(path) if model or "model" not in cell["metadata"].get("tags", ())]
    program = folder / "notebook.py"
    program.write_text("\n\n".join("".join(cell["source"]) for cell in taken), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path))
    assert all("".join(cell["source"]).isascii() for cell in cells(path))


def test_the_study_is_opened_pruned_and_drawn(tmp_path: Path) -> None:
    (path,) = [path for path in NOTEBOOKS if path.stem == "prune_and_ask"]
    said = run(path, tmp_path, model=False)
    assert "293 of 512 tokens (57%), budget nano: 20 HU at a window of 400 HU" in said


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_whole(path: Path, tmp_path: Path) -> None:
    if not weights.is_cached():
        pytest.skip(f"needs the language backbone: {weights.FETCH_COMMAND}")
    said = run(path, tmp_path, model=True)
    assert "an axial CT" in said
