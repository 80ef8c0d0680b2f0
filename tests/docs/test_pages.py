"""What a stranger needs to find: every page is in the index, every link leads somewhere, the README's tree is whole."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

SKIPPED = {".venv", ".ci-work", ".pytest_cache", "runs", "node_modules", "build", "dist"}
PAGES = [
    page
    for page in sorted(ROOT.rglob("*.md"))
    if not SKIPPED & set(page.relative_to(ROOT).parts) and page.relative_to(ROOT).parts[0] != ".ci-work"
]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The names GitHub gives to a page's headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M), re.M
    )
    return frozenset(re.sub(r"[^\w\- ]", "", h.replace("`", "").lower()).replace(" ", "-") for h in headings)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path):
    wrong = []
    for pair in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = (pair[0] or pair[1]).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [
        p.relative_to(ROOT / "docs").as_posix()
        for p in (ROOT / "docs").rglob("*.md")
        if p.name != "README.md"
    ]
    assert [page for page in pages if f"({page}" not in index] == []


def test_decisions_have_numbers_of_their_own():
    names = [page.name for page in (ROOT / "docs" / "decisions").glob("*.md")]
    numbers = [name[:4] for name in names]
    assert sorted(numbers) == [f"{i + 1:04}" for i in range(len(numbers))]
    for name in names:
        text = (ROOT / "docs" / "decisions" / name).read_text(encoding="utf-8")
        assert text.startswith(f"# {name[:4]} ")
        assert "**Decision.**" in text
        assert "**Why" in text


def tree() -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return readme[readme.index("## The tree") : readme.index("## Licences")]


def shown_in_git(folder: Path) -> list[str]:
    """Names below `folder` that belong to the repository."""
    hidden = {"__pycache__", "__init__.py", "__main__.py", "py.typed"} | SKIPPED
    return [
        path.name + "/" * path.is_dir()
        for path in sorted(folder.iterdir())
        if path.name not in hidden
        and not path.name.startswith(".")
        and path.suffix not in (".pyi", ".egg-info")
    ]


@pytest.mark.parametrize("folder", ["", "omnivmed"])
def test_the_readme_names_every_room(folder: str):
    """Of a room moved or made, the README knows in the same commit."""
    named = set(re.findall(r"[\w.]+(?:/|\.\w+)|LICENSE|Makefile", tree()))
    assert [name for name in shown_in_git(ROOT / folder) if name not in named] == []


def test_the_tree_names_nothing_that_is_gone():
    for name in re.findall(r"^(?:  )?([\w.]+/|\w+\.py)", tree(), re.MULTILINE):
        assert (ROOT / name).exists() or (ROOT / "omnivmed" / name).exists(), name
