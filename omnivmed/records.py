"""Questions about pictures: one family of records for evaluation, training data and the recipe.

`Media` says which pictures, `QA` one question and answer apart from them, `Item` a benchmark's question with its
reference, `Sample` a training conversation; `Reading` and `SampleSet` are what a reader of a data set found.
Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    focus: place in `paths` of the frame that a question about a clip is about; None: about all of it.
    """

    kind: MediaKind
    paths: tuple[Path, ...] = ()
    window: tuple[float, float] | None = None
    fps: float | None = None
    num_slices: int | None = None
    focus: int | None = None

    def __post_init__(self) -> None:
        if (self.kind == "text") != (not self.paths):
            raise ValueError(f"{self.kind} media with {len(self.paths)} paths")
        if self.focus is not None and not 0 <= self.focus < len(self.paths):
            raise ValueError(f"a focus of {self.focus} in {len(self.paths)} frames")

    @property
    def dimension(self) -> str:
        """ "2D", "multi-image", "3D", "video" or "text"."""
        if self.kind == "image":
            return "2D" if len(self.paths) == 1 else "multi-image"
        return {"volume": "3D", "video": "video", "text": "text"}[self.kind]


@dataclass(frozen=True)
class About:
    """What is known of a row besides its words and pictures. Empty: not known, and counted as that.

    modality: one of `omnivmed.eval.kinds.MODALITIES`; task: one of `TASKS` there. source: name of the data set.
    patient: whoever the pictures are of, hashed where the set names people; rows of one patient stay on one side of
    a split.
    """

    modality: str = ""
    task: str = ""
    source: str = ""
    patient: str = ""


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
    about: About = About()


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
    about: About = About()

    def __post_init__(self) -> None:
        if not self.turns or not all(question.strip() and answer.strip() for question, answer in self.turns):
            raise ValueError(f"sample {self.id} has an empty question or answer")


@dataclass(frozen=True)
class Skipped:
    """A row that is left out or was read otherwise than it is written: its file and line, and why.

    by_rule: the data set's own protocol leaves it out (another language, another split); no fault of anybody.
    """

    name: str
    reason: str
    by_rule: bool = False


def by_reason(rows: Iterable[Skipped]) -> dict[str, int]:
    """Reason -> number of rows, in order of first sight."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.reason] = counts.get(row.reason, 0) + 1
    return counts


@dataclass(frozen=True)
class Reading:
    """What was found under a folder: the items in a fixed order, and every row that was left out, by name."""

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()
    note: str = field(default="")

    def skipped_by_reason(self) -> dict[str, int]:
        """Reason -> number of rows."""
        return by_reason(self.skipped)


@dataclass(frozen=True)
class SampleSet:
    """What a reader of training data found: samples in a fixed order, every row left out, and every row that was
    read otherwise than it is written (`altered`), by name and reason."""

    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = ()
    altered: tuple[Skipped, ...] = ()
