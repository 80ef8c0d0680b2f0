"""The number of public definitions without a docstring may only fall.

Counted per room: classes, functions, methods and properties whose names, and the names of what holds them, do not begin
with an underscore. Not counted: what is defined inside a function, one-line overloads, tests.
"""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache

import pytest

from tests.docs.pages import ROOT

# Room → public definitions without a docstring, at most; 0 for what is not named. Who writes some lowers the number:
# `python -m tests.docs.test_docstrings` prints them.
MOST = {
    "omnivmed": 16,
    "omnivmed/eval": 1,
    "omnivmed/inference": 18,
    "omnivmed/io": 17,
    "omnivmed/model": 18,
    "omnivmed/ui": 9,
    "train/claims": 14,
    "train/loop": 3,
    "train/nano": 104,
    "train/plan": 5,
}
LEAST_COVERAGE = 0.86


def undocumented(body: list[ast.stmt], counts: Counter[bool]) -> None:
    """Count (has a docstring → how many) what is public in a module or class, and in the classes inside."""
    for node in body:
        if not isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ) or node.name.startswith("_"):
            continue
        if any(
            ast.unparse(mark).rpartition(".")[2] in ("overload", "setter") for mark in node.decorator_list
        ):
            continue
        counts[ast.get_docstring(node) is not None] += 1
        if isinstance(node, ast.ClassDef):
            undocumented(node.body, counts)


@cache
def rooms() -> dict[str, Counter[bool]]:
    """Room → Counter of public definitions by whether they have a docstring."""
    found: dict[str, Counter[bool]] = {}
    for top in ("omnivmed", "train"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).parts
            room = "/".join(parts[:2]) if len(parts) > 2 else top
            tree = ast.parse(path.read_text(encoding="utf-8"))
            undocumented(tree.body, found.setdefault(room, Counter()))
    return found


@pytest.mark.parametrize("room", sorted(rooms()))
def test_docstrings_are_not_lost(room: str):
    missing = rooms()[room][False]
    most = MOST.get(room, 0)
    assert missing <= most, f"{room}: {missing} public definitions have no docstring, {most} may"


def test_the_table_names_rooms_that_exist():
    assert set(MOST) <= set(rooms())


def test_every_module_says_what_it_is():
    paths = [path for top in ("omnivmed", "train", "benchmarks") for path in (ROOT / top).rglob("*.py")]
    silent = [
        str(path.relative_to(ROOT))
        for path in paths
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []


def coverage() -> float:
    """Share of public definitions with a docstring."""
    whole = sum(rooms().values(), Counter())
    return whole[True] / sum(whole.values())


def test_coverage_does_not_fall():
    assert coverage() >= LEAST_COVERAGE


if __name__ == "__main__":
    for name, counts in sorted(rooms().items()):
        print(f"{name:20} {counts[True]:4} of {sum(counts.values()):4} documented, {counts[False]:3} not")
    print(f"{coverage():.1%} of all")
