"""Token ids → text as it comes: whole characters only, although a character may span several tokens."""

from __future__ import annotations

from collections.abc import Callable

#: A UTF-8 character has at most four bytes, hence at most four byte-level tokens.
_LONGEST = 4
_BROKEN = "\ufffd"


class Pieces:
    """Feeds token ids in, gives text out; white space before the first word is left away."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._pending: list[int] = []
        self._begun = False

    def push(self, token: int) -> str:
        """Text that `token` completes; empty while a character is still unfinished."""
        self._pending.append(token)
        text = self._decode(self._pending)
        if text.endswith(_BROKEN) and len(self._pending) < _LONGEST:
            return ""
        return self._emit(text)

    def flush(self) -> str:
        """What is left at the end of the answer, even if its last character is broken."""
        return self._emit(self._decode(self._pending)) if self._pending else ""

    def _emit(self, text: str) -> str:
        self._pending = []
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text
