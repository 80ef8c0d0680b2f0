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

from tests import rooms

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


# Packages with inner rooms: their floors, the ground first. A room imports only from floors below its own.
FLOORS = {
    "omnivmed.ui": ["texts", "upstream", "canvas", "visit", "page", "tabs", "web", "app"],
    "train.instruct": ["rows", "select", "sources", "services", "graph", "out", "tiny", "__main__"],
    "train.nano": ["data", "text", "parts", "fit", "measure", "export", "stages", "__main__"],
}
MOST_ROOMS, MOST_ARROWS = 9, 24


@dataclass(frozen=True)
class Source:
    """What a file imports (dotted names, wherever the statement stands), calls (line, name), and which names with an
    underscore of somebody else's it touches (line, name)."""

    path: Path
    imports: list[str]
    calls: list[tuple[int, str]]
    private: list[tuple[int, str]]


def read_source(path: Path) -> Source:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return Source(path, list(rooms.imports(tree, rooms.dotted(path))), list(calls(tree)), list(private(tree)))


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    """Read by a process of its own: `ast.parse` of Python 3.11 fails when another thread is in it too, and the
    servers of earlier tests may leave threads that compile templates."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return list(pool.map(read_source, SOURCES, chunksize=len(SOURCES)))


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


@pytest.fixture(scope="module")
def imported(sources: list[Source]) -> dict[str, list[str]]:
    """Dotted name of each file → names it imports."""
    return {rooms.dotted(source.path): source.imports for source in sources}


@pytest.mark.parametrize(("package", "floors"), FLOORS.items())
def test_inner_rooms_are_few_and_point_downwards(
    imported: dict[str, list[str]], package: str, floors: list[str]
) -> None:
    graph = rooms.rooms(imported, package)
    assert set(graph) == set(floors)
    assert rooms.upwards(graph, floors) == []
    assert rooms.circle(rooms.modules(imported, package)) == []  # within a room either
    assert len(graph) <= MOST_ROOMS
    assert rooms.arrows(graph) <= MOST_ARROWS


def test_the_house_has_no_circle(imported: dict[str, list[str]]) -> None:
    graph = rooms.rooms(imported, "omnivmed")
    assert "study" in graph["io"]
    assert rooms.circle(graph) == []


def test_the_plan_sees_a_circle_and_an_arrow_upwards() -> None:
    files = {
        "a.b": ["a.c.inner", "os"],
        "a.c.inner": ["a.c.other", "a.d"],
        "a.c.other": [],
        "a.d": ["a", "a.b"],
        "a.__init__": ["a.b"],
    }
    graph = rooms.rooms(files, "a")
    assert graph == {"b": {"c"}, "c": {"d"}, "d": {"b"}}
    assert rooms.arrows(graph) == 3
    assert rooms.circle(graph) == ["b", "c", "d", "b"]
    assert rooms.upwards(graph, ["d", "c", "b"]) == ["d imports b"]
    assert rooms.upwards(graph, ["d", "c"]) == ["b has no floor"]
    assert rooms.circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    tree = ast.parse("from . import near\nfrom ..far import thing\ndef f():\n    import late")
    assert set(rooms.imports(tree, "p.q.r")) == {"p.q", "p.q.near", "p.far", "p.far.thing", "late"}


INNER_TRANSFORMERS = "transformers."
"""Dotted names below the package are its inner modules; what it promises is imported from `transformers` itself."""


def test_one_module_knows_the_inside_of_transformers() -> None:
    """Tests too: what they need of it they take from the top or from `upstream`."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        paths = sorted([*SOURCES, *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])
        everything = list(pool.map(read_modules, paths, chunksize=len(paths)))
    inside = {
        str(path.relative_to(ROOT))
        for path, modules in zip(paths, everything, strict=True)
        if any(name.startswith(INNER_TRANSFORMERS) for name in modules)
    }
    assert inside == {"omnivmed/model/upstream.py"}


def read_modules(path: Path) -> list[str]:
    """Return the modules that a file imports from; `from a import b` gives `a`."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    whole = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return [*whole, *(node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)]


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


PROMISED = {"_exit"}  # of Python's own library: documented, in spite of its name


def private(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names that begin with one underscore and are read from, given to or imported from something that is not this
    file's own: `demo._queue`, `launch(_frontend=False)`, `from gradio import _x`. What the file defines is its own."""
    own = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    } | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_own(node.value)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Attribute) and not is_own(node.value):
            names = [node.attr]
        elif isinstance(node, ast.keyword) and node.arg is not None:
            names = [node.arg]
        elif isinstance(node, ast.ImportFrom):
            names = [part for alias in node.names for part in [*(node.module or "").split("."), alias.name]]
        for name in names:
            if name.startswith("_") and not name.startswith("__") and name not in own | PROMISED:
                yield getattr(node, "lineno", 0), name


def is_own(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def test_private_names_of_the_framework_stand_in_one_module(sources: list[Source]) -> None:
    found = {
        str(source.path.relative_to(ROOT)): {name for _, name in source.private}
        for source in sources
        if source.path.is_relative_to(ROOT / "omnivmed/ui") and source.private
    }
    assert found == {
        "omnivmed/ui/upstream.py": {"_queue", "_data", "_id"},
    }
    # These two are taken by defining or naming them, which is their own file's business in any other module.
    for name in ("_process_single_file", "_frontend"):
        holders = [
            str(path.relative_to(ROOT))
            for path in ROOT.glob("omnivmed/ui/**/*.py")
            if name in path.read_text(encoding="utf-8")
        ]
        assert holders == ["omnivmed/ui/upstream.py"]


def test_private_names_are_seen() -> None:
    tree = ast.parse(
        "from gradio import _x\nimport y\nclass A:\n  def __init__(self): self._own = 1\n"
        "def f(a):\n  a._own; a.__dict__; a._theirs; launch(_front=1); self._mine"
    )
    assert [name for _, name in private(tree)] == ["_x", "_theirs", "_front"]


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
    assert re.search(r"^    \"torch==", text, re.M)


def test_importing_the_package_is_light() -> None:
    code = "import sys, omnivmed; print([m for m in ('torch','transformers','gradio','cv2','av') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    import omnivmed

    assert all(getattr(omnivmed, name) is not None for name in omnivmed.__all__)
