"""Every reader of the recipes by name: (folder, split) -> samples. One reader per public layout, shared with the
evaluation where a benchmark also has a training part. Surgical sets give clips; "cholec80:16x0.5" gives other ones,
"cholec80-stills" single frames (`omnivmed.eval.registry`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnivmed.eval import m3d, m3d_tasks, pathvqa, slake, vqa_rad
from omnivmed.eval.files import LayoutError
from omnivmed.eval.protocol import M3D_CLOSED
from omnivmed.eval.registry import WITH_CLIPS, find
from omnivmed.records import Reading, Sample, SampleSet, Skipped, by_reason
from train.data import conversations, mimic_cxr, packed
from train.data.samples import from_items
from train.recipes.config import Source

SHORT = "Answer the question using a single word or phrase."
"""Appended to questions of sets whose answers are words, so that the model learns to give long answers elsewhere."""


def _questions(read: Callable[[Path, str], Reading], prompt: str = SHORT) -> Callable[[Path, str], SampleSet]:
    def reader(root: Path, split: str) -> SampleSet:
        reading = read(root, split)
        return SampleSet(from_items(reading.items, prompt), reading.skipped)

    return reader


def _m3d_retrieval(root: Path, split: str) -> SampleSet:
    found = m3d_tasks.read_retrieval(root, split)
    samples = [Sample(i.id, i.media, ((M3D_CLOSED.prompt(i), i.answer),), i.about) for i in found.items]
    return SampleSet(tuple(samples), found.skipped)


def _m3d_vqa(root: Path, split: str) -> SampleSet:
    """Every row twice: as multiple choice and as an open question."""
    closed, opened = m3d.read(root, split, "closed"), m3d.read(root, split, "open")
    asked = [(M3D_CLOSED.prompt(item), item) for item in closed.items]
    samples = [Sample(item.id, item.media, ((text, item.answer),), item.about) for text, item in asked]
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
    "m3d_retrieval": _m3d_retrieval,
    "m3d_positioning": _questions(m3d_tasks.read_positioning, prompt=""),
    "mimic_cxr": mimic_cxr.read,
    "packed": packed.read,
    **{
        name + ending: _questions(find(name + ending).read)
        for name in ("cholec80", "endovis18", "psi_ava")
        for ending in ("", "-stills")
    },
}


def reader(name: str) -> Callable[[Path, str], SampleSet]:
    """The reader of that name. Raises ValueError listing the names."""
    if name in READERS:
        return READERS[name]
    if name.partition(":")[0] in WITH_CLIPS:
        return _questions(find(name).read)
    raise ValueError(f"no reader {name!r}; choose from {', '.join(READERS)}")


STREAMS: dict[str, Callable[[Path, str], Iterator[conversations.Found]]] = {
    "conversations": lambda path, split: conversations.stream(path, path.stem),
    "pubmedvision": conversations.stream_pubmedvision,
}
"""Readers of the largest files: row by row what `READERS` give in one piece."""


def read_source(source: Source, data: Path, seed: int) -> SampleSet:
    """The samples of a source below the data folder; with `limit`, a draw fixed by the seed, in file order.

    Raises ValueError for an unknown reader, LayoutError when the data set is not there or gives no sample at all.
    """
    found = reader(source.reader)(data / source.path, source.split)
    if not found.samples:
        raise _nothing(source, found.skipped)
    if source.limit is None or len(found.samples) <= source.limit:
        return found
    chosen = np.random.default_rng([seed, 1]).permutation(len(found.samples))[: source.limit]
    return replace(found, samples=tuple(found.samples[i] for i in sorted(chosen)))


def stream_source(
    source: Source, data: Path, seed: int, take: Callable[[Sample], None]
) -> tuple[int, SampleSet]:
    """`read_source`, the samples handed to `take` one by one: (how many, a set with what was said of rows alone)."""
    if source.reader not in STREAMS or source.limit is not None:
        found = read_source(source, data, seed)
        for one in found.samples:
            take(one)
        return len(found.samples), replace(found, samples=())
    count = 0
    skipped: list[Skipped] = []
    altered: list[Skipped] = []
    for sample, told in STREAMS[source.reader](data / source.path, source.split):
        if sample is None:
            skipped += told
            continue
        take(sample)
        count += 1
        altered += told
    if not count:
        raise _nothing(source, skipped)
    return count, SampleSet((), tuple(skipped), tuple(altered))


def _nothing(source: Source, skipped: Sequence[Skipped]) -> LayoutError:
    why = "; ".join(f"{count} x {reason}" for reason, count in by_reason(skipped).items())
    first = f", first {skipped[0].name}" if skipped else ""
    return LayoutError(
        f"{source.path} ({source.reader}, {source.split}) gives no sample: {why or 'it holds no row'}{first}."
        " Put the data set there, or take the source out of the recipe"
    )
