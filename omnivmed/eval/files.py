"""Small readers shared by the benchmark layouts; every failure names the row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class LayoutError(Exception):
    """A folder that does not look like the data set: what was looked for, and where to put it."""


def need(path: Path, what: str) -> Path:
    """`path` if it exists. Raises LayoutError naming only the part below the data-set folder."""
    if not path.exists():
        raise LayoutError(f"{path.name} not found in {path.parent.name}/: {what}")
    return path


def read_json(path: Path) -> Any:
    """A JSON document. Raises LayoutError when it is not valid JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise LayoutError(f"{path.name} is not valid JSON (line {error.lineno})") from None


def read_rows(path: Path) -> list[dict[str, Any]]:
    """A list of objects from JSON, or one object per line from JSONL."""
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines()
        try:
            rows = [json.loads(line) for line in lines if line.strip()]
        except json.JSONDecodeError:
            raise LayoutError(f"{path.name} holds a line that is not JSON") from None
    else:
        rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LayoutError(f"{path.name} should be a list of objects")
    return rows


def question_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number from 1, fields) of a file with `|` between fields; blank lines are left out."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            yield number, [part.strip() for part in line.split("|")]


def inside(root: Path, relative: str) -> Path | None:
    """`root / relative` when it stays below `root`, else None (a data set may not point outside its folder)."""
    path = (root / relative).resolve()
    return path if path.is_relative_to(root.resolve()) else None


def is_yes_no(answer: str) -> bool:
    """Whether the answer is yes or no, alone."""
    return answer.strip().lower() in ("yes", "no")
