"""One device, many people: queue, turn, stop and memory, whatever is done when the turn has come.

    with desk.served(job, advice):        # Busy when the queue is full
        ...                               # work that needs no device: reading, pruning
        yield from desk.wait(job)         # waiting, as stages; Cancelled when stopped
        yield from desk.hand_out(job, events)

Asking uses it (`engine`), and so can drawing or a client of another server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from omnivmed.errors import Busy, Cancelled, ModelError
from omnivmed.inference.events import Stage, TimingName, Timings
from omnivmed.inference.turns import LostTurn, Ticket, Turns

E = TypeVar("E")
WAIT_TICK_S = 0.5
#: A waiting listener hears of its place at least this often, so that one who left is noticed.
WAIT_TELL_S = 2.0


@dataclass
class Job:
    """What every piece of work has, whatever it makes: a stop flag, a place in the queue, a clock."""

    cancel: threading.Event = field(default_factory=threading.Event)
    ticket: Ticket = field(default_factory=Ticket)
    started: float = field(default_factory=time.perf_counter)
    timings: Timings = field(default_factory=Timings)

    def check(self) -> None:
        """Raises Cancelled when the listener asked to stop."""
        if self.cancel.is_set():
            raise Cancelled

    def since_start(self) -> float:
        """Seconds since the question was asked."""
        return time.perf_counter() - self.started

    def took(self, name: TimingName, seconds: float) -> None:
        """Add seconds to one of the timings."""
        self.timings = replace(self.timings, **{name: self.timings[name] + seconds})

    def add(self, name: TimingName, begun: float) -> None:
        """The same for what began at `begun` (`time.perf_counter`) and ends now."""
        self.took(name, time.perf_counter() - begun)


class Desk:
    """Serves one job at a time in order of arrival; at most `size` wait beside it."""

    def __init__(
        self, size: int, is_out_of_memory: Callable[[BaseException], bool], recover: Callable[[], None]
    ) -> None:
        """recover: give back what memory can be given back, after an error of that kind."""
        self.turns = Turns(size)
        self._is_out_of_memory = is_out_of_memory
        self._recover = recover

    def __len__(self) -> int:
        """People being served, waiting or about to wait."""
        return len(self.turns)

    @contextmanager
    def served(self, job: Job, advice: str) -> Iterator[None]:
        """A place for this job until the end of the block.

        Raises Busy when there is none or the turn was lost, and ModelError("OutOfMemory", advice) in place of any
        error of the block that means that.
        """
        if not self.turns.join(job.ticket):
            raise Busy(f"{len(self.turns)} people are waiting already. Please try again in a moment.")
        try:
            yield
        except LostTurn:
            raise Busy("Nobody listened to this answer for a while, so the next person was served.") from None
        except Exception as error:
            if not self._is_out_of_memory(error):
                raise
            self._recover()
            raise ModelError("OutOfMemory", advice) from None
        finally:
            self.turns.leave(job.ticket)

    def wait(self, job: Job) -> Generator[Stage, None, None]:
        """Wait for the turn; yields the place in the queue whenever it changes. Raises Cancelled, LostTurn."""
        begun = time.perf_counter()
        told, told_at = (0, 0), begun
        self.turns.line_up(job.ticket)
        while True:
            job.check()
            place, now = self.turns.place(job.ticket), time.perf_counter()
            if place[0] > 0 and (place != told or now - told_at >= WAIT_TELL_S):
                told, told_at = place, now
                yield Stage("waiting", *place)
            if self.turns.wait(job.ticket, WAIT_TICK_S):
                break
        job.add("wait", begun)

    def hand_out(self, job: Job, events: Generator[E, None, None]) -> Generator[E, None, None]:
        """The events one by one; a listener who takes none for long loses the turn. Raises LostTurn."""
        try:
            for event in events:
                self.turns.idle(job.ticket)
                yield event
                self.turns.busy(job.ticket)
        finally:
            events.close()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else is here; if so, the turn is held until the end of the block."""
        ticket = Ticket()
        if len(self.turns) or not self.turns.join(ticket):
            yield False
            return
        try:
            self.turns.line_up(ticket)
            yield self.turns.wait(ticket, 0)
        finally:
            self.turns.leave(ticket)
