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
def test_every_link_leads_somewhere(page: Path) -> None:
    wrong = []
    for pair in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = (pair[0] or pair[1]).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [
        p.relative_to(ROOT / "docs").as_posix()
        for p in (ROOT / "docs").rglob("*.md")
        if p.name != "README.md"
    ]
    assert [page for page in pages if f"({page}" not in index] == []


def test_decisions_have_numbers_of_their_own() -> None:
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
def test_the_readme_names_every_room(folder: str) -> None:
    """Of a room moved or made, the README knows in the same commit."""
    named = set(re.findall(r"[\w.]+(?:/|\.\w+)|LICENSE|Makefile", tree()))
    assert [name for name in shown_in_git(ROOT / folder) if name not in named] == []


def test_the_tree_names_nothing_that_is_gone() -> None:
    for name in re.findall(r"^(?:  )?([\w.]+/|\w+\.py)", tree(), re.MULTILINE):
        assert (ROOT / name).exists() or (ROOT / "omnivmed" / name).exists(), name


def everywhere(pattern: str) -> dict[str, set[str]]:
    """What matches on any page → the pages it stands on. The log and the changelog tell of what was."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        if page.name not in ("log.md", "CHANGELOG.md"):
            for match in re.finditer(pattern, page.read_text(encoding="utf-8"), re.MULTILINE):
                found.setdefault(match[1], set()).add(page.relative_to(ROOT).as_posix())
    return found


def test_every_module_that_is_run_exists() -> None:
    gone = {}
    for name, pages in everywhere(r"python -m ((?:omnivmed|train|benchmarks|tests)[\w.]*)").items():
        path = ROOT / name.rstrip(".").replace(".", "/")
        if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()):
            gone[name] = pages
    assert gone == {}


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = everywhere(r"(?:^|`|&& |; )make ([a-z][\w-]*)")
    assert {name: pages for name, pages in named.items() if name not in targets} == {}


def test_every_file_that_is_named_exists() -> None:
    """Paths from the root, and tests as docs/security.md names them."""
    tops, endings = "omnivmed|train|tests|benchmarks|assets|docs|locks", "py|js|md|json|txt|css|sh|tsv|mjs"
    here = rf"((?:{tops})/[\w./-]*\w\.(?:{endings}))"
    gone = {
        name: pages
        for name, pages in everywhere(rf"(?<![\w/]){here}\b").items()
        if not (ROOT / name).exists()
    }
    short = r"`((?:service|io|ui|browser|cli|inference|model|pruning|vision|viz|eval)/[\w/]*test_\w+\.py)"
    gone |= {name: pages for name, pages in everywhere(short).items() if not (ROOT / "tests" / name).exists()}
    assert gone == {}


def test_no_page_knows_the_machine_it_was_written_on() -> None:
    assert everywhere(r"((?:/root|/home|/work|/Users)/\w+)") == {}
