"""Every word a person reads stands in `omnivmed/ui/texts.json`, is used, and is asked for by a name that exists."""

from __future__ import annotations

import ast
import json
import re
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnivmed.ui import texts
from omnivmed.ui.canvas import viewer
from tests.ui.canvas.test_viewer_script import need_node

UI = texts.FILE.parent
WORDS = json.loads(texts.FILE.read_text(encoding="utf-8"))
SCRIPTS = [*sorted(viewer.STATIC.glob("*.js")), *sorted((UI / "page").glob("*.js"))]
MODULES = [path for path in sorted(UI.glob("**/*.py")) if path.name != "texts.py"]

TAG = re.compile(r"^[^<>]*\"?>|<[^>]*(>|$)")  # of markup, whole or cut by a value
SENTENCE = re.compile(r"[^\W\d_]{2,}[,.:;?!]? +[^\W\d_]{2,}")
WORD = re.compile(r"(?:^|[\s}(])[^\W\d_]{2,}(?=$|[\s{,.:;)])")  # of an f-string: its values bring the rest
UNITS = {"MB", "ms", "mm", "px", "HU"}
# Code in a string: of a script, a style, a pattern, a line of the log.
CODE = re.compile(r"^[a-z]+-(?:src|uri|action|ancestors) |=>|^\^|[;{]\s*$|\}\s*$|=%|^\([a-z]+: [a-z]+\)$")
FONTS = {"Segoe UI", "Liberation Mono"}
# What tells a programmer, or the server's log, something.
FOR_PROGRAMMERS = {
    "ValueError",
    "RuntimeError",
    "TypeError",
    "KeyError",
    "debug",
    "warning",
    "info",
    "exception",
}


def spoken(text: str, *, part: bool = False) -> bool:
    """Whether this string of the program holds words for a person. part: of an f-string."""
    text = TAG.sub(" ", text).replace("&nbsp;", " ").strip()
    if CODE.search(text.replace("{}", "")) or text in texts.STAGES or text in FONTS:
        return False
    return bool(SENTENCE.search(text) or (part and {w.strip(" }(") for w in WORD.findall(text)} - UNITS))


def strings(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """(line, text, whether of an f-string) of every string that is not a docstring, a log line or a bug's message."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Call):
            called = (
                child.func.attr if isinstance(child.func, ast.Attribute) else getattr(child.func, "id", "")
            )
            owner = getattr(getattr(child.func, "value", None), "id", "log")
            if called in FOR_PROGRAMMERS and owner == "log":
                continue
        if isinstance(child, (ast.AnnAssign, ast.arg)) and child.annotation is not None:
            child.annotation = ast.Constant(None)
        if isinstance(child, ast.JoinedStr):
            shown = ["{}" if isinstance(v, ast.FormattedValue) else str(v.value) for v in child.values]  # type: ignore[attr-defined]
            yield child.lineno, "".join(shown), True
            for value in child.values:
                if isinstance(value, ast.FormattedValue):
                    yield from strings(value.value)
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.lineno, child.value, False
        else:
            yield from strings(child)


def script_strings(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of every quoted string of a script that is not a log line or a bug's message."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)//.*", "", line)
        if re.search(r"console\.|new Error\(|^import ", line):
            continue
        for found in re.finditer(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|`([^`]*)`", line):
            yield number, next(group for group in (*found.groups(), "") if group is not None)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.name)
def test_no_sentence_stands_in_a_module(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [f"{path.name}:{n}: {text!r}" for n, text, part in strings(tree) if spoken(text, part=part)]
    assert found == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_no_sentence_stands_in_a_script(path: Path) -> None:
    found = [
        f"{path.name}:{n}: {text!r}"
        for n, text in script_strings(path.read_text(encoding="utf-8"))
        if spoken(text) and not re.search(r"\bomv-|sans-serif|use strict", text)
    ]
    assert found == []


def test_sentences_are_seen() -> None:
    """The search itself: what it must find and what it must leave."""
    tree = ast.parse(
        'def f():\n "A docstring here."\n log.info("not for people")\n g("A sentence here.", f"{n} left")'
    )
    assert [text for _, text, part in strings(tree) if spoken(text, part=part)] == [
        "A sentence here.",
        "{} left",
    ]
    assert [
        text for _, text in script_strings("a('Two words'); // 'not this'\nthrow new Error('nor this')")
    ] == ["Two words"]
    assert not spoken('<div class="ov-line" role="status"><b>')
    assert spoken('<p class="x">Some words</p>')


def test_every_name_of_the_page_is_used_and_exists() -> None:
    used = set()
    for path in MODULES:
        used |= set(re.findall(r"\btexts\.([A-Z][A-Z_]*)\b", path.read_text(encoding="utf-8"))) - {"FILE"}
    assert used == set(WORDS["page"])


def test_every_name_of_the_viewer_is_used_and_exists() -> None:
    used = set()
    for path in viewer.STATIC.glob("*.js"):
        used |= set(re.findall(r"\bTEXT\.(\w+)", path.read_text(encoding="utf-8")))
    assert used == set(WORDS["viewer"])


def test_fields_can_be_filled() -> None:
    """Braces of the page's words are those of `str.format`; the viewer's hold a plain name."""
    for name, words in WORDS["page"].items():
        for text in flat(words):
            if name != "TEACH_STEPS":
                list(string.Formatter().parse(text))
    for text in flat(list(WORDS["viewer"].values())):
        assert re.sub(r"\{\w+\}", "", text).count("{") == 0, text


def flat(words: object) -> Iterator[str]:
    if isinstance(words, str):
        yield words
    else:
        for each in words.values() if isinstance(words, dict) else words:  # type: ignore[attr-defined]
            yield from flat(each)


def test_a_translation_must_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "texts.json"
    for name, words in (("TITLE", None), ("TITLE", ["two", "words"]), ("NO_SUCH_NAME", "words")):
        page = {key: value for key, value in {**WORDS["page"], name: words}.items() if value is not None}
        path.write_text(json.dumps({"page": page}), encoding="utf-8")
        with pytest.raises(ValueError, match=name):
            texts.read(path)


def test_the_script_carries_the_words_of_the_file(tmp_path: Path) -> None:
    """What the joined script holds is what Node reads from the file; nothing is left to fetch."""
    joined = tmp_path / "viewer.cjs"
    tail = "process.stdout.write(JSON.stringify(modules['texts.js'].TEXT));\n"
    head, _, _ = viewer.script().partition("modules['container.js']")
    joined.write_text("globalThis.window = {};\n" + head + tail + "})();", encoding="utf-8")
    done = subprocess.run([need_node(), str(joined)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == WORDS["viewer"]
