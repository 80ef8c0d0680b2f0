"""One model, several people: whoever came first goes first, and one who stops listening loses the turn.

A turn belongs to a ticket, not to a thread: an answer is a generator, and a server may drive each of its steps
from another thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field

#: A listener who holds the turn but takes no event for this long gives it up to the next one waiting.
PATIENCE_S = 30.0


@dataclass(eq=False)
class Ticket:
    """A place in the queue; `idle_since` is set while its holder waits for its listener."""

    lost: bool = False
    idle_since: float | None = field(default=None)


class LostTurn(Exception):
    """The turn went to somebody else because this one's listener took nothing for too long."""


class Turns:
    """First in, first out. At most `size` tickets have a place beside the one being served.

    A place is taken by `join`, before the work that needs no turn; the order is that of `line_up`, so that who still
    reads a long study keeps nobody from being served.
    """

    def __init__(self, size: int, patience_s: float = PATIENCE_S) -> None:
        self.size = size
        self.patience_s = patience_s
        self._queue: deque[Ticket] = deque()
        self._coming: set[Ticket] = set()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._queue) + len(self._coming)

    def join(self, ticket: Ticket) -> bool:
        """Take a place; False when all are taken."""
        with self._changed:
            if len(self) > self.size:
                return False
            self._coming.add(ticket)
            return True

    def line_up(self, ticket: Ticket) -> None:
        """Go to the end of the queue."""
        with self._changed:
            self._coming.discard(ticket)
            self._queue.append(ticket)

    def place(self, ticket: Ticket) -> tuple[int, int]:
        """(people before this ticket, people waiting); 0 before means: it is this one's turn."""
        with self._changed:
            if ticket.lost:
                raise LostTurn
            return self._queue.index(ticket), len(self._queue) - 1

    def wait(self, ticket: Ticket, timeout_s: float) -> bool:
        """Wait until it is this ticket's turn, at most `timeout_s`; True when it is."""
        with self._changed:
            if not self._first(ticket):
                self._changed.wait(timeout_s)
            return self._first(ticket)

    def _first(self, ticket: Ticket) -> bool:
        head = self._queue[0]
        gone = head.idle_since is not None and time.monotonic() - head.idle_since > self.patience_s
        if head is not ticket and gone:
            head.lost = True
            self._queue.popleft()
            self._changed.notify_all()
        return self._queue[0] is ticket

    def idle(self, ticket: Ticket) -> None:
        """The holder now waits for its listener (an event was handed out)."""
        ticket.idle_since = time.monotonic()

    def busy(self, ticket: Ticket) -> None:
        """The holder goes on working. Raises LostTurn when the turn was given away meanwhile."""
        with self._changed:
            ticket.idle_since = None
            if ticket.lost:
                raise LostTurn

    def leave(self, ticket: Ticket) -> None:
        """Give the turn (or the place in the queue) up; harmless when repeated."""
        with self._changed:
            self._coming.discard(ticket)
            if ticket in self._queue:
                self._queue.remove(ticket)
            self._changed.notify_all()
