"""What the three surgical sets share: question files with `|` between fields, each question about one frame of a video.

With a `Clip` the question is about that frame within a short clip of its neighbours; without one it is about the
frame as a still, which no pruning touches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnivmed.eval.clips import Clip, Frames, asked_about
from omnivmed.eval.files import question_lines
from omnivmed.eval.metrics import match_label
from omnivmed.records import About, Item, Media, Skipped

PLACES = ("left", "right", "top", "bottom")


@dataclass(frozen=True)
class Surgery:
    """One surgical set. name: of the benchmark; source: of the data set; clip: None for stills."""

    name: str
    source: str
    labels: tuple[str, ...]
    clip: Clip | None

    @property
    def note(self) -> str:
        """For reports."""
        shown = "single frames" if self.clip is None else self.clip.note
        return f"{len(self.labels)} labels; {shown}"

    def questions(
        self, file: Path, frames: Frames, number: int, group: str, category: str = ""
    ) -> tuple[list[Item], list[Skipped]]:
        """Items of one `question|answer` file about frame `number`; an answer off the label list is skipped and
        named by its line."""
        items: list[Item] = []
        skipped: list[Skipped] = []
        for line, fields in question_lines(file):
            key = f"{group}/{file.stem}/{line}"
            item, reason = self.question(key, frames, number, fields, group, category)
            if item is None:
                skipped.append(Skipped(f"{file.parent.name}/{file.name} line {line}", reason))
            else:
                items.append(item)
        return items, skipped

    def question(
        self, key: str, frames: Frames, number: int | None, fields: list[str], group: str, category: str
    ) -> tuple[Item | None, str]:
        """(item, "") or (None, reason) of the fields question, answer."""
        if len(fields) < 2 or not fields[0] or not fields[1]:
            return None, "not question|answer"
        if number is None or number not in frames.files:
            return None, "image missing"
        label = match_label(fields[1], self.labels)
        if label is None:
            return None, "answer is not on the label list"
        if self.clip is None:
            media = Media("image", (frames.files[number],))
        else:
            media = frames.media(number, self.clip)
        item = Item(
            id=f"{self.name}/{key}",
            media=media,
            question=asked_about(fields[0], media),
            answer=label.replace("_", " "),
            closed=True,
            category=category,
            group=group,
            about=About("surgical video", task_of_label(label), self.source, group),
        )
        return item, ""


def task_of_label(label: str) -> str:
    """Places are locations, the kidney is anatomy, everything else is about the work: phase, step, tool, state."""
    if any(word in PLACES for word in label.replace("-", " ").split()):
        return "location"
    return "anatomy" if label == "kidney" else "workflow"
