"""One learner's study for the teaching page: as the model is given it, and as a run of true neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from omnivmed.defaults import DEFAULT_REFERENCE
from omnivmed.ui import texts
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.vision import Patches, VisionBudget

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask
    from omnivmed.study import Study

Look = Literal["model", "neighbours"]
LOOKS: tuple[Look, ...] = ("model", "neighbours")
# Coarse enough to read a number in every token, fine enough to see anatomy move.
FINE = VisionBudget(max_tokens=1_536, max_frames=24, image_merge_size=2, frame_max_tokens=48)


FLOOR = 2.0  # no token moves further: the first frame and one token of each other one are left


@dataclass(frozen=True, eq=False)
class View:
    """Frames of a study, cut once; thresholds are tried on the same patches. taken: in words, which frames and why."""

    patches: Patches
    frames: np.ndarray  # uint8 (t, H, W, 3)
    taken: str

    def mask(self, threshold: float, reference: Any) -> KeepMask:
        """The mask at another threshold: the rule itself, on the same patches."""
        from omnivmed.pruning import keep_mask

        return keep_mask(self.patches, threshold, reference)

    def curve(self, reference: Any, top: float, steps: int = 25) -> tuple[np.ndarray, np.ndarray] | None:
        """(thresholds, share kept) by the rule itself where distances depend on what was kept; None else."""
        if reference != "last_kept":
            return None
        thresholds = np.linspace(0, top, steps)
        return thresholds, np.array([self.mask(float(t), reference).kept_ratio for t in thresholds])

    def name(self, k: int) -> str:
        """Of frame k: its second, or its number counted from 1."""
        if self.patches.times_s is not None:
            return f"{float(self.patches.times_s[k]):.2f} s"
        return str(int(self.patches.frame_index[k]) + 1)


@dataclass(frozen=True)
class Item:
    """One question of the quiz (`visit.quiz`). right: index into options; why: the numbers, shown when it is checked.

    marks: tokens (row, column) of frame `frame`, called `place`, that the options name, for a question about a picture.
    """

    question: str
    options: tuple[str, ...]
    right: int
    why: str
    frame: int | None = None
    place: str = ""
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(eq=False)
class Lesson:
    """One learner's study and both ways of looking at it; of a picture alone both are the same."""

    opened: OpenStudy
    views: dict[Look, View]
    quiz: tuple[Item, ...] = ()  # the questions on the screen

    def view(self, look: Any) -> View:
        """The named way of looking; what the model is given for any other word."""
        return self.views["neighbours" if look == "neighbours" else "model"]


def make_lesson(opened: OpenStudy, budget: VisionBudget, model: str, progress: Any = None) -> Lesson:
    """Cut the study for both ways. budget, model: of the model in use, and its name for the words."""
    from omnivmed.vision import prepare

    study = opened.study

    def view(patches: Patches, told: Callable[[Study, np.ndarray], str]) -> View:
        return View(patches, study.take(patches.frame_index), told(study, patches.frame_index))

    given = view(prepare(study, budget, progress=progress), lambda s, i: taken(s, i, model))
    count = study.shape[0]
    if count < 2:
        return Lesson(opened, {"model": given, "neighbours": given})
    index = neighbours(count, FINE.max_frames)
    fine = replace(FINE, patch_size=budget.patch_size)
    side_by_side = prepare(study, fine, frame_index=index, progress=progress)
    return Lesson(
        opened, {"model": given, "neighbours": view(side_by_side, lambda s, i: run_of(s, i, model))}
    )


def neighbours(count: int, most: int) -> np.ndarray:
    """A run of at most `most` frames without a gap, from the middle of `count`; int64."""
    length = min(count, most)
    first = (count - length) // 2
    return np.arange(first, first + length, dtype=np.int64)


def taken(study: Study, index: np.ndarray, model: str) -> str:
    """What the model is given, for a person: "every 4th slice"."""
    count, step = study.shape[0], float(np.diff(index).mean()) if len(index) > 1 else 1.0
    facts = {"taken": len(index), "count": count, "model": model, "apart": apart(study, index)}
    words = texts.TEACH_TAKEN[study.kind]
    if len(index) == count:
        return words["all"].format(**facts)
    return words["some"].format(**facts, nth=ordinal(max(2, round(step))))


def run_of(study: Study, index: np.ndarray, model: str) -> str:
    """The run of neighbours, for a person."""
    words = texts.TEACH_TAKEN[study.kind]["run"]
    return words.format(taken=len(index), count=study.shape[0], model=model, apart=apart(study, index))


def apart(study: Study, index: np.ndarray) -> str:
    """How far neighbours of these frames lie from each other: "12.1 mm", "0.50 s", or nothing where it is not known."""
    if len(index) < 2:
        return ""
    if study.times_s is not None:
        return texts.TEACH_APART["s"].format(value=float(np.diff(np.asarray(study.times_s)[index]).mean()))
    if study.spacing_mm is not None and study.spacing_mm[0]:
        return texts.TEACH_APART["mm"].format(value=float(np.diff(index).mean()) * study.spacing_mm[0])
    return ""


def ordinal(number: int) -> str:
    """2 → 2nd, 8 → 8th, 11 → 11th, 23 → 23rd."""
    ending = number % 10 if number % 100 not in (11, 12, 13) and number % 10 in (1, 2, 3) else 0
    return texts.TEACH_ORDINALS[ending].format(number=number)


def plans(threshold: Any, reference: Any) -> list[tuple[Any, Any, str]]:
    """(threshold, reference, label) of the five answers: nothing dropped but repeats, half the threshold, the
    threshold, the other reference, and everything dropped that can be."""
    value = float(threshold or 0)
    pruned = DEFAULT_REFERENCE if reference == "off" else reference
    other = next(name for name in texts.REFERENCES if name not in (pruned, "off"))
    settings = [
        (0.0, pruned),
        (value / 2, pruned),
        (value, reference),
        (value, other),
        (FLOOR, pruned),
    ]
    return [
        (one, rule, words.format(value=one, reference=texts.REFERENCES[rule]))
        for (one, rule), words in zip(settings, texts.TEACH_SAID, strict=True)
    ]
