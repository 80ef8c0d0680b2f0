"""What the builder will ask of which service before anything is started: calls, tokens, hours, money.

Arithmetic over stated assumptions; every one of them stands in the table it makes and can be given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Of one service: calls, and tokens read and written by one call."""

    service: str
    calls: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class Price:
    """tokens_s: tokens written a second over all of a service's copies, reading counted `reads_as` times cheaper.
    dollars: (a million tokens read, a million written), None for a service of one's own."""

    tokens_s: float = 2_000.0
    reads_as: float = 20.0
    dollars: tuple[float, float] | None = None


@dataclass(frozen=True)
class Sheet:
    """Tokens of one request: a contact sheet of 5 x 3 frames of 224 pixels is about 1,700 patches of 28 x 28 merged
    four to one; words as in `prompts/`."""

    picture: int = 1_100
    caption_words: int = 250
    judge_words: int = 350
    caption: int = 150
    verdict: int = 30


def loads(graph: str, rows: int, candidates: int, judges: int, sheet: Sheet | None = None) -> list[Load]:
    """What each service is asked in all. graph: "captions" or "oka"; raises ValueError for another."""
    sheet = sheet or Sheet()
    caption = Load("captioner", rows * candidates, sheet.picture + sheet.caption_words, sheet.caption)
    verdict = (sheet.picture + sheet.judge_words, sheet.verdict)
    if graph == "captions":
        return [caption, *(Load(f"judge {n + 1}", rows * candidates, *verdict) for n in range(judges))]
    if graph == "oka":
        return [
            caption,
            Load("embedder", rows, (candidates + 1) * sheet.caption, 0),
            Load("matcher", rows, *verdict),
        ]
    raise ValueError(f"no graph {graph!r}: captions or oka")


def markdown(found: Sequence[Load], price: Price | None = None) -> str:
    """A table of services; the hours are those of one service after the other's pace, side by side they overlap."""
    price = price or Price()
    lines = [
        "| service | calls | tokens read, M | written, M | hours | dollars |",
        "|---|---|---|---|---|---|",
    ]
    for load in found:
        read, written = load.calls * load.tokens_in / 1e6, load.calls * load.tokens_out / 1e6
        hours = (written + read / price.reads_as) * 1e6 / price.tokens_s / 3600
        dollars = (
            "" if price.dollars is None else f"{read * price.dollars[0] + written * price.dollars[1]:,.0f}"
        )
        lines.append(
            f"| {load.service} | {load.calls:,} | {read:,.1f} | {written:,.1f} | {hours:,.1f} | {dollars} |"
        )
    return "\n".join(lines) + "\n"
