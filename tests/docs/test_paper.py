"""The table of the paper's statements: a state, a place and a test that exist, or a reason."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "paper.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_every_statement_has_a_row_of_its_own() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 43))
    assert all(row[1] and row[2] and row[3] for row in ROWS)


def test_the_tests_it_names_exist() -> None:
    for row in ROWS:
        named = re.search(r"`(tests/[\w/]+\.py)::(\w+)`", row[4] if len(row) > 4 else "")
        if named is None:
            assert row[2].startswith("not here"), row
            continue
        text = (ROOT / named[1]).read_text(encoding="utf-8")
        assert f"def {named[2]}(" in text, row


def test_the_places_it_names_exist() -> None:
    for row in ROWS:
        for path in re.findall(r"`((?:omnivmed|train|benchmarks)/[\w/.{},]+)`", row[3]):
            for one in _alternatives(path):
                assert (ROOT / one).exists(), one
        for module in re.findall(r"`python -m ([\w.]+)", row[3]):
            parts = module.split(".")
            assert (ROOT.joinpath(*parts).with_suffix(".py")).exists() or (ROOT.joinpath(*parts)).is_dir(), (
                module
            )


def _alternatives(path: str) -> list[Path]:
    found = re.fullmatch(r"(.*)\{(.*)\}(.*)", path)
    return [Path(path)] if found is None else [Path(found[1] + n + found[3]) for n in found[2].split(",")]
