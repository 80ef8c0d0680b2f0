"""One training sample: media and a conversation about it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from omnivmed.eval.items import Item, Media, Skipped

Turn = tuple[str, str]


@dataclass(frozen=True)
class Sample:
    """id: unique within its source. turns: (question, answer), the media stand in the first question."""

    id: str
    media: Media
    turns: tuple[Turn, ...]

    def __post_init__(self) -> None:
        if not self.turns or not all(question.strip() and answer.strip() for question, answer in self.turns):
            raise ValueError(f"sample {self.id} has an empty question or answer")


@dataclass(frozen=True)
class SampleSet:
    """What a reader found: samples in a fixed order, and every row left out, by name and reason."""

    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = ()


def from_items(items: Sequence[Item], prompt: str = "") -> tuple[Sample, ...]:
    """Benchmark questions as single-turn samples; `prompt` is put after each question on a line of its own."""
    suffix = f"\n{prompt}" if prompt else ""
    return tuple(Sample(item.id, item.media, ((item.question + suffix, item.answer),)) for item in items)


def manifest_hash(samples: Sequence[Sample]) -> str:
    """16 hex digits over ids, conversations and file names: changes when anything is added, removed or edited."""
    digest = hashlib.sha256()
    for sample in samples:
        names = [path.name for path in sample.media.paths]
        digest.update(repr((sample.id, sample.media.kind, names, sample.turns)).encode())
    return digest.hexdigest()[:16]
