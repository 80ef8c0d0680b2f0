"""Small readers shared by the benchmark layouts; every failure names the row."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")


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
        for place, value in enumerate(_entries(path)):
            yield f"{path.name}[{place}]", value if isinstance(value, dict) else None
        return
    with path.open("rb") as file:  # as bytes: lines end at \n only, and one wrong byte spoils one line only
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path.name} line {number}", _json_object(line)


def _entries(path: Path) -> Iterator[Any]:
    """Entries of a JSON list one after the other: a list of 647,031 rows is never held as objects.

    Raises LayoutError as `named_rows`; what is wrong behind an entry is found after it was given out.
    """
    try:
        given = path.read_bytes()
        text = given.decode(json.detect_encoding(given), "surrogatepass")
        del given
        at = _SPACE.match(text).end()  # type: ignore[union-attr]  # it always matches
        if text[at : at + 1] != "[":
            read_json(path)  # says so where it is no JSON at all
            raise LayoutError(f"{path.name} should be a list of objects")
        scan, expected = json.JSONDecoder().raw_decode, False
        while True:
            at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
            if text[at : at + 1] == "]" and not expected:
                break
            value, at = scan(text, at)
            yield value
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            if text[at : at + 1] == "]":
                break
            if text[at : at + 1] != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            expected = True
        rest = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
        if rest != len(text):
            raise json.JSONDecodeError("Extra data", text, rest)
    except json.JSONDecodeError as error:
        raise LayoutError(f"{path.name} is not valid JSON (line {error.lineno})") from None
    except (ValueError, RecursionError):
        raise LayoutError(
            f"{path.name} is not valid JSON: its text is not UTF-8, or nested too deeply"
        ) from None


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


class Below:
    """`inside` for many names of one folder: what stands still is looked up once.

    A folder's own place is remembered, the last part of a name is looked at every time; links, `..` and absolute names
    go the slow way.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, str | None] = {}

    def existing(self, relative: str) -> Path | None:
        """The file or folder of that name, resolved; None when it is not there or outside. Raises ValueError, OSError
        for a name that no file can have."""
        folder, _, name = relative.rpartition("/")
        if name not in ("", ".", "..") and relative[0] != "/":
            if folder not in self._folders:
                found = inside(self.root, folder)
                self._folders[folder] = None if found is None or not found.is_dir() else str(found)
            if (place := self._folders[folder]) is not None:
                whole = f"{place}/{name}"
                try:
                    mode = os.lstat(whole).st_mode
                except FileNotFoundError:
                    return None
                if not stat.S_ISLNK(mode):
                    return Path(whole)
        path = inside(self.root, relative)
        return path if path is not None and path.exists() else None


def is_yes_no(answer: str) -> bool:
    """Whether the answer is yes or no, alone."""
    return answer.strip().lower() in ("yes", "no")
