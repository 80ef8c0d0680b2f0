"""Questions about pictures: one family of records for evaluation, training data and the recipe.

`Media` says which pictures, `QA` one question and answer apart from them, `Item` a benchmark's question with its
reference, `Sample` a training conversation; `Reading` and `SampleSet` are what a reader of a data set found.
Nothing here opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MediaKind = Literal["image", "volume", "video", "text"]
Turn = tuple[str, str]
"""(question, answer)"""


@dataclass(frozen=True)
class Media:
    """The pictures a question is about.

    kind "image": one or more stills, each a path. "volume": one file, or the slices of one volume in order.
    "video": one file, or its frames in order (`fps` says how fast). "text": nothing.
    window: (level, width) in file units, None for the file's own. num_slices: at most so many of a volume.
    """

    kind: MediaKind
    paths: tuple[Path, ...] = ()
    window: tuple[float, float] | None = None
    fps: float | None = None
    num_slices: int | None = None

    def __post_init__(self) -> None:
        if (self.kind == "text") != (not self.paths):
            raise ValueError(f"{self.kind} media with {len(self.paths)} paths")


@dataclass(frozen=True)
class Item:
    """One question with its reference.

    id: unique within the benchmark, independent of the order of files. closed: one of few fixed answers
    (yes/no, a label, a letter). choices: the texts of A, B, C, … for multiple choice. category: question type
    or task, for per-type scores. group: image, volume or patient; answers of one group are not independent,
    intervals are drawn over groups.
    """

    id: str
    media: Media
    question: str
    answer: str
    closed: bool
    category: str = ""
    group: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class QA:
    """One question and answer about pictures named elsewhere.

    form: sentence | word | yesno | premise | refusal | caption | text. answer: {braces} may stand around the words
    that carry the information. key: the true value. history: earlier turns about the same study.
    """

    task: str
    form: str
    question: str
    answer: str
    key: str = ""
    history: tuple[Turn, ...] = ()

    @property
    def plain(self) -> str:
        """The answer as it is spoken."""
        return self.answer.replace("{", "").replace("}", "")


@dataclass(frozen=True)
class Sample:
    """One training sample: media and a conversation about them.

    id: unique within its source. turns: (question, answer), the media stand in the first question.
    Raises ValueError for an empty question or answer.
    """

    id: str
    media: Media
    turns: tuple[Turn, ...]

    def __post_init__(self) -> None:
        if not self.turns or not all(question.strip() and answer.strip() for question, answer in self.turns):
            raise ValueError(f"sample {self.id} has an empty question or answer")


@dataclass(frozen=True)
class Skipped:
    """A row that cannot be used: its name within the data set, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """What was found under a folder: the items in a fixed order, and every row that was left out, by name."""

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()
    note: str = field(default="")

    def skipped_by_reason(self) -> dict[str, int]:
        """Reason -> number of rows."""
        counts: dict[str, int] = {}
        for row in self.skipped:
            counts[row.reason] = counts.get(row.reason, 0) + 1
        return counts


@dataclass(frozen=True)
class SampleSet:
    """What a reader of training data found: samples in a fixed order, and every row left out, by name and reason."""

    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = ()
