"""Who may wait for what, and how much of it: shares of the queue per page, per caller and per address.

Work is of three kinds that never wait for each other: *answers* of the model, *openings* of uploads in the decoder,
and everything *quick* (samples, a moved threshold, a part cut out). Each kind has so many places. One page, or one
program that names no page, has a share; all that comes from one network address three quarters, where
addresses tell people apart (not on a loopback, where everybody has the same).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["answers", "openings", "quick"]
KINDS: tuple[Kind, ...] = ("answers", "openings", "quick")
#: Concurrency ids of the page's events → kind of work; whatever is not named here is quick.
KIND_OF: dict[str, Kind] = {"model": "answers", "open": "openings", "clip": "openings"}
LOOPBACK_ADDRESSES = frozenset({"127.0.0.1", "::1", "localhost", ""})


@dataclass(frozen=True)
class Caller:
    """Who asks: a page (its session hash), a program with a key, or a program that names neither."""

    page: str | None
    address: str
    key: str | None = None

    @property
    def name(self) -> tuple[str, str]:
        """What shares are counted by. Programs without a page count together, by key or by address."""
        if self.key is not None:
            return ("key", self.key)
        return ("page", self.page) if self.page is not None else ("address", self.address)


@dataclass(frozen=True)
class Places:
    """How many events of each kind may wait or run, and how many of one kind a single caller may have (`share`)."""

    answers: int
    openings: int
    quick: int
    share: int

    def of(self, kind: Kind) -> int:
        """Places of this kind."""
        return int(getattr(self, kind))

    @property
    def total(self) -> int:
        """Places of all kinds together."""
        return sum(self.of(kind) for kind in KINDS)

    def of_address(self, kind: Kind) -> int:
        """Places of all callers at one network address together."""
        return max(2, self.of(kind) * 3 // 4)


Refusal = Literal["full", "share"]


def refusal(
    places: Places, kind: Kind, caller: Caller, present: Iterable[tuple[Kind, Caller]]
) -> Refusal | None:
    """Why one more event of this caller has to be refused, None when it may come in.

    present: (kind, caller) of every event that waits or runs. "share": this caller holds as many as one may, others
    still get in; "full": nobody does.
    """
    same = [other for other_kind, other in present if other_kind == kind]
    if sum(other.name == caller.name for other in same) >= places.share:
        return "share"
    if caller.address not in LOOPBACK_ADDRESSES:
        at_address = sum(other.address == caller.address for other in same)
        if at_address >= places.of_address(kind):
            return "share"
    return "full" if len(same) >= places.of(kind) else None
