"""From the browser's upload to a file of our own, in a folder that no browser can fetch from.

`take_in` moves what was sent under a random name; what nobody opens is counted (`has_room`) and dropped in time
(`drop_forgotten`). That the client's file name never touches the disk is the work of `omnivmed.ui.web.names`, which
takes its random names from here.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from omnivmed.errors import StudyError
from omnivmed.ui import texts

# A hint for the readers, nothing more: they look at the bytes.
EXTENSIONS = (
    ".nii.gz", ".seg.nrrd", ".nii", ".gz", ".dcm", ".dicom", ".ima", ".zip", ".nrrd", ".mha", ".mhd",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif",
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg",
)  # fmt: skip
_RECEIVED = re.compile(r"[0-9a-f]{64}")


def known_extension(name: str) -> str:
    """The extension of a name if it is one we read, else nothing (a name may end in ".Miller", too)."""
    lowered = name.lower()
    return next((ext for ext in EXTENSIONS if lowered.endswith(ext)), "")


def random_name(name: str) -> str:
    """A name that says nothing about the file but its format."""
    return secrets.token_hex(16) + known_extension(name)


def waiting_uploads(served: Path) -> Iterator[Path]:
    """Files that were sent but not opened yet: Gradio keeps each in a folder named by 64 hexadecimal digits."""
    for folder in _entries(served):
        if _RECEIVED.fullmatch(folder.name) and folder.is_dir():
            yield from (path for path in _entries(folder) if path.is_file())


def _entries(folder: Path) -> list[Path]:
    """What is in `folder`; nothing where it went meanwhile, with its upload or with the ending program."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def has_room(served: Path, most_bytes: int) -> bool:
    """Whether the uploads that wait to be opened leave room for another one."""
    total = 0
    for path in waiting_uploads(served):
        with suppress(FileNotFoundError):  # opened meanwhile
            total += path.stat().st_size
    return total < most_bytes


def drop_forgotten(served: Path, older_than_s: float) -> int:
    """Delete uploads that nobody has opened since; returns how many."""
    dropped = 0
    for path in waiting_uploads(served):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > older_than_s:
                shutil.rmtree(path.parent, ignore_errors=True)
                dropped += 1
    return dropped


def take_in(paths: Sequence[str | Path], folder: Path, served: Path) -> list[Path]:
    """Move uploads into `folder` under random names and delete Gradio's copies. Returns where they are.

    Only files below `served` are touched. Raises StudyError when one is gone already.
    """
    taken: list[Path] = []
    base = served.resolve()
    for given in paths:
        source = Path(given).resolve()
        if not source.is_relative_to(base) or not source.is_file():
            raise StudyError("Corrupt", texts.UPLOAD_GONE)
        target = folder / random_name(source.name)
        os.replace(source, target)
        taken.append(target)
        if source.parent != base:
            shutil.rmtree(source.parent, ignore_errors=True)
    return taken
