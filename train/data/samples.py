"""Samples out of benchmark questions, and one hash over a set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from omnivmed.records import Item, Sample


def from_items(items: Sequence[Item], prompt: str = "") -> tuple[Sample, ...]:
    """Benchmark questions as single-turn samples; `prompt` is put after each question on a line of its own."""
    suffix = f"\n{prompt}" if prompt else ""
    return tuple(
        Sample(item.id, item.media, ((item.question + suffix, item.answer),), item.about) for item in items
    )


class ManifestHash:
    """`manifest_hash` of samples that come one by one."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, sample: Sample) -> None:
        """Take in the next sample."""
        media = sample.media
        names = [path.name for path in media.paths]
        seen = (media.window, media.fps, media.num_slices, media.focus)
        self._digest.update(repr((sample.id, media.kind, names, sample.turns, seen)).encode())

    def __str__(self) -> str:
        return self._digest.hexdigest()[:16]


def manifest_hash(samples: Iterable[Sample]) -> str:
    """16 hex digits over ids, conversations, file names and how the files are shown: changes when anything is added,
    removed or edited."""
    digest = ManifestHash()
    for sample in samples:
        digest.add(sample)
    return str(digest)


def held_out(sample_id: str, share: float) -> bool:
    """Whether a sample belongs to the validation part: by a hash of its id, the same in every stage and run."""
    return int.from_bytes(hashlib.sha256(sample_id.encode()).digest()[:8], "big") < share * 2**64
