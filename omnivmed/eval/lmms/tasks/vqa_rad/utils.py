"""Functions that the task file names; the scorers are the ones of `omnivmed.eval.metrics`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omnivmed.eval.files import is_yes_no
from omnivmed.eval.metrics import llava_med_closed, llava_med_overlap


def doc_to_visual(doc: dict[str, Any]) -> list[Any]:
    """The picture of a row."""
    return [doc["image"].convert("RGB")]


def doc_to_text(doc: dict[str, Any]) -> str:
    """The question as it is: protocol A adds nothing."""
    return str(doc["question"]).strip()


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float | None]:
    """open_recall or closed_accuracy of one answer, None for the other; closed = the answer is yes or no."""
    answer, said = str(doc["answer"]).strip(), results[0]
    if is_yes_no(answer):
        return {"open_recall": None, "closed_accuracy": float(llava_med_closed(said, answer))}
    return {"open_recall": llava_med_overlap(said, answer).recall, "closed_accuracy": None}


def mean(values: Sequence[float | None]) -> float:
    """Over the questions that the measure is for."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else float("nan")
