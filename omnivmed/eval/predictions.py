"""Predictions on disk: one header line, then one line per answer, appended as they come.

A run that was interrupted goes on where it stopped; scoring reads the file and touches no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omnivmed.eval.protocol import Protocol
from omnivmed.records import Item

SCHEMA = "omnivmed.predictions/1"


@dataclass(frozen=True)
class Header:
    """What was asked of whom. Two files with equal headers hold answers to the same questions."""

    benchmark: str
    split: str
    protocol: str
    prompt_hash: str
    model: str
    threshold: float | None
    note: str
    questions: int
    schema: str = SCHEMA


@dataclass(frozen=True)
class Reply:
    """One answer. tokens_before, tokens_after: visual tokens before and after pruning; error: why there is none."""

    text: str
    seconds: float = 0.0
    tokens_before: int = 0
    tokens_after: int = 0
    error: str = ""


Answerer = Callable[[Item, str], Reply]
"""(item, prompt) -> reply. A failure is a reply with `error`, counted as an empty answer."""


class PredictionsError(Exception):
    """A predictions file that is damaged or belongs to other questions."""


def run(
    items: Sequence[Item],
    protocol: Protocol,
    header: Header,
    answer: Answerer,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Reply]:
    """Ask every question that has no answer in `path` yet; each reply is on disk before the next is asked.

    Raises PredictionsError when `path` holds answers to other questions or by another model.
    """
    replies: dict[str, Reply] = {}
    if path.exists():
        stored, replies = load(path)
        if stored != header:
            raise PredictionsError(f"{path.name} holds another run ({stored.model}, {stored.split}); move it")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(header)) + "\n", encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        for done, item in enumerate(items, start=1):
            if item.id not in replies:
                reply = answer(item, protocol.prompt(item))
                file.write(json.dumps({"id": item.id, **asdict(reply)}, ensure_ascii=False) + "\n")
                file.flush()
                replies[item.id] = reply
            if progress is not None:
                progress(done, len(items))
    return replies


def load(path: Path) -> tuple[Header, dict[str, Reply]]:
    """Header and replies by item id. A half-written last line (an interrupted run) is cut off.

    Raises PredictionsError for anything else that is not a predictions file.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[-1]:
        kept = "\n".join(lines[:-1])
        path.write_text(kept + "\n" if kept else "", encoding="utf-8")
    rows = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            raise PredictionsError(f"{path.name} line {number} is damaged") from None
    if not rows or rows[0].get("schema") != SCHEMA:
        raise PredictionsError(f"{path.name} does not begin with a {SCHEMA} header")
    try:
        header = Header(**rows[0])
        replies = {row.pop("id"): Reply(**row) for row in rows[1:]}
    except (TypeError, KeyError):
        raise PredictionsError(f"{path.name} has fields of another version") from None
    return header, replies


def texts(replies: dict[str, Reply]) -> dict[str, str]:
    """Item id -> answer text, for scoring; a failed answer is empty."""
    return {key: "" if reply.error else reply.text for key, reply in replies.items()}


def tokens_removed(replies: dict[str, Reply]) -> float | None:
    """Share of visual tokens that pruning removed over all answers; None when nothing was counted."""
    before = sum(r.tokens_before for r in replies.values())
    return 1 - sum(r.tokens_after for r in replies.values()) / before if before else None
