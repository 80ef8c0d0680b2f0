"""One row on its way through the builder: what it is about, what it may be used for, what was said and scored.

JSON lines, one record each. Raw answers of services are kept as they came; scores and selection are made of them
afterwards and can be made again by another rule without asking anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from omnivmed.records import Media, Sample
from train.instruct.rows.licences import licence_of

SCHEMA = "omnivmed.instruct/1"


class RecordError(ValueError):
    """A line that is no record of this schema; the message says what is wrong with it."""


@dataclass(frozen=True)
class Record:
    """id: unique over the whole set. kind, paths, window, fps, focus, num_slices: the media, paths below the data
    folder (`omnivmed.records.Media`). question, answer: of the source; the answer stays the target whatever is
    generated. modality, task, dimension: `omnivmed.eval.kinds`, "" where not known. patient: hashed, "" where not
    known. split: "train" or "test", by patient.

    prints: of the pictures (`train.instruct.select.repeats`). candidates: texts of services with their origin.
    judgements: raw answers of judges. scores: numbers by name.
    """

    id: str
    kind: str
    paths: tuple[str, ...]
    question: str
    answer: str
    modality: str = ""
    task: str = ""
    dimension: str = ""
    source: str = ""
    licence: str = ""
    patient: str = ""
    split: str = "train"
    window: tuple[float, float] | None = None
    fps: float | None = None
    focus: int | None = None
    num_slices: int | None = None
    prints: tuple[str, ...] = ()
    candidates: tuple[Mapping[str, Any], ...] = ()
    judgements: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    schema: str = SCHEMA

    def to_json(self) -> str:
        """One line without its end."""
        return _ENCODER.encode(vars(self))  # no copy of what is written and forgotten

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Raises RecordError."""
        try:
            values = json.loads(line)
        except ValueError:
            raise RecordError("not JSON") from None
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            raise RecordError(f"not a record of {SCHEMA}")
        if unknown := sorted(values.keys() - _NAMES):
            raise RecordError(f"unknown fields {unknown}")
        if missing := sorted(_NEEDED - values.keys()):
            raise RecordError(f"lacks {missing}")
        for name in ("paths", "prints", "candidates", "judgements"):
            values[name] = tuple(values.get(name) or ())
        if values.get("window") is not None:
            values["window"] = tuple(values["window"])
        # As the constructor would, without its twenty guarded assignments: a third of the time of a stage.
        record = object.__new__(cls)
        record.__dict__.update(_DEFAULTS)
        record.__dict__.update(values)
        if not record.id or not record.question.strip() or not record.answer.strip():
            raise RecordError("no id, question or answer")
        return record

    def media(self, data: Path) -> Media:
        """The media, their paths below `data`."""
        return Media(
            self.kind,  # type: ignore[arg-type]
            tuple(data / path for path in self.paths),
            window=self.window,
            fps=self.fps,
            focus=self.focus,
            num_slices=self.num_slices,
        )

    def with_scores(self, **scores: float) -> Record:
        """The record with further scores."""
        return replace(self, scores={**self.scores, **scores})


_NAMES = frozenset(f.name for f in fields(Record))
_NEEDED = frozenset(f.name for f in fields(Record) if f.default is MISSING and f.default_factory is MISSING)
_DEFAULTS = {f.name: f.default for f in fields(Record) if f.default is not MISSING} | {"scores": {}}
_ENCODER = json.JSONEncoder(ensure_ascii=False)


def from_samples(samples: Iterable[Sample], data: Path, split: str = "train") -> Iterator[Record]:
    """Single-turn records of a reader's samples (`train.data.sources`); later turns are rows of their own.

    Raises ValueError for media outside the data folder.
    """
    for sample in samples:
        media, about = sample.media, sample.about
        paths = tuple(path.resolve().relative_to(data.resolve()).as_posix() for path in media.paths)
        for number, (question, answer) in enumerate(sample.turns):
            yield Record(
                id=sample.id if number == 0 else f"{sample.id}/turn {number}",
                kind=media.kind,
                paths=paths,
                question=question,
                answer=answer,
                modality=about.modality,
                task=about.task,
                dimension=media.dimension,
                source=about.source,
                licence=licence_of(about.source).name,
                patient=about.patient,
                split=split,
                window=media.window,
                fps=media.fps,
                focus=media.focus,
                num_slices=media.num_slices,
            )
