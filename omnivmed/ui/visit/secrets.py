"""Passwords and keys: from a file, a variable or the terminal, never from the command line.

What stands on a command line is in the process list, where every user of the computer can read it. Keys are kept as
digests only, and compared in constant time.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from omnivmed.ui import texts

PASSWORD_VARIABLE = "OMNIVMED_PASSWORD"
LEAST_KEY = 16  # characters: with fewer, guessing over the network is not hopeless


def login_name(given: str) -> str:
    """The name of `--login`. Raises ValueError with a sentence when a password stands behind it."""
    if not given or ":" in given:
        raise ValueError(texts.COMMAND_LOGIN)
    return given


def read_password(path: str | None) -> str:
    """The password of `--login`: first line of the file, else the variable, else typed. Raises ValueError."""
    if path is not None:
        return _lines(path, "--password-file")[0]
    if password := os.environ.get(PASSWORD_VARIABLE):
        return password
    at_terminal = sys.stdin is not None and sys.stdin.isatty()
    if at_terminal and (password := getpass.getpass(texts.COMMAND_PASSWORD_ASK)):
        return password
    raise ValueError(texts.COMMAND_PASSWORD)


def read_keys(path: str) -> dict[str, str]:
    """Digest → label of the keys in a file, one `LABEL KEY` a line; `#` begins a comment. Raises ValueError."""
    keys: dict[str, str] = {}
    for number, line in enumerate(_lines(path, "--api-key"), 1):
        label, _, key = line.partition(" ")
        if len(key.strip()) < LEAST_KEY or label in keys.values():
            raise ValueError(texts.COMMAND_KEY_SHORT.format(least=LEAST_KEY, line=number))
        keys[digest(key.strip())] = label
    return keys


def digest(key: str) -> str:
    """What is kept of a key. Keys are random and long, so a plain hash suffices."""
    return hashlib.sha256(key.encode()).hexdigest()


def label_of(authorization: str, keys: Mapping[str, str]) -> str | None:
    """Whose key an `Authorization: Bearer …` header holds; None when it is none of ours."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    told = digest(key.strip())
    labels = [label for known, label in keys.items() if hmac.compare_digest(known, told)]
    return labels[0] if labels else None


def _lines(path: str, what: str) -> list[str]:
    """Lines of a secret file that say something. Raises ValueError with a sentence that names no path."""
    try:
        file = Path(path)
        text, mode = file.read_text(encoding="utf-8"), file.stat().st_mode
    except (OSError, UnicodeDecodeError):
        raise ValueError(texts.COMMAND_SECRET_FILE.format(what=what)) from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(texts.COMMAND_SECRET_OPEN.format(what=what))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise ValueError(texts.COMMAND_SECRET_FILE.format(what=what))
    return lines
