"""What is named is used, what is used is named, and the lock holds both within the ranges of pyproject.toml."""

from __future__ import annotations

import ast
import importlib.metadata as metadata
import re
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OURS = {"omnivmed", "train", "tests", "benchmarks"}

NOT_IMPORTED = {
    "fastapi": "floor: Gradio's server",
    "h11": "floor: reads requests for uvicorn",
    "pyjpegls": "pydicom finds it: JPEG-LS",
    "pylibjpeg": "pydicom finds it",
    "pylibjpeg-libjpeg": "pydicom finds it: JPEG",
    "pylibjpeg-openjpeg": "pydicom finds it: JPEG 2000",
    "pylibjpeg-rle": "pydicom finds it: RLE",
    "python-multipart": "floor: reads uploads for starlette",
    "trackio": "the Trainer's tracker, by name",
    "uvicorn": "floor: Gradio's server",
}
"""Named without an import, and why."""

NOT_NAMED = {
    "datasets": "a test reads a finished set with it where it is installed; lmms_eval brings it",
    "lmms_eval": "omnivmed.eval.lmms is a plug-in of this harness and runs inside it only",
}
"""Imported without a name, and why."""


def modules(path: Path) -> list[str]:
    """Top-level names that a file imports, wherever the statement stands."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    whole = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    parts = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    return [name.split(".")[0] for name in (*whole, *parts)]


@cache
def imported(*patterns: str) -> frozenset[str]:
    """Packages outside the standard library and this repository that the files import, by their names on an index.

    Read by a process of its own: `ast.parse` of Python 3.11 fails when another thread is in it too.
    """
    files = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = {name for names in pool.map(modules, files, chunksize=len(files)) for name in names}
    known = metadata.packages_distributions()
    wanted = found - set(sys.stdlib_module_names) - OURS - set(NOT_NAMED)
    return frozenset(str(canonicalize_name(known.get(name, [name])[0])) for name in wanted)


def named(*extras: str) -> dict[str, Requirement]:
    """Requirements of the library, or of these extras, by canonical name."""
    lines = PROJECT["project"]["dependencies"]
    if extras:
        lines = [line for extra in extras for line in PROJECT["project"]["optional-dependencies"][extra]]
    return {str(canonicalize_name(r.name)): r for r in map(Requirement, lines)}


def pins(file: str) -> dict[str, tuple[str, int]]:
    """Name → version and number of hashes of a locked file; AssertionError for a line that is no exact pin."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    out = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line:
            match = re.match(r"([A-Za-z0-9_.-]+)==([^\s;]+)", line)
            assert match is not None, f"{file}: {line[:60]}"
            out[str(canonicalize_name(match[1]))] = match[2], line.count("--hash=sha256:")
    return out


def test_the_app_imports_what_is_named_and_names_what_it_imports() -> None:
    used = imported("omnivmed/**/*.py", "app.py")
    library, extra = set(named()), set(named("eval", "text"))
    assert used - library - extra == set()
    assert library - used - set(NOT_IMPORTED) == set()
    assert extra - used == {"onnxruntime"}  # rapidocr runs its models with it


def test_the_recipe_imports_what_is_named_and_names_what_it_imports() -> None:
    used = imported("train/**/*.py")
    assert used - set(named()) - set(named("train")) == set()
    assert set(named("train")) - used - set(NOT_IMPORTED) == set()


def test_the_tests_import_what_is_named() -> None:
    used = imported("tests/**/*.py", "benchmarks/**/*.py", "assets/*.py")
    assert used - set(named()) - set(named("dev", "eval")) == set()


def test_every_exception_is_still_one() -> None:
    everything = set(named()) | set(named("train", "eval"))
    assert set(NOT_IMPORTED) <= everything
    assert set(NOT_IMPORTED) & set(named()) & imported("omnivmed/**/*.py", "app.py") == set()
    assert not set(NOT_NAMED) & everything


@pytest.mark.parametrize(("file", "extras"), [("locks/app.txt", ()), ("locks/dev.txt", ("dev", "eval"))])
def test_the_lock_is_within_the_ranges(file: str, extras: tuple[str, ...]) -> None:
    wanted = named() | (named(*extras) if extras else {})
    app, locked = pins("requirements.txt"), pins(file)
    assert set(wanted) - set(locked) == {"torch"}
    for name, requirement in wanted.items():
        version = locked.get(name, app.get(name, ("", 0)))[0]
        assert requirement.specifier.contains(version), f"{name} {version} is not {requirement.specifier}"


def test_the_three_files_of_the_lock_agree() -> None:
    app, hashed, dev = (pins(f) for f in ("requirements.txt", "locks/app.txt", "locks/dev.txt"))
    assert set(app) - set(hashed) == {"torch"}
    assert {n: v for n, (v, _) in app.items() if n != "torch"} == {n: v for n, (v, _) in hashed.items()}
    assert {n: dev[n] for n in hashed} == hashed
    assert all(count for _, count in (*hashed.values(), *dev.values()))


@pytest.mark.parametrize("file", ["requirements.txt", "locks/app.txt", "locks/dev.txt"])
def test_the_lock_names_no_host_no_path_and_no_cuda(file: str) -> None:
    """And no option: the builder of a hub Space mounts requirements.txt alone, so `-r` and `-c` would fail there."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(r"://|@|file:|[ =]/", text) is None
    assert re.search(r"^\s*-(?!-hash=)", text, re.MULTILINE) is None
    assert not [name for name in pins(file) if re.match(r"nvidia|cuda|triton", name)]


def test_the_space_gets_the_locked_gradio() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^sdk_version: (\S+)$", readme, re.MULTILINE)
    assert found is not None
    assert found[1] == pins("requirements.txt")["gradio"][0]


def test_what_the_lock_is_told_of_torch_is_true() -> None:
    (told,) = PROJECT["tool"]["uv"]["dependency-metadata"]
    asked = named()["torch"].specifier
    assert f"=={told['version']}" == str(asked)
    if metadata.version("torch").split("+")[0] != told["version"]:
        pytest.skip("another torch is installed")
    own = [Requirement(line) for line in metadata.requires("torch") or []]
    plain = {
        str(r) for r in own if "extra" not in str(r.marker) and not re.match("nvidia|cuda|triton", r.name)
    }
    assert plain == {str(Requirement(line)) for line in told["requires-dist"]}
