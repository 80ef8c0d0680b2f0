"""What stands in one place stands there alone: the threshold, the kind of a progress call, the training loop."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for top in ("omnivmed", "train") for path in (ROOT / top).rglob("*.py"))


def is_option(call: ast.Call, name: str) -> bool:
    """`add_argument("--name", …)`."""
    told = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    return getattr(call.func, "attr", "") == "add_argument" and f"--{name}" in told


def places(name: str) -> Iterator[tuple[str, ast.AST]]:
    """(file, value) of every default called `name`: of a function, a field, a constant, an option."""
    for path in SOURCES:
        where = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                last = node.args.args[len(node.args.args) - len(node.args.defaults) :]
                pairs = [*zip(last, node.args.defaults, strict=True)]
                pairs += [
                    (a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d
                ]
                yield from ((where, value) for arg, value in pairs if arg.arg.lower() == name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                if node.target.id.lower().removeprefix("default_") == name:
                    yield where, node.value
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                if node.targets[0].id.lower().removeprefix("default_") == name:
                    yield where, node.value
            elif isinstance(node, ast.Call) and is_option(node, name):
                yield from ((where, k.value) for k in node.keywords if k.arg == "default")


def test_the_threshold_is_a_number_in_one_place() -> None:
    numbers = [
        w for w, value in places("threshold") if isinstance(value, ast.Constant) and value.value == 0.1
    ]
    assert numbers == ["omnivmed/defaults.py"]
    assert len(list(places("threshold"))) > 10  # the others say its name


def test_progress_is_declared_once() -> None:
    found = [where for where, value in places("progress") if isinstance(value, ast.Subscript)]
    assert found == ["omnivmed/progress.py"]


def test_one_training_loop() -> None:
    """Only there are weights moved by an optimizer; the probe of features fits a linear map in closed steps."""
    moved = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        calls = [call for call in (".backward()", "optimizer.step()") if call in text]
        if calls:
            moved[path.relative_to(ROOT).as_posix()] = calls
    assert moved.pop("train/nano/parts/features.py") == [".backward()"]  # L-BFGS of the linear probe
    # One step without data or a loop, to weigh what an optimizer holds against the plan.
    assert moved.pop("train/rehearsal/wide.py") == ["optimizer.step()"]
    assert moved == {"train/loop/fit.py": [".backward()", "optimizer.step()"]}
