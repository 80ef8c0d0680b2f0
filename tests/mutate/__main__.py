"""`make mutate`: each guard is broken in one way, in a copy, and its tests must notice.

Prints what survived; exit code 1 if anything did.

python -m tests.mutate                 all of `guards.tsv`
python -m tests.mutate B2 C3           those whose promise begins so
python -m tests.mutate web/gate.py     those whose file ends so
python -m tests.mutate --list          what is broken how

A line of `guards.tsv`: promise, file, the code as it is, the code broken, tests. The code must stand in the file
exactly once: a guard that moved is an error here, not a pass.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("guards.tsv")
COPIED = (
    "omnivmed",
    "tests",
    "assets",
    "train",
    "app.py",
    "pyproject.toml",
    "requirements.txt",
    "README.md",
    "docs",
)
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Mutation:
    """One guard broken in one way, and the tests that must notice."""

    promise: str
    file: str
    code: str
    broken: str
    tests: str

    def apply(self, root: Path) -> None:
        """Break it. Raises ValueError when the code is not there exactly once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.code) != 1:
            raise ValueError(f"{self.promise}: {self.file} holds {self.code!r} {text.count(self.code)} times")
        path.write_text(text.replace(self.code, self.broken), encoding="utf-8")


def read_table(path: Path = TABLE) -> list[Mutation]:
    """All mutations; `\\n` in the code columns is a line break."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert rows[0] == ["promise", "file", "code", "broken", "tests"]
    return [Mutation(p, f, c.replace("\\n", "\n"), b.replace("\\n", "\n"), t) for p, f, c, b, t in rows[1:]]


def survives(mutation: Mutation, copy: Path) -> bool:
    """Whether the tests pass although the guard is broken."""
    path = copy / mutation.file
    whole = path.read_text(encoding="utf-8")
    try:
        mutation.apply(copy)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            *mutation.tests.split(),
        ]
        try:
            done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            return False  # it hangs: noticed
        if done.returncode not in (0, 1):
            raise RuntimeError(
                f"{mutation.promise}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}"
            )
        return done.returncode == 0
    finally:
        path.write_text(whole, encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Try them all; 0 when every one is noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__.splitlines()[0])
    parser.add_argument(
        "promise", nargs="*", help="only those whose promise begins so, or whose file ends so"
    )
    parser.add_argument("--list", action="store_true", help="say what is broken how, and end")
    got = parser.parse_args(argv)
    named = tuple(got.promise)
    chosen = [m for m in read_table() if not named or m.promise.startswith(named) or m.file.endswith(named)]
    if got.list:
        for one in chosen:
            print(f"{one.promise:5} {one.file}: {one.code!r} -> {one.broken!r}")
        return 0
    alive = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy / name)
        for number, mutation in enumerate(chosen, 1):
            began = time.monotonic()
            alive += [mutation] if survives(mutation, copy) else []
            state = "SURVIVED" if mutation in alive else "noticed"
            print(
                f"{number}/{len(chosen)} {mutation.promise} {mutation.file} {state} {time.monotonic() - began:.0f} s",
                flush=True,
            )
    print(f"{len(chosen) - len(alive)} noticed, {len(alive)} survived")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
