"""One row on its way through the builder: what it is about, what it may be used for, what was said and scored.

JSON lines, one record each. Raw answers of services are kept as they came; scores and selection are made of them
afterwards and can be made again by another rule without asking anybody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

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
    known. split: "train" or "test", by patient. licence, terms: as the source gives them, and what a user of the row
    must be told (`train.instruct.rows.licences`).

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
    terms: str = ""
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
        """One line without its end. A score that is not a number becomes null. Raises TypeError for broken text."""
        return self.to_bytes().decode()

    def to_bytes(self) -> bytes:
        """As `to_json`, in UTF-8."""
        return orjson.dumps(self.__dict__)  # no copy of what is written and forgotten

    @classmethod
    def from_json(cls, line: str | bytes) -> Record:
        """Raises RecordError."""
        try:
            values = orjson.loads(line)
        except ValueError:
            raise RecordError("not JSON") from None
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            raise RecordError(f"not a record of {SCHEMA}")
        if values.keys() != _NAMES:
            if unknown := sorted(values.keys() - _NAMES):
                raise RecordError(f"unknown fields {unknown}")
            if missing := sorted(_NEEDED - values.keys()):
                raise RecordError(f"lacks {missing}")
            values = {**_DEFAULTS, "scores": {}, **values}
        for name in _LISTS:
            values[name] = tuple(values[name] or ())
        if values["window"] is not None:
            values["window"] = tuple(values["window"])
        if not values["id"] or not _said(values["question"]) or not _said(values["answer"]):
            raise RecordError("no id, question or answer")
        # As the constructor would, without its twenty guarded assignments: a third of the time of a stage.
        record = object.__new__(cls)
        object.__setattr__(record, "__dict__", values)
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

    def but(self, **values: Any) -> Record:
        """The record with other values in some fields: `dataclasses.replace` at a tenth of its time.

        Raises TypeError for a field that is none.
        """
        if not values.keys() <= _NAMES:
            raise TypeError(f"no fields {sorted(values.keys() - _NAMES)}")
        record = object.__new__(Record)
        object.__setattr__(record, "__dict__", {**self.__dict__, **values})
        return record

    def score(self, name: str) -> float:
        """The score of that name, nan where there is none."""
        value = self.scores.get(name)
        return math.nan if value is None else float(value)

    def with_scores(self, **scores: float) -> Record:
        """The record with further scores."""
        return self.but(scores={**self.scores, **scores})


def _said(text: object) -> bool:
    return isinstance(text, str) and not (not text or text.isspace())


_NAMES = frozenset(f.name for f in fields(Record))
_NEEDED = frozenset(f.name for f in fields(Record) if f.default is MISSING and f.default_factory is MISSING)
_DEFAULTS = {f.name: f.default for f in fields(Record) if f.default is not MISSING}
_LISTS = ("paths", "prints", "candidates", "judgements")


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
                terms=licence_of(about.source).note,
                patient=about.patient,
                split=split,
                window=media.window,
                fps=media.fps,
                focus=media.focus,
                num_slices=media.num_slices,
            )
