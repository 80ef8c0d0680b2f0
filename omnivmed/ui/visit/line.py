"""A line before a few equal places: who came first goes first, and everybody can be told how many are before them."""

from __future__ import annotations

import threading


class Line:
    """`places`: how many may be served at once."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._waiting: list[object] = []  # in order of arrival, those being served at the front
        self._lock = threading.Lock()

    def join(self) -> object:
        """A ticket at the end of the line; give it to `leave` in any case."""
        ticket = object()
        with self._lock:
            self._waiting.append(ticket)
        return ticket

    def ahead(self, ticket: object) -> tuple[int, int]:
        """(how many have to be served before this one, how many wait in all); 0 before: it is this one's turn."""
        with self._lock:
            before = self._waiting.index(ticket) - self.places + 1
            return max(0, before), max(0, len(self._waiting) - self.places)

    def leave(self, ticket: object) -> None:
        """Served, or gone; harmless when repeated."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
