"""Which rows stay: O-K-A's quality control, and the rejection of captions by judges. Pure functions of stored scores.

O-K-A (UniMedVL, arXiv 2510.15710): text of 10 to 1,024 characters, pictures of 128 pixels at least; S the largest
cosine of the original text to the candidates, M the match of picture and original text, both brought to [0, 1]; keep
the upper half by 0.5 S + M. The original text stays the target.

Rejection (OmniV-Med §3): judges give relevance, fluency and accuracy 1 to 5; which bar is not published, so it is
`Bar`, applied after the asking.

Nothing without all its scores is ever selected.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from train.instruct.rows.record import Record
from train.instruct.rows.shards import Drop

CRITERIA = ("relevance", "fluency", "accuracy")
LOWEST, HIGHEST = 1, 5
TEXT_CHARACTERS = (10, 1024)
SHORTER_SIDE = 128
WEIGHT = 0.5
KEEP = 0.5


def within_limits(record: Record) -> Record:
    """A stage: text within its limits, and the picture's shorter side ("shorter_side" in scores) large enough.

    Raises Drop.
    """
    low, high = TEXT_CHARACTERS
    if not low <= len(record.answer) <= high:
        raise Drop(f"text is not of {low} to {high} characters")
    side = record.scores.get("shorter_side")
    if record.kind != "text" and (side is None or not side >= SHORTER_SIDE):
        raise Drop(f"shorter side below {SHORTER_SIDE} pixels, or not known")
    return record


@dataclass(frozen=True, eq=False)
class Chosen:
    """The selected rows by the hashes of their ids, so that a million of them take 8 MB: `"id" in chosen`.

    taken: bool (rows,), in the order they were given. bar: lowest combined score among them, nan when none.
    unscored: rows that lack S or M.
    """

    keys: np.ndarray
    taken: np.ndarray
    bar: float
    unscored: int

    def __contains__(self, name: str) -> bool:
        key = key_of(name)
        place = int(np.searchsorted(self.keys, np.uint64(key)))
        return place < len(self.keys) and int(self.keys[place]) == key

    def __len__(self) -> int:
        return len(self.keys)


def key_of(name: str) -> int:
    """64 bits of a row's id; of a million ids two are the same with a chance of 3 in 10⁸."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def oka(rows: Iterable[tuple[str, float, float]], keep: float = KEEP, weight: float = WEIGHT) -> Chosen:
    """The upper part of (id, S, M) by weight x S + M, each brought to [0, 1] over the rows given (the paper says the
    range, not how; a constant score counts 0). Of n scored rows ceil(keep x n) stay; equal scores go by a hash of the
    id, so the order of the rows decides nothing. A row whose S or M is not a number is counted and never selected.

    Raises ValueError for keep outside 0..1 or an id that occurs twice.
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"keep is a share from 0 to 1, got {keep}")
    keys, similar, match = array("Q"), array("d"), array("d")
    for name, s, m in rows:
        keys.append(key_of(name))
        similar.append(s)
        match.append(m)
    # 24 bytes a row; what follows works in place, so that a million rows cost tens of megabytes and not hundreds.
    key, s_all, m_all = (
        np.frombuffer(a, t) for a, t in ((keys, np.uint64), (similar, float), (match, float))
    )
    ordered = np.sort(key)
    if doubled := int((ordered[1:] == ordered[:-1]).sum()):
        raise ValueError(f"{doubled} ids occur twice")
    del ordered
    taken = np.isfinite(s_all) & np.isfinite(m_all)
    scored = int(taken.sum())
    unscored = len(key) - scored
    # A share such as 0.1 x 30 must not gain a row by rounding up 3.0000000000000004.
    count = math.ceil(keep * scored - 1e-9)
    if not count:
        return Chosen(key[:0].copy(), np.zeros(len(key), bool), math.nan, unscored)
    _unit(s_all, taken)
    _unit(m_all, taken)
    np.multiply(s_all, weight, out=s_all)
    np.add(s_all, m_all, out=m_all)
    m_all[~taken] = -math.inf
    s_all[:] = m_all
    s_all.partition(len(key) - count)
    bar = float(s_all[len(key) - count])
    taken &= m_all >= bar
    level = np.flatnonzero(m_all == bar)
    too_many = int(taken.sum()) - count
    if too_many:
        taken[level[np.argsort(key[level])[len(level) - too_many :]]] = False
    return Chosen(np.sort(key[taken]), taken, bar, unscored)


def _unit(values: np.ndarray, where: np.ndarray) -> None:
    """Bring values to [0, 1] over the rows `where` holds, in place; what it does not hold comes to nothing."""
    values[~where] = 0
    low = float(np.min(values, where=where, initial=math.inf))
    high = float(np.max(values, where=where, initial=-math.inf))
    values -= low
    if high > low:
        values /= high - low
    else:
        values[:] = 0


def similarity(record: Record, vectors: Mapping[str, Sequence[float]]) -> float:
    """S: the largest cosine of the original text to the candidates; nan without candidates or vectors.

    vectors: text -> embedding.
    """
    own = vectors.get(record.answer)
    found = [v for c in record.candidates if (v := vectors.get(str(c["text"]))) is not None]
    if own is None or not found:
        return math.nan
    return max(_cosines(own, found))


def _cosines(own: Sequence[float], others: Sequence[Sequence[float]]) -> list[float]:
    rows = np.asarray([own, *others], float)
    norms = np.sqrt((rows * rows).sum(1))
    dots = rows[1:] @ rows[0]
    return [
        float(d / (norms[0] * n)) if norms[0] * n > 0 else 0.0 for d, n in zip(dots, norms[1:], strict=True)
    ]


@dataclass(frozen=True)
class Bar:
    """lowest: of any judge in any criterion. mean: over judges and criteria. judges: how many must have answered."""

    lowest: float = 3.0
    mean: float = 4.0
    judges: int = 2


def best_candidate(record: Record, bar: Bar = Bar()) -> tuple[int, float] | None:
    """(place, mean score) of the candidate that passes the bar with the highest mean; the earlier of equals.

    None when none passes: the row is rejected. A judgement counts only with all three criteria as numbers from 1 to 5.
    """
    best: tuple[int, float] | None = None
    for place, candidate in enumerate(record.candidates):
        if candidate.get("fault"):
            continue
        given = [
            points for j in record.judgements if j.get("candidate") == place and (points := points_of(j))
        ]
        judges = {
            str(j.get("judge")) for j in record.judgements if j.get("candidate") == place and points_of(j)
        }
        if len(judges) < bar.judges:
            continue
        values = [value for points in given for value in points]
        mean = sum(values) / len(values)
        if min(values) >= bar.lowest and mean >= bar.mean and (best is None or mean > best[1]):
            best = (place, mean)
    return best


def points_of(judgement: Mapping[str, object]) -> tuple[float, ...] | None:
    """The three numbers of a judgement's "scores", None when one is missing or out of range."""
    scores = judgement.get("scores")
    if not isinstance(scores, Mapping):
        return None
    values = []
    for name in CRITERIA:
        value = scores.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not LOWEST <= value <= HIGHEST:
            return None
        values.append(float(value))
    return tuple(values)


def weighted_kappa(first: Sequence[int], second: Sequence[int]) -> float:
    """Agreement of two judges on the same things, 1 to 5, quadratic weights (Cohen 1968): 1 whole, 0 chance.

    nan for nothing, or where chance alone explains everything. Raises ValueError for different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} judgements")
    table = np.zeros((HIGHEST - LOWEST + 1,) * 2, dtype=np.int64)
    for a, b in zip(first, second, strict=True):
        table[a - LOWEST, b - LOWEST] += 1
    return kappa_of(table)


def kappa_of(table: np.ndarray) -> float:
    """The same from a (5, 5) table of how often the first judge gave one number and the second the other."""
    total = float(table.sum())
    if not total:
        return math.nan
    size = len(table)
    weights = np.square(np.subtract.outer(np.arange(size), np.arange(size))) / (size - 1) ** 2
    chance = np.outer(table.sum(1), table.sum(0)) / total
    expected = float((weights * chance).sum())
    return 1 - float((weights * table).sum()) / expected if expected > 0 else math.nan
