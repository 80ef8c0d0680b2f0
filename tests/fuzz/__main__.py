"""Mutation fuzzer over the public door: `python -m tests.fuzz --minutes 60 [--seed N] [--keep FOLDER]`.

Every mutated file must open or raise StudyError within its limits, and the worker family must survive without
left-over children. A finding is anything else, or a file that kills its worker (it is refused properly, but worth a
look). It is printed as a recipe, the line to add to `findings.py`, where it becomes a regression test; --keep writes
its bytes, too. Without --seed every run tries other files. Ends with exit code 1 on findings.
"""

from __future__ import annotations

import argparse
import collections
import secrets
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from omnivmed.errors import StudyError
from omnivmed.io import open_study, pool
from omnivmed.limits import Limits
from tests.fuzz.recipe import Recipe
from tests.fuzz.seeds import seeds

LIMITS = Limits(
    raw_voxel_bytes=2**26,
    image_pixels=2**22,
    video_pixels=2**21,
    worker_cpu_s=10,
    worker_wall_s=15.0,
    open_clips=2,
)
SLOW_S = 10.0


def main() -> int:
    """Run until the time is over; a line per kind of outcome at the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="repeat the run that named this number")
    parser.add_argument("--keep", type=Path, default=None, help="folder for files that gave findings")
    parser.add_argument("--only", default="", help="seeds whose name holds this word")
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    rng = np.random.default_rng(seed)
    names = sorted(n for n in seeds() if options.only in n)
    # A small corpus per seed: mutations that still opened are mutated further, which reaches deeper than one step.
    corpus = {n: [Recipe(n)] for n in names}
    outcomes: collections.Counter[str] = collections.Counter()
    findings = 0
    tried = 0
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        while time.monotonic() < end:
            name = names[int(rng.integers(len(names)))]
            recipe = corpus[name][int(rng.integers(len(corpus[name])))].then(int(rng.integers(2**32)))
            path.write_bytes(recipe.build())
            outcome, finding = attempt(path)
            tried += 1
            outcomes[f"{name}: {outcome}"] += 1
            if outcome == "opened" and len(corpus[name]) < 64:
                corpus[name].append(recipe)
            if finding:
                findings += 1
                print(f"finding: ({finding!r}, {recipe}),", flush=True)
                if options.keep is not None:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{name}-{findings}").write_bytes(path.read_bytes())
    for line, count in sorted(outcomes.items()):
        print(f"{count:7d}  {line}")
    print(f"{tried} files, {findings} findings, seed {seed}")
    return 1 if findings else 0


def attempt(path: Path) -> tuple[str, str]:
    """(outcome, finding or '')."""
    started = time.monotonic()
    try:
        with open_study(path, limits=LIMITS) as study:
            study.frames(0, min(3, len(study)))
            study.values(len(study) - 1)
        outcome = "opened"
    except StudyError as error:
        outcome = error.code
        if "made the decoder stop" in error.message:
            return outcome, "killed its worker"
        if not error.message.endswith("."):
            return outcome, "message without an end"
    except Exception as error:
        return "escaped", f"escaped as {type(error).__name__}: {error}"
    if time.monotonic() - started > SLOW_S:
        return outcome, f"took {time.monotonic() - started:.0f} s"
    if pool.FAMILY.last_peak_bytes > 800 * 2**20:
        return outcome, f"took {pool.FAMILY.last_peak_bytes >> 20} MB"
    return outcome, ""


if __name__ == "__main__":
    sys.exit(main())
