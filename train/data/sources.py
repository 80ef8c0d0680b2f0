"""Every reader of the recipes by name: (folder, split) -> samples. One reader per public layout, shared with the
evaluation where a benchmark also has a training part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnivmed.eval import cholec80, endovis18, m3d, pathvqa, psi_ava, slake, vqa_rad
from omnivmed.eval.protocol import M3D_CLOSED
from omnivmed.records import Reading, SampleSet
from train.data import conversations
from train.data.samples import from_items
from train.recipes.config import Source

SHORT = "Answer the question using a single word or phrase."
"""Appended to questions of sets whose answers are words, so that the model learns to give long answers elsewhere."""


def _questions(read: Callable[[Path, str], Reading], prompt: str = SHORT) -> Callable[[Path, str], SampleSet]:
    def reader(root: Path, split: str) -> SampleSet:
        reading = read(root, split)
        return SampleSet(from_items(reading.items, prompt), reading.skipped)

    return reader


def _m3d_vqa(root: Path, split: str) -> SampleSet:
    """Every row twice: as multiple choice and as an open question."""
    closed, opened = m3d.read(root, split, "closed"), m3d.read(root, split, "open")
    asked = [(M3D_CLOSED.prompt(item), item) for item in closed.items]
    samples = [conversations.Sample(item.id, item.media, ((text, item.answer),)) for text, item in asked]
    return SampleSet((*samples, *from_items(opened.items)), closed.skipped)


READERS: dict[str, Callable[[Path, str], SampleSet]] = {
    "conversations": lambda path, split: conversations.read(path, path.stem),
    "pubmedvision": conversations.read_pubmedvision,
    "vqa_rad": _questions(vqa_rad.read),
    "vqa_rad_hub": _questions(lambda root, split: vqa_rad.read(root, split, "hub")),
    "slake": _questions(slake.read),
    "pathvqa": _questions(pathvqa.read),
    "m3d_vqa": _m3d_vqa,
    "m3d_cap": _questions(m3d.read_captions, prompt=""),
    "cholec80": _questions(cholec80.read),
    "endovis18": _questions(endovis18.read),
    "psi_ava": _questions(psi_ava.read),
}


def read_source(source: Source, data: Path, seed: int) -> SampleSet:
    """The samples of a source below the data folder; with `limit`, a draw fixed by the seed, in file order.

    Raises ValueError for an unknown reader, LayoutError when the data set is not there.
    """
    if source.reader not in READERS:
        raise ValueError(f"no reader {source.reader!r}; choose from {', '.join(READERS)}")
    found = READERS[source.reader](data / source.path, source.split)
    if source.limit is None or len(found.samples) <= source.limit:
        return found
    chosen = np.random.default_rng([seed, 1]).permutation(len(found.samples))[: source.limit]
    return SampleSet(tuple(found.samples[i] for i in sorted(chosen)), found.skipped)
