"""The number of public definitions without a docstring may only fall.

Counted per room: classes, functions, methods and properties whose names, and the names of what holds them, do not begin
with an underscore. Not counted: what is defined inside a function, overloads, and the methods by which a class has all
of a protocol of ours: they are described there.
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
    "omnivmed/inference": 6,
    "omnivmed/model": 2,
    "omnivmed/spoken": 1,
    "train/claims": 14,
    "train/data": 5,
    "train/nano": 36,
}
LEAST_COVERAGE = 0.96


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt]) -> list[Definition]:
    """What a module or class defines for others, overloads and setters aside."""
    return [
        node
        for node in body
        if isinstance(node, Definition)
        and not node.name.startswith("_")
        and not any(
            ast.unparse(mark).rpartition(".")[2] in ("overload", "setter") for mark in node.decorator_list
        )
    ]


def is_protocol(node: Definition) -> bool:
    return isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)


def count(
    body: list[ast.stmt], protocols: list[set[str]], counts: Counter[bool], described: set[str]
) -> None:
    """Add to `counts` (has a docstring → how many) what is public here and in the classes inside."""
    for node in public(body):
        has = ast.get_docstring(node) is not None or node.name in described
        counts[has] += 1
        if isinstance(node, ast.ClassDef):
            names = {member.name for member in public(node.body)}
            implemented = (
                [] if is_protocol(node) else [protocol for protocol in protocols if protocol <= names]
            )
            count(node.body, protocols, counts, set().union(*implemented))


@cache
def rooms() -> dict[str, Counter[bool]]:
    """Room → Counter of public definitions by whether they have a docstring."""
    bodies: dict[str, list[ast.stmt]] = {}
    for top in ("omnivmed", "train"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).parts
            room = "/".join(parts[:2]) if len(parts) > 2 else top
            bodies.setdefault(room, []).extend(ast.parse(path.read_text(encoding="utf-8")).body)
    protocols = [
        {member.name for member in public(node.body)}
        for body in bodies.values()
        for node in public(body)
        if isinstance(node, ast.ClassDef) and is_protocol(node)
    ]
    found = {room: Counter[bool]() for room in bodies}
    for room, body in bodies.items():
        count(body, [protocol for protocol in protocols if len(protocol) > 1], found[room], set())
    return found


@pytest.mark.parametrize("room", sorted(rooms()))
def test_docstrings_are_not_lost(room: str) -> None:
    missing = rooms()[room][False]
    most = MOST.get(room, 0)
    assert missing <= most, f"{room}: {missing} public definitions have no docstring, {most} may"


def test_the_table_names_rooms_that_exist() -> None:
    assert set(MOST) <= set(rooms())


def test_every_module_says_what_it_is() -> None:
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


def test_coverage_does_not_fall() -> None:
    assert coverage() >= LEAST_COVERAGE


if __name__ == "__main__":
    for name, counts in sorted(rooms().items()):
        print(f"{name:20} {counts[True]:4} of {sum(counts.values()):4} documented, {counts[False]:3} not")
    print(f"{coverage():.1%} of all")
