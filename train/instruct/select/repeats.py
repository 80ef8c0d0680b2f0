"""Rows that are there twice, and rows whose picture or text is in a test set: found by prints, before asking.

A picture's print is its difference hash: 9 x 8 grey values, each compared with its neighbour, 64 bits; the same picture
saved smaller or at another quality differs in a few of them. A text's print is a hash of its words. Clips and volumes
have prints of their first, middle and last frame. A crop, a mirror image and a paraphrase are not found.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from omnivmed.errors import StudyError
from omnivmed.eval.media import open_media
from omnivmed.records import Item, Media
from train.instruct.rows import shards
from train.instruct.rows.record import Record, RecordError
from train.instruct.rows.shards import Drop

NEAR = 3
"""Bits in which two prints of one picture may differ. Four pieces of 16 bits find every pair up to three apart."""
TELLING_WORDS = 8
"""A shorter answer ("yes", "left lung") is in every set and gives nothing away."""
FLAT = 2
"""Bits below which, or above 64 less which, a print is of a picture without structure, and says nothing."""


def picture_print(picture: Image.Image) -> int:
    """64 bits: whether each of 8 x 9 grey values is brighter than its right neighbour."""
    small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = (small[:, :-1] > small[:, 1:]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def prints_of(media: Media) -> tuple[int, ...]:
    """One print a still; three of a volume or a clip. Raises StudyError."""
    out: list[int] = []
    for study in open_media(media):
        with study:
            index = sorted({0, study.shape[0] // 2, study.shape[0] - 1})
            out += [picture_print(Image.fromarray(frame)) for frame in study.take(index)]
    return tuple(out)


def text_print(question: str, answer: str) -> int:
    """64 bits of the words of both, without case, punctuation and spacing."""
    words = " ".join(re.findall(r"\w+", f"{question} | {answer}".lower()))
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big")


def telling(answer: str) -> bool:
    """Whether an answer is long enough to be told again."""
    return len(re.findall(r"\w+", answer)) >= TELLING_WORDS


def structured(print_: int) -> bool:
    """Whether a print is of a picture with something on it: all black frames are alike and are no one's copy."""
    return FLAT < print_.bit_count() < 64 - FLAT


@dataclass
class Index:
    """Prints, asked for near ones: every print up to `NEAR` bits away is found."""

    pieces: tuple[dict[int, list[int]], ...] = field(default_factory=lambda: ({}, {}, {}, {}))

    def add(self, print_: int) -> None:
        """Remember a print; one without structure is not remembered."""
        if structured(print_):
            for place, piece in enumerate(_pieces(print_)):
                found = self.pieces[place].setdefault(piece, [])
                if print_ not in found:
                    found.append(print_)

    def near(self, print_: int) -> bool:
        """Whether one of the remembered is at most `NEAR` bits away."""
        return structured(print_) and any(
            (other ^ print_).bit_count() <= NEAR
            for place, piece in enumerate(_pieces(print_))
            for other in self.pieces[place].get(piece, ())
        )


def _pieces(print_: int) -> Iterator[int]:
    return (print_ >> shift & 0xFFFF for shift in (0, 16, 32, 48))


@dataclass(frozen=True)
class Leakage:
    """A stage: drops rows whose picture or telling text is in a test set, and stores the prints of the rest."""

    data: Path
    pictures: Index
    texts: frozenset[int]

    def __call__(self, record: Record) -> Record:
        """The record with its prints. Raises Drop."""
        if telling(record.answer) and text_print("", record.answer) in self.texts:
            raise Drop("its text is in a test set")
        if record.kind == "text":
            return record
        try:
            found = prints_of(record.media(self.data))
        except (StudyError, FileNotFoundError) as error:
            raise Drop(f"cannot be opened: {getattr(error, 'code', 'file missing')}") from None
        if any(self.pictures.near(p) for p in found):
            raise Drop("its picture is in a test set")
        return record.but(prints=tuple(f"{p:016x}" for p in found))


def known_from(items: Iterable[Item]) -> tuple[Index, frozenset[int], int]:
    """(pictures, telling texts, questions whose media could not be opened) of the test parts of benchmarks."""
    pictures, texts, closed = Index(), set(), 0
    seen: set[Media] = set()
    for item in items:
        if telling(item.answer):
            texts.add(text_print("", item.answer))
        if item.media in seen:
            continue
        seen.add(item.media)
        try:
            for print_ in prints_of(item.media):
                pictures.add(print_)
        except (StudyError, FileNotFoundError):
            closed += 1
    return pictures, frozenset(texts), closed


def unique(source: Path, target: Path) -> shards.Count:
    """Write the shards of `source` without rows that came before: the same words about the same pictures, each within
    `NEAR` bits. Of equal rows the first in order stays.

    Two passes: the first remembers 64 bits a row, the second the prints of those rows alone whose words occur twice.
    """
    keys = array("Q", (text_print(r.question, r.answer) for r in _readable(source)))
    ordered = np.sort(np.frombuffer(keys, np.uint64))
    doubled = frozenset(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist())
    del keys, ordered
    known: dict[int, list[tuple[int, ...]]] = {}

    def first(record: Record) -> Record:
        key = text_print(record.question, record.answer)
        if key not in doubled:
            return record
        prints = tuple(int(p, 16) for p in record.prints)
        if any(_alike(prints, other) for other in known.get(key, ())):
            raise Drop("the same row came before")
        known.setdefault(key, []).append(prints)
        return record

    # The stage remembers, so its shards are made anew, all of them and in order.
    for path in target.glob("*.jsonl") if target.is_dir() else ():
        path.unlink()
    return shards.run(first, source, target)


def _readable(folder: Path) -> Iterator[Record]:
    for line in shards.lines_of(folder):
        with suppress(RecordError):  # counted by the stage that follows
            yield Record.from_json(line)


def _alike(first: Sequence[int], second: Sequence[int]) -> bool:
    return len(first) == len(second) and all(
        (a ^ b).bit_count() <= NEAR for a, b in zip(first, second, strict=True)
    )
