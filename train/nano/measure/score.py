"""Scores with their intervals, and the ship rule: what nano may say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from omnivmed.eval.intervals import wilson
from omnivmed.model.prompts import Kind
from train.nano.text.questions import QA, SHORT_TASKS

MARGIN = 0.10  # this far above every baseline, with the lower end of the interval above them too
LEAST = 10  # answers below which nothing is shown
LEAST_SOURCE = 6  # answers of one source below which it cannot veto


class Subject(Protocol):
    """Whatever is asked about: a study as opened (``door.Opened``) or as trained on (``studies.StudyView``)."""

    @property
    def record_id(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def source(self) -> str: ...


Case = tuple[Subject, list[QA]]
Answer = tuple[Case, int, bool, str]  # case, question number, right, what was said


@dataclass(frozen=True)
class Score:
    """How many of the questions were answered rightly."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """0 to 1; 0 where nothing was asked."""
        return self.right / self.asked if self.asked else 0.0

    def cell(self) -> str:
        """Per cent with Wilson's 95 % interval, for a table."""
        low, high = wilson(self.right, self.asked)
        return f"{100 * self.share:.0f} [{100 * low:.0f}-{100 * high:.0f}]"


def keys_of(study: Subject, qa: QA) -> tuple[str, str]:
    """``kind:task`` and ``kind:task@source``."""
    return f"{study.kind}:{qa.task}", f"{study.kind}:{qa.task}@{study.source}"


def tally(results: Iterable[Answer]) -> dict[str, Score]:
    """Scores by ``kind:task`` and ``kind:task@source``."""
    cells: dict[str, list[int]] = {}
    for (study, asked), number, good, _ in results:
        for key in keys_of(study, asked[number]):
            cell = cells.setdefault(key, [0, 0])
            cell[0] += good
            cell[1] += 1
    return {k: Score(*v) for k, v in sorted(cells.items())}


def majority(cases: Sequence[Case]) -> dict[str, Score]:
    """Always the commonest answer of the task; for ``task@source`` of that source, where it has two or more.

    (A source with one value says nothing about guessing: there blank and shuffled pictures are the baselines.)
    """
    keys: dict[str, Counter[str]] = {}
    for study, asked in cases:
        for qa in asked:
            for key in keys_of(study, qa):
                keys.setdefault(key, Counter())[qa.key] += 1
    return {k: Score(max(c.values()), sum(c.values())) for k, c in keys.items() if len(c) > 1}


def beats(own: Score, *baselines: Score) -> bool:
    """Above every baseline by MARGIN, and the lower end of the 95 % interval above them too."""
    best = max((b.share for b in baselines), default=0.0)
    return own.asked >= LEAST and own.share >= best + MARGIN and wilson(own.right, own.asked)[0] > best


def fails(own: Score, best: float) -> bool:
    """A source on which nano is shown to be no better than guessing there (``best``), or wrong more often than right:
    its whole interval is under ``best`` + MARGIN, or under one half.

    Where guessing is all but perfect, as on a source with one value, nothing can lie above it: there nano fails
    when its whole interval is below it by MARGIN.
    """
    bar = max(best + MARGIN, 0.5) if best + MARGIN < 1 else best - MARGIN
    return own.asked >= LEAST_SOURCE and wilson(own.right, own.asked)[1] < bar


def best_guess(key: str, baselines: list[dict[str, Score]]) -> float:
    """The best share that any baseline reaches on this key."""
    return max((b[key].share for b in baselines if key in b), default=0.0)


def ship(scores: dict[str, Score], baselines: list[dict[str, Score]]) -> dict[str, str]:
    """``kind:task`` → "" when nano may speak it, else why not. ``scores``: over seen and unseen wordings together.

    The type must beat blank, shuffled and majority over all sources, and on no single source may it be shown to
    be no better than guessing about that source, or wrong more often than right (:func:`fails`).
    """
    out = {}
    for key, own in scores.items():
        if "@" in key:
            continue
        best = best_guess(key, baselines)
        sources = [k for k in scores if k.startswith(key + "@")]
        bad = [k.split("@")[1] for k in sources if fails(scores[k], best_guess(k, baselines))]
        if not beats(own, *[b[key] for b in baselines if key in b]):
            out[key] = (
                f"{100 * own.share:.0f} % is not {100 * MARGIN:.0f} points above guessing ({100 * best:.0f} %)"
            )
        else:
            out[key] = f"fails on {', '.join(bad)}" if bad else ""
    return out


def silent_of(table: dict[str, str]) -> dict[str, list[str]]:
    """By kind of study: the types that may not be spoken, because they failed or were never measured."""
    return {
        kind: sorted(task for task in SHORT_TASKS if table.get(f"{kind}:{task}", "not measured"))
        for kind in ("image", "volume", "video")
    }
