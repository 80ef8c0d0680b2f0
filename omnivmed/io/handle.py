"""One file of an upload, as the door holds it: by descriptor, so that what was looked at is what is read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from omnivmed.errors import StudyError


@dataclass
class Handle:
    """One file of an upload: opened only by the door, passed to workers as a descriptor."""

    path: Path | None
    extension: str
    size: int
    fd: int = -1

    @classmethod
    def of(cls, path: Path) -> Handle:
        """Handle of a regular file; NotAnImage for anything else. Symbolic links to files are followed."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            raise StudyError("NotAnImage", "There is no such file; choose another one.") from None
        if not stat.S_ISREG(status.st_mode):
            raise StudyError("NotAnImage", "This is not an ordinary file; choose an image, volume or clip.")
        return cls(path, extension_of(path.name), status.st_size)

    def open(self) -> int:
        """A new descriptor at the start of the file; the caller closes it."""
        if self.fd >= 0:
            os.lseek(self.fd, 0, os.SEEK_SET)
            return os.dup(self.fd)
        if self.path is None:
            raise StudyError("Corrupt", "The study was closed; open it again.")
        flags = (
            os.O_RDONLY
            | getattr(os, "O_CLOEXEC", 0)
            | getattr(os, "O_BINARY", 0)
            | getattr(os, "O_NONBLOCK", 0)
        )
        try:
            fd = os.open(self.path, flags)
        except OSError:
            raise StudyError("Corrupt", "The file could not be read; send it again.") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # replaced since it was looked at
            os.close(fd)
            raise StudyError("NotAnImage", "This is not an ordinary file; choose an image, volume or clip.")
        return fd

    def open_binary(self) -> BinaryIO:
        """A new file object, for reading in-process."""
        return os.fdopen(self.open(), "rb")

    def pin(self) -> None:
        """Keep the file readable although it may be deleted or replaced under its name."""
        if self.fd < 0:
            self.fd = self.open()
            self.path = None

    def unpin(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def extension_of(name: str) -> str:
    """Ending of a file name in lower case, '.nii.gz' as one; '' when there is none or it says nothing."""
    lower = name.lower()
    for double in (".nii.gz", ".img.gz", ".tar.gz", ".nrrd.gz", ".mgh.gz"):
        if lower.endswith(double):
            return double
    ending = os.path.splitext(lower)[1]
    return ending if 1 < len(ending) <= 8 and ending[1:].isalnum() and ending.isascii() else ""
