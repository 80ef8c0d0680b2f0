"""Which room of a package imports which: a room is a module or a folder right below it.

Pure functions of what files import, for `test_architecture.py` and whoever wants to see the plan of a package::

    python -m tests.rooms omnivmed/ui          # rooms, floors and arrows, and who draws each arrow
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Graph = dict[str, set[str]]


def imports(tree: ast.AST, module: str = "") -> Iterator[str]:
    """Dotted names of everything imported anywhere in a file, inside functions too; `from a import b` gives `a`
    and `a.b`, for `b` may be a module. `module`: the file's own dotted name, for relative imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            name = ".".join([*above, *([node.module] if node.module else [])])
            if name:
                yield name
                yield from (f"{name}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    """`omnivmed/ui/web/gate.py` → `omnivmed.ui.web.gate`; a package's `__init__` keeps that last part."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def rooms(imported: Mapping[str, list[str]], package: str) -> Graph:
    """Room → the rooms it imports, without itself. `imported`: dotted name of each file → names it imports."""
    inside = {name: room for name in imported if (room := room_of(name, package))}
    graph: Graph = {room: set() for room in inside.values()}
    for name, room in inside.items():
        graph[room] |= {r for each in imported[name] if (r := room_of(each, package)) in graph}
    for room, others in graph.items():
        others.discard(room)
    return graph


def room_of(name: str, package: str) -> str | None:
    """The room a dotted name lies in, None outside the package and for its `__init__`."""
    if not name.startswith(package + "."):
        return None
    room = name[len(package) + 1 :].split(".")[0]
    return None if room == "__init__" else room


def modules(imported: Mapping[str, list[str]], package: str) -> Graph:
    """The same file by file: module → modules of the package that it imports."""
    inside = {name for name in imported if name.startswith(package + ".") and not name.endswith(".__init__")}
    return {name: {each for each in imported[name] if each in inside and each != name} for name in inside}


def arrows(graph: Graph) -> int:
    """How many pairs of rooms are joined, each direction for itself."""
    return sum(len(others) for others in graph.values())


def circle(graph: Graph) -> list[str]:
    """Rooms that import each other in a ring, the first one repeated at the end; empty when there is none."""
    done: set[str] = set()
    path: list[str] = []

    def walk(room: str) -> list[str]:
        if room in path:
            return [*path[path.index(room) :], room]
        if room in done:
            return []
        path.append(room)
        found = next((ring for other in sorted(graph[room]) if (ring := walk(other))), [])
        path.pop()
        done.add(room)
        return found

    return next((ring for room in sorted(graph) if (ring := walk(room))), [])


def upwards(graph: Graph, floors: list[str]) -> list[str]:
    """Arrows that do not point to an earlier entry of `floors` (the ground first), and rooms that have no floor."""
    place = {room: k for k, room in enumerate(floors)}
    lost = [f"{room} has no floor" for room in sorted(graph) if room not in place]
    return lost + [
        f"{room} imports {other}"
        for room in sorted(graph)
        for other in sorted(graph[room])
        if room in place and other in place and place[other] >= place[room]
    ]


def read(folder: Path) -> dict[str, list[str]]:
    """What each file below a folder imports."""
    return {
        dotted(path): list(imports(ast.parse(path.read_text(encoding="utf-8")), dotted(path)))
        for path in sorted(folder.rglob("*.py"))
    }


def main(package: str) -> None:
    imported, name = read(ROOT / package), package.strip("/").replace("/", ".")
    graph = rooms(imported, name)
    print(f"{len(graph)} rooms, {arrows(graph)} arrows, circle: {' → '.join(circle(graph)) or 'none'}")
    for room in sorted(graph):
        print(f"  {room} → {', '.join(sorted(graph[room])) or '-'}")


if __name__ == "__main__":
    main(sys.argv[1])
