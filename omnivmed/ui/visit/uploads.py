"""From the browser's upload to a file of our own, in a folder that no browser can fetch from.

`Uploads.take_in` moves what was sent; what nobody opens, and what broke off on its way, is counted and dropped in
time. That the client's file name never touches the disk is the work of `omnivmed.ui.web.names`, which
takes its random names from here.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from omnivmed.errors import StudyError
from omnivmed.ui import texts
from omnivmed.ui.visit.clock import boot_clock

# A hint for the readers, nothing more: they look at the bytes.
EXTENSIONS = (
    ".nii.gz", ".img.gz", ".tar.gz", ".seg.nrrd", ".nii", ".hdr", ".img", ".gz", ".dcm", ".dicom", ".ima",
    ".zip", ".tar", ".tgz", ".nrrd", ".mha", ".mhd", ".mgz", ".mgh",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif",
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".vob", ".dv", ".ts", ".mts", ".m2ts",
)  # fmt: skip
_RECEIVED = re.compile(r"[0-9a-f]{64}")
PAGE_HEADER = "x-omnivmed-page"  # a random word each open page sends with its requests (`page/app.js`)
FROM_HEADER = "x-omnivmed-from"  # a tab that another tab opened: the word of that one
PLACING_S = 5.0
BROKEN_S = 60.0  # nobody writes to it and it is still not in its place: it broke off


def known_extension(name: str) -> str:
    """The extension of a name if it is one we read, else nothing (a name may end in ".Miller", too)."""
    lowered = name.lower()
    return next((ext for ext in EXTENSIONS if lowered.endswith(ext)), "")


def random_name(name: str) -> str:
    """A name that says nothing about the file but its format."""
    return secrets.token_hex(16) + known_extension(name)


class Uploads:
    """What was sent and not opened yet, in the folder that Gradio receives into.

    A whole upload lies in `served/<64 hexadecimal digits>/<our random name>`; one that is still arriving, or broke off,
    lies directly in `served` under a name of the framework's. `clock` counts seconds through sleep and never jumps, so
    that a set clock or a shut laptop neither keeps a file nor deletes it early.
    """

    def __init__(self, served: Path, clock: Callable[[], float] = boot_clock) -> None:
        self.served = served
        self._clock = clock
        self._seen: dict[Path, float] = {}  # when a file was noticed first
        self.arriving = (
            0  # requests that send files right now, from their first byte to the file in its place
        )
        self._owner: dict[str, str] = {}  # random name → the page it was handed to

    def waiting(self) -> Iterator[Path]:
        """Whole uploads that nobody has opened yet."""
        for folder in _entries(self.served):
            if _RECEIVED.fullmatch(folder.name) and folder.is_dir():
                yield from (path for path in _entries(folder) if path.is_file())

    def halves(self) -> Iterator[Path]:
        """Uploads that are arriving or broke off."""
        return (path for path in _entries(self.served) if path.is_file() and not path.is_symlink())

    def hand(self, name: str, page: str | None) -> str:
        """A random name for a file that is sent under `name`; only this page may open it then.

        page: what the page calls itself in `PAGE_HEADER`; programs send no such header, and for them knowing the name
        (128 random bits) is what it takes.
        """
        random = random_name(name)
        if page:
            self._owner[random] = page
        return random

    def take_in(self, paths: Sequence[str | Path], folder: Path, page: str | None = None) -> list[Path]:
        """Move uploads into `folder` under random names. Returns where they are.

        Taken is only what was received for this page: a file in a folder named by a content hash right below `served`.
        Views of studies, samples and downloads lie elsewhere there and are nobody's to move; the folder stays, for it
        may hold the same file of somebody else. Raises StudyError when a file is gone, or none of these.
        """
        taken: list[Path] = []
        base = self.served.resolve()
        for given in paths:
            source = Path(given)
            received = source.parent.parent.resolve() == base and _RECEIVED.fullmatch(source.parent.name)
            if not received or source.is_symlink() or self._owner.get(source.name, page) != page:
                raise StudyError("Corrupt", texts.UPLOAD_GONE)
            self._await(source)
            target = folder / random_name(source.name)
            try:
                os.replace(source, target)
            except OSError:
                raise StudyError("Corrupt", texts.UPLOAD_GONE) from None
            self._owner.pop(source.name, None)
            taken.append(target)
        return taken

    def _await(self, source: Path) -> None:
        """The framework answers before it has put a file in its place; wait for that moment."""
        end = time.monotonic() + PLACING_S
        while not source.is_file() and self.arriving > 0 and time.monotonic() < end:
            time.sleep(0.02)

    def bytes(self) -> int:
        """What all of them take up on disk."""
        total = 0
        for path in (*self.waiting(), *self.halves()):
            with suppress(FileNotFoundError):  # opened meanwhile
                total += path.stat().st_size
        return total

    def drop_broken(self) -> int:
        """Delete what broke off on its way; returns how many files. What is arriving stays."""
        dropped, held, names = 0, _open_here(), list(self._owner)
        for path in self.halves():
            age = self._age(path)
            if self.arriving == 0 or (age > BROKEN_S and (held is None or path not in held)):
                path.unlink(missing_ok=True)
                dropped += 1
        if self.arriving == 0:  # nothing is about to be put into one of them
            here = {path.name for path in self.waiting()}
            for name in names:  # handed before: it has its place, or never came
                if name not in here:
                    self._owner.pop(name, None)
            for folder in _entries(self.served):
                if _RECEIVED.fullmatch(folder.name):
                    with suppress(OSError):
                        folder.rmdir()
        return dropped

    def drop_forgotten(self, older_than_s: float) -> int:
        """Delete whole uploads that nobody has opened for so long; returns how many."""
        dropped = 0
        present = list(self.waiting())
        for path in present:
            if self._age(path) > older_than_s:
                path.unlink(missing_ok=True)
                dropped += 1
        gone = set(self._seen) - {*present, *self.halves()}
        for path in gone:
            self._seen.pop(path, None)
            self._owner.pop(path.name, None)
        return dropped

    def _age(self, path: Path) -> float:
        """Seconds since this file was noticed first."""
        now = self._clock()
        return now - self._seen.setdefault(path, now)


def _open_here() -> set[Path] | None:
    """Files this process has open; None where the system does not tell."""
    try:
        return {Path(os.readlink(f"/proc/self/fd/{fd}")) for fd in _numbers("/proc/self/fd")}
    except OSError:
        return None


def _numbers(folder: str) -> Iterator[str]:
    for name in os.listdir(folder):
        with suppress(OSError):
            os.readlink(f"{folder}/{name}")
            yield name


def _entries(folder: Path) -> list[Path]:
    """What is in `folder`; nothing where it went meanwhile, with its upload or with the ending program."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
