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
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise LayoutError(f"{path.name} is not valid JSON (line {error.lineno})") from None
    except (ValueError, RecursionError):
        raise LayoutError(
            f"{path.name} is not valid JSON: its text is not UTF-8, or nested too deeply"
        ) from None


def named_rows(path: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(name, object) of a JSON list or of JSONL: "rows.jsonl line 3", "rows.json[2]".

    An entry that is no object, and a line of JSONL that is no JSON, come as None: one broken row is no broken file.
    Raises LayoutError for a JSON document that is not a list, or is not whole.
    """
    if path.suffix != ".jsonl":
        document = read_json(path)
        if not isinstance(document, list):
            raise LayoutError(f"{path.name} should be a list of objects")
        for place, value in enumerate(document):
            yield f"{path.name}[{place}]", value if isinstance(value, dict) else None
        return
    with path.open("rb") as file:  # as bytes: lines end at \n only, and one wrong byte spoils one line only
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path.name} line {number}", _json_object(line)


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return value if isinstance(value, dict) else None


NOT_AN_OBJECT = "not a JSON object"


def question_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number from 1, fields) of a file with `|` between fields; blank lines are left out."""
    # A name in another encoding spoils its own line: the answer is then on no label list, and is named.
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, [part.strip() for part in line.split("|")]


def inside(root: Path, relative: str) -> Path | None:
    """`root / relative` when it stays below `root`, else None (a data set may not point outside its folder)."""
    path = (root / relative).resolve()
    return path if path.is_relative_to(root.resolve()) else None


def is_yes_no(answer: str) -> bool:
    """Whether the answer is yes or no, alone."""
    return answer.strip().lower() in ("yes", "no")
