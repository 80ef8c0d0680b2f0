"""The search for the package that broke the tests, with a made-up environment in place of uv and pytest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.newest import CannotResolve, Verdict, culprits, judge, versions

NAMES = [f"package-{i:02}" for i in range(40)]


class MadeUp:
    """Tests fail when all of `guilty` are at their newest; `always` whatever is installed; `once` the first time."""

    def __init__(
        self,
        guilty: set[str] = frozenset(),  # type: ignore[assignment]
        always: Sequence[str] = (),
        once: Sequence[str] = (),
        apart: tuple[str, str] | None = None,
    ) -> None:
        self.guilty, self.always, self.once, self.apart = set(guilty), list(always), list(once), apart
        self.installed: frozenset[str] = frozenset()
        self.runs = 0

    def install(self, newest: frozenset[str] | None) -> dict[str, str]:
        names = frozenset(NAMES) if newest is None else newest
        if self.apart and len(names & set(self.apart)) == 1:
            raise CannotResolve
        self.installed = names
        return {name: "2" if name in names else "1" for name in NAMES}

    def failed(self, tests: Sequence[str]) -> list[str]:
        self.runs += 1
        found = list(self.always)
        if self.guilty and self.guilty <= self.installed:
            found += ["tests/a.py::one", "tests/b.py::two"]
        if not tests:
            return sorted([*found, *self.once])
        return sorted(set(found) & set(tests))


def verdict(made_up: MadeUp) -> Verdict:
    return judge(made_up, dict.fromkeys(NAMES, "1"))


@pytest.mark.parametrize("guilty", NAMES)
def test_one_package_is_named_in_few_runs(guilty: str) -> None:
    made_up = MadeUp({guilty})
    found = verdict(made_up)
    assert found.culprits == [guilty]
    assert found.broken == ["tests/a.py::one", "tests/b.py::two"]
    assert made_up.runs <= 3 + 2 * 6, "newest twice, the lock once, then halves"
    assert f"Broken by {guilty} 2:" in found.text()


@pytest.mark.parametrize(
    "guilty", [{NAMES[0], NAMES[39]}, {NAMES[3], NAMES[4]}, {NAMES[1], NAMES[17], NAMES[30]}]
)
def test_packages_that_break_tests_together_are_named_together(guilty: set[str]) -> None:
    found = verdict(MadeUp(guilty))
    assert set(found.culprits) == guilty
    assert " together with " in found.text()


def test_sets_that_cannot_be_resolved_are_passed_over() -> None:
    """One package pins another: alone neither can move."""
    pair = (NAMES[5], NAMES[33])
    found = verdict(MadeUp({NAMES[5]}, apart=pair))
    assert set(found.culprits) == set(pair)


def test_what_fails_with_the_lock_too_is_nobodys_fault() -> None:
    found = verdict(MadeUp(always=["tests/c.py::three"]))
    assert (found.broken, found.culprits) == (["tests/c.py::three"], [])
    assert "with the lock too" in found.text()


def test_a_test_that_passes_the_second_time_is_told_and_forgiven() -> None:
    found = verdict(MadeUp(once=["tests/d.py::four"]))
    assert (found.broken, found.unsteady) == ([], ["tests/d.py::four"])
    assert "All tests pass with the newest." in found.text()


def test_nothing_newer() -> None:
    found = judge(MadeUp(), dict.fromkeys(NAMES, "2"))
    assert found.text() == "Nothing is newer than the lock.\nAll tests pass with the newest."


def test_every_culprit_is_needed() -> None:
    wanted = {"b", "e", "g"}
    assert culprits("abcdefgh", lambda names: wanted <= names) == ["b", "e", "g"]
    assert culprits("a", lambda names: True) == ["a"]


def test_versions_of_a_lock() -> None:
    text = "# made by\na-b==1.0 \\\n    --hash=sha256:00==\nc==2 ; python_version < '3.12'  # via a-b\n"
    assert versions(text) == {"a-b": "1.0", "c": "2"}
