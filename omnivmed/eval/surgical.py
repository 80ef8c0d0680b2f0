"""What the three surgical sets share: question files with `|` between fields, one frame per question."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from omnivmed.eval.files import question_lines
from omnivmed.eval.metrics import match_label
from omnivmed.records import Item, Media, Skipped


def frame_questions(
    name: str,
    file: Path,
    image: Path | None,
    labels: Iterable[str],
    *,
    group: str,
    category: str = "",
) -> tuple[list[Item], list[Skipped]]:
    """Items of one `question|answer` file about one frame; an answer off the label list is skipped and named."""
    items: list[Item] = []
    skipped: list[Skipped] = []
    labels = list(labels)
    for number, fields in question_lines(file):
        row = f"{file.parent.name}/{file.name} line {number}"
        item, reason = one(name, f"{group}/{file.stem}/{number}", image, fields, labels, group, category)
        if item is None:
            skipped.append(Skipped(row, reason))
        else:
            items.append(item)
    return items, skipped


def one(
    name: str,
    key: str,
    image: Path | None,
    fields: list[str],
    labels: list[str],
    group: str,
    category: str,
) -> tuple[Item | None, str]:
    """(item, "") or (None, reason) of the fields question, answer."""
    if len(fields) < 2 or not fields[0] or not fields[1]:
        return None, "not question|answer"
    if image is None or not image.is_file():
        return None, "image missing"
    label = match_label(fields[1], labels)
    if label is None:
        return None, "answer is not on the label list"
    item = Item(
        id=f"{name}/{key}",
        media=Media("image", (image,)),
        question=fields[0],
        answer=label.replace("_", " "),
        closed=True,
        category=category,
        group=group,
    )
    return item, ""
