"""What a selected row teaches: its own text, or the caption that was chosen for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from train.instruct.graph.steps import CAPTION_QUESTIONS, conversation
from train.instruct.rows.record import Record

TAGS = {"image": "<image>\n", "video": "<video>\n", "volume": "<volume>\n", "text": ""}


def turn_of(record: Record) -> tuple[str, str]:
    """(question, answer). A row with a chosen candidate is asked for a description and answers with it."""
    place = record.scores.get("candidate")
    if place is None:
        return record.question, record.answer
    return CAPTION_QUESTIONS.get(record.kind, record.question), str(record.candidates[int(place)]["text"])


def llava(record: Record) -> Mapping[str, Any]:
    """A row in the form of LLaVA and VideoLLaMA3: media by path, tags before the first question."""
    question, answer = turn_of(record)
    row = conversation(record, answer)
    tags = TAGS[record.kind] * (len(record.paths) if record.kind == "image" else 1)
    talk = [{"from": "human", "value": tags + question}, {"from": "gpt", "value": answer}]
    return {**row, "task": record.task or row["task"], "conversations": talk}
