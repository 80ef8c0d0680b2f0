"""Promises about the code itself: which way imports point, what may never be called, what may not be required."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("omnivmed/**/*.py"), *ROOT.glob("train/**/*.py"), ROOT / "app.py"])

# package → packages it may not import (the data flow of docs/data-model.md, read backwards).
FORBIDDEN = {
    "omnivmed/": ("train",),
    "omnivmed/io": ("torch", "transformers", "gradio", "omnivmed.model", "omnivmed.inference", "omnivmed.ui"),
    "omnivmed/vision": (
        "torch",
        "transformers",
        "gradio",
        "omnivmed.model",
        "omnivmed.inference",
        "omnivmed.ui",
    ),
    "omnivmed/pruning": (
        "torch",
        "transformers",
        "gradio",
        "omnivmed.model",
        "omnivmed.inference",
        "omnivmed.ui",
    ),
    "omnivmed/viz": (
        "torch",
        "transformers",
        "gradio",
        "omnivmed.model",
        "omnivmed.inference",
        "omnivmed.ui",
    ),
    "omnivmed/model": ("gradio", "omnivmed.inference", "omnivmed.ui", "omnivmed.io"),
    "omnivmed/inference": ("gradio", "omnivmed.ui"),
}


@dataclass(frozen=True)
class Source:
    """What a file imports (dotted names, wherever the statement stands) and calls (line, name)."""

    path: Path
    imports: list[str]
    calls: list[tuple[int, str]]


def read_source(path: Path) -> Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return Source(path, list(imports(tree)), list(calls(tree)))


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    """Read by a process of its own: `ast.parse` of Python 3.11 fails when another thread is in it too, and the
    servers of earlier tests may leave threads that compile templates."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return list(pool.map(read_source, SOURCES, chunksize=len(SOURCES)))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize(("folder", "banned"), FORBIDDEN.items())
def test_imports_point_one_way(sources: list[Source], folder: str, banned: tuple[str, ...]) -> None:
    assert any(source.imports for source in sources)
    wrong = [
        f"{source.path.relative_to(ROOT)} imports {name}"
        for source in sources
        if str(source.path.relative_to(ROOT)).startswith(folder)
        for name in source.imports
        if any(name == b or name.startswith(b + ".") for b in banned)
    ]
    assert wrong == []


def test_nothing_in_the_app_needs_the_training_stack(sources: list[Source]) -> None:
    wrong = [
        f"{source.path.relative_to(ROOT)} imports {name}"
        for source in sources
        if not str(source.path.relative_to(ROOT)).startswith("train/")
        for name in source.imports
        if name.split(".")[0] in ("peft", "deepspeed", "accelerate", "matplotlib", "torchvision", "decord")
    ]
    assert wrong == []


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
            for keyword in node.keywords:
                if keyword.arg in ("trust_remote_code", "allow_pickle") and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield node.lineno, keyword.arg


def test_nothing_unpickles_or_runs_foreign_code(sources: list[Source]) -> None:
    banned = re.compile(
        r"^(eval|exec|torch\.load|pickle\.\w+|yaml\.load|os\.system|gr\.load|trust_remote_code|allow_pickle)$"
    )
    wrong = [
        f"{source.path.relative_to(ROOT)}:{line} {name}"
        for source in sources
        for line, name in source.calls
        if banned.match(name)
    ]
    assert wrong == []


def test_requirements_name_no_package_that_breaks_on_a_cpu() -> None:
    text = (ROOT / "requirements.txt").read_text() + (ROOT / "pyproject.toml").read_text()
    names = {
        match.lower() for match in re.findall(r"^\s*\"?([A-Za-z0-9_.-]+)\s*(?:\[|==|>=|<|\")", text, re.M)
    }
    assert not names & {"torchvision", "decord", "opencv-python"}
    assert re.search(r"^torch==", text, re.M)


@pytest.mark.parametrize(
    ("package", "lowest"),
    [("gradio", (6, 20)), ("pillow", (12, 3)), ("pydicom", (3, 0, 2)), ("transformers", (5, 3))],
)
def test_minimum_versions_close_known_holes(package: str, lowest: tuple[int, ...]) -> None:
    line = next(
        x for x in (ROOT / "requirements.txt").read_text().splitlines() if x.startswith(package + ">=")
    )
    version = re.match(rf"{package}>=([\d.]+)", line)
    assert version is not None
    assert tuple(map(int, version[1].split("."))) >= lowest


def test_importing_the_package_is_light() -> None:
    code = "import sys, omnivmed; print([m for m in ('torch','transformers','gradio','cv2','av') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    import omnivmed

    assert all(getattr(omnivmed, name) is not None for name in omnivmed.__all__)
