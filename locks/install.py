"""Set up a virtual environment from a lock and say what happens: `python3 locks/install.py VENV LOCK [--index URL]`.

What `make app` and `make test` call; needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

LEAST = (3, 11)
ROOT = Path(__file__).resolve().parents[1]
# What an environment weighs once installed, in 1e9 bytes: measured with the locks of 2026-11-28 on Linux x86-64.
GIGABYTES = {"app.txt": 2.0, "dev.txt": 3.0}
CUDA_GIGABYTES = 5  # about what the ordinary torch of Linux brings along for NVIDIA cards
BEAT_S = 20.0
AGAIN = "What pip said stands above; the same command goes on from here."


def main(argv: Sequence[str] | None = None) -> int:
    """0 when the environment is whole; 1 with a sentence when it cannot be made."""
    parser = argparse.ArgumentParser(prog="locks/install.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("venv", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--index", default="", help="index to take torch from, such as that of its CPU build")
    args = parser.parse_args(argv)
    here = platform.python_version()
    if sys.version_info < LEAST:
        least = ".".join(map(str, LEAST))
        return refuse(
            f"This is Python {here}; OmniV-Med needs {least} or newer. Name one: make app PYTHON=python3.11"
        )
    needed, free = GIGABYTES.get(args.lock.name, 2.0), free_gigabytes(args.venv)
    say(f"Setting up once, in {args.venv}: some minutes, most of them downloads. Later starts skip this.")
    say(f"It takes {needed:.1f} GB of disk; {free:.0f} GB are free.")
    python = args.venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    if free < needed and not python.exists():
        return refuse("That is too little: free some, or set up elsewhere: make app VENV=/other/disk/venv")
    began = time.monotonic()
    say(f"[1/3] An environment of its own, of Python {here}.")
    if not python.exists() and not run([sys.executable, "-m", "venv", str(args.venv)], args.venv):
        return refuse("The environment could not be made. On Debian and Ubuntu: apt install python3-venv")
    count = len(re.findall(r"^[\w.-]+==", args.lock.read_text(encoding="utf-8"), re.MULTILINE))
    say(f"[2/3] {count} packages, each file checked against its sha256.")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not run([*pip, "--no-deps", "--require-hashes", "--requirement", str(args.lock)], args.venv):
        return refuse(f"The packages could not be installed. {AGAIN}")
    requirements = ROOT / "requirements.txt"
    version = torch_version(requirements.read_text(encoding="utf-8"))
    say(f"[3/3] torch {version}, which computes the answers.{told_of(args.index)}")
    index = ["--index-url", args.index] if args.index else []
    if not run([*pip, *index, "--constraint", str(requirements), "torch"], args.venv):
        return refuse(f"torch could not be installed. {AGAIN}")
    say(f"Set up in {spoken(time.monotonic() - began)}; {args.venv} holds {size_of(args.venv) / 1e9:.1f} GB.")
    return 0


def told_of(index: str) -> str:
    """What to expect of torch's size on this machine; empty where nothing special is to be expected."""
    if index or sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("nvidia-smi"):
        return ""
    return (
        f" No NVIDIA card is seen here. Should pip bring\n      the CUDA libraries all the same ({CUDA_GIGABYTES} GB "
        "more), TORCH_INDEX takes the CPU build instead (README, Start)."
    )


def torch_version(requirements: str) -> str:
    """The locked version of torch. Raises ValueError when the lock names none."""
    found = re.search(r"^torch==([^\s;]+)", requirements, re.MULTILINE)
    if found is None:
        raise ValueError("requirements.txt names no torch")
    return found.group(1)


def run(command: list[str], venv: Path) -> bool:
    """Run without a word but errors; a line every 20 s tells that it goes on. True when it ended well."""
    began, over = time.monotonic(), threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_S):
            say(f"      {spoken(time.monotonic() - began)}, {size_of(venv) / 1e6:.0f} MB in place")

    teller = threading.Thread(target=beat, daemon=True)
    teller.start()
    try:
        return subprocess.call(command, stdin=subprocess.DEVNULL) == 0
    finally:
        over.set()
        teller.join()


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except OSError:
                continue
    return total


def free_gigabytes(folder: Path) -> float:
    """Free space where a folder is, or will be, in 1e9 bytes."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free / 1e9


def spoken(seconds: float) -> str:
    """95 → 1 min 35 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def say(line: str) -> None:
    """One line, at once."""
    print(line, flush=True)


def refuse(sentence: str) -> int:
    """The sentence on stderr; exit code 1."""
    print(sentence, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        refuse("\nStopped; the same command goes on from here.")
        sys.exit(130)
