"""The list of broken guards fits the code: every one is still there, exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutate.__main__ import Mutation, read_table

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("mutation", read_table(), ids=lambda m: f"{m.promise} {m.file} {m.code[:30]}")
def test_every_guard_is_where_the_table_says(mutation: Mutation, tmp_path: Path) -> None:
    target = tmp_path / mutation.file
    target.parent.mkdir(parents=True)
    target.write_text((ROOT / mutation.file).read_text(encoding="utf-8"), encoding="utf-8")
    mutation.apply(tmp_path)
    compile(target.read_text(encoding="utf-8"), mutation.file, "exec")
    assert (ROOT / mutation.tests.split()[0]).exists()


def test_a_guard_that_moved_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match="0 times"):
        Mutation("X", "a.py", "y = 1", "y = 2", "tests").apply(tmp_path)
