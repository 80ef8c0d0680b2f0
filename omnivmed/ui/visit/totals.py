"""How much all visitors together may hold, and who gives way: the study that has been idle longest goes first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Holding:
    """What one visitor holds. `busy`: an answer is being written or a study opened; such a one never gives way."""

    key: str
    memory: int  # bytes of decoded pixels
    disk: int  # bytes of files, uploads and what was made of them
    idle_s: float
    busy: bool = False


def who_gives_way(
    holdings: Sequence[Holding], *, memory: int = 0, disk: int = 0, most_memory: int, most_disk: int
) -> list[str] | None:
    """Keys of the visitors whose studies have to go before `memory` and `disk` more bytes fit.

    [] when they fit as it is; None when they would not fit even if everybody idle gave way, and then nobody has to.
    """
    over_memory = sum(one.memory for one in holdings) + memory - most_memory
    over_disk = sum(one.disk for one in holdings) + disk - most_disk
    leaving: list[str] = []
    for one in sorted(holdings, key=lambda one: one.idle_s, reverse=True):
        if over_memory <= 0 and over_disk <= 0:
            break
        helps = (over_memory > 0 and one.memory > 0) or (over_disk > 0 and one.disk > 0)
        if one.busy or not helps:
            continue
        leaving.append(one.key)
        over_memory -= one.memory
        over_disk -= one.disk
    return leaving if over_memory <= 0 and over_disk <= 0 else None
