"""Run the tests against the newest of everything that pyproject.toml allows, and name what broke them (`make newest`).

    python -m tests.newest UV FOLDER [PYTEST ARGUMENT ...]

An environment in FOLDER gets the newest set. Tests that fail are run again; those that fail twice, and pass with the
lock, are run with one half of the newer packages after the other (delta debugging), until every package left is needed
to break them. uv resolves every set from the lock, so a package brings along what it must.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "locks" / "dev.txt"


class CannotResolve(Exception):
    """No set of versions satisfies the packages asked for."""


class Environment(Protocol):
    """Where tests run. The one below uses uv, pip and pytest; the tests of this file make one up."""

    def install(self, newest: frozenset[str] | None) -> dict[str, str]:
        """Install the lock with these packages at their newest, None: all. Returns name → version.

        Raises CannotResolve.
        """

    def failed(self, tests: Sequence[str]) -> list[str]:
        """Run the tests, [] = all; returns the ids of those that fail."""


@dataclass(frozen=True)
class Verdict:
    """What a run found. newer: name → (locked, newest). broken: ids of tests. culprits: names; [] with broken tests
    means that they fail with the lock too."""

    newer: dict[str, tuple[str, str]]
    broken: list[str]
    culprits: list[str]
    unsteady: list[str]

    def text(self) -> str:
        """For people: the verdict first."""
        moved = [f"  {name} {old} → {new}" for name, (old, new) in sorted(self.newer.items())]
        lines = [
            f"{len(moved)} packages are newer than the lock:" if moved else "Nothing is newer than the lock."
        ]
        lines += moved
        if self.unsteady:
            lines += ["Failed once and passed again:", *(f"  {t}" for t in self.unsteady)]
        if not self.broken:
            return "\n".join([*lines, "All tests pass with the newest."])
        if not self.culprits:
            return "\n".join(
                [*lines, "These tests fail, and with the lock too:", *(f"  {t}" for t in self.broken)]
            )
        named = " together with ".join(f"{n} {self.newer[n][1]}" for n in self.culprits)
        return "\n".join([*lines, f"Broken by {named}:", *(f"  {test}" for test in self.broken)])


def culprits(names: Iterable[str], fails: Callable[[frozenset[str]], bool]) -> list[str]:
    """Return a set of `names` that makes `fails` true and no member of which can be spared (ddmin).

    `fails` of all names must be true. About 2 log2(n) calls when one is to blame. Zeller and Hildebrandt, Simplifying
    and isolating failure-inducing input, 2002.
    """
    suspects = sorted(names)
    parts = 2
    while len(suspects) > 1:
        step = -(-len(suspects) // parts)
        chunks = [suspects[i : i + step] for i in range(0, len(suspects), step)]
        rests = [[s for s in suspects if s not in chunk] for chunk in chunks] if parts > 2 else []
        found = next((some for some in (*chunks, *rests) if fails(frozenset(some))), None)
        if found is not None:
            parts = 2 if found in chunks else max(2, parts - 1)
            suspects = found
        elif parts >= len(suspects):
            break
        else:
            parts = min(len(suspects), 2 * parts)
    return suspects


def judge(environment: Environment, locked: Mapping[str, str]) -> Verdict:
    """Try the newest set and, where it breaks tests, find out which packages do."""
    newest = environment.install(None)
    newer = {n: (locked.get(n, "not there"), v) for n, v in newest.items() if locked.get(n) != v}
    first = environment.failed([])
    again = environment.failed(first) if first else []
    unsteady = sorted(set(first) - set(again))
    if not again:
        return Verdict(newer, [], [], unsteady)

    def fails(names: frozenset[str]) -> bool:
        try:
            environment.install(names)
        except CannotResolve:
            return False
        return bool(environment.failed(again))

    if not newer or fails(frozenset()):
        return Verdict(newer, again, [], unsteady)
    return Verdict(newer, again, culprits(newer, fails), unsteady)


def versions(text: str) -> dict[str, str]:
    """Name → version of a locked file, markers aside."""
    lines = (line.split(";")[0].split("#")[0].strip(" \\") for line in text.splitlines())
    return dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("-"))


class Venv:
    """An environment of its own below `folder`; uv resolves and installs, torch comes as in the Makefile."""

    def __init__(self, uv: str, folder: Path, arguments: Sequence[str]) -> None:
        self.uv, self.folder, self.arguments = uv, folder, list(arguments)
        self.python = folder / "bin" / "python"
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            torch = [
                str(self.python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--constraint",
                "requirements.txt",
                "torch",
            ]
            subprocess.run(torch, cwd=ROOT, check=True)

    def install(self, newest: frozenset[str] | None) -> dict[str, str]:
        target = self.folder / "lock.txt"
        shutil.copy(LOCK, target)
        moved = ["--upgrade"] if newest is None else [f"--upgrade-package={name}" for name in sorted(newest)]
        wanted = ["pyproject.toml", "--extra=dev", "--extra=eval", "--no-emit-package=torch"]
        into = ["--quiet", f"--python={self.python}", f"--output-file={target}"]
        if subprocess.run([self.uv, "pip", "compile", *wanted, *into, *moved], cwd=ROOT).returncode:
            raise CannotResolve
        install = [self.uv, "pip", "install", "--quiet", f"--python={self.python}", "--no-deps"]
        subprocess.run([*install, "--requirement", str(target)], cwd=ROOT, check=True)
        subprocess.run([*install, "--no-build-isolation", "--editable", "."], cwd=ROOT, check=True)
        return versions(target.read_text(encoding="utf-8"))

    def failed(self, tests: Sequence[str]) -> list[str]:
        cache = self.folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        asked = list(tests) or self.arguments
        command = [str(self.python), "-m", "pytest", "-q", "-o", f"cache_dir={cache}", *asked]
        code = subprocess.run(command, cwd=ROOT).returncode
        if code == 0:
            return []
        listed = cache / "v" / "cache" / "lastfailed"
        if not listed.exists():
            raise SystemExit(f"pytest ended with code {code} and names no test")
        return sorted(json.loads(listed.read_text()))


def main(arguments: Sequence[str]) -> int:
    uv, folder, *rest = arguments
    verdict = judge(Venv(uv, Path(folder).absolute(), rest), versions(LOCK.read_text(encoding="utf-8")))
    print(verdict.text())
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
