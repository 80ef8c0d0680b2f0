"""Samples out of benchmark questions, and one hash over a set of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from omnivmed.records import Item, Sample


def from_items(items: Sequence[Item], prompt: str = "") -> tuple[Sample, ...]:
    """Benchmark questions as single-turn samples; `prompt` is put after each question on a line of its own."""
    suffix = f"\n{prompt}" if prompt else ""
    return tuple(
        Sample(item.id, item.media, ((item.question + suffix, item.answer),), item.about) for item in items
    )


def manifest_hash(samples: Sequence[Sample]) -> str:
    """16 hex digits over ids, conversations, file names and how the files are shown: changes when anything is added,
    removed or edited."""
    digest = hashlib.sha256()
    for sample in samples:
        names = [path.name for path in sample.media.paths]
        media = sample.media
        seen = (media.window, media.fps, media.num_slices, media.focus)
        digest.update(repr((sample.id, media.kind, names, sample.turns, seen)).encode())
    return digest.hexdigest()[:16]
