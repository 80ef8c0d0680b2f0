"""Five predictions about the study of a lesson, each checked against the mask itself.

Right and wrong answers are computed from the study's own patches: nothing is known in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omnivmed.ui import texts
from omnivmed.ui.visit.lesson import Item

if TYPE_CHECKING:
    from omnivmed.pruning import KeepMask
    from omnivmed.ui.visit.lesson import View

OPTIONS = 4
LETTERS = "ABCD"
SHARES = (5, 12, 20, 30, 40, 50, 60, 70, 80, 90, 97)  # per cent, the wrong ones
APART = 8  # per cent between the right share and each wrong one, at least


def make_quiz(view: View, threshold: float, reference: Any) -> tuple[Item, ...]:
    """Up to five questions about this way of looking at the study; fewer where it has too little to ask about.

    Empty for a picture alone.
    """
    mask = view.mask(threshold, reference)
    if len(mask.keep) < 2:
        return ()
    rng = np.random.default_rng(mask.total * 1000 + mask.kept)
    double = view.mask(min(2.0, 2 * threshold), reference)
    words = texts.QUIZ

    def name(k: int) -> str:
        """Of frame k: "slice 76", "frame at 1.20 s"."""
        return f"{texts.TEACH_FRAME_AT if view.patches.times_s is not None else texts.TEACH_SLICE} {view.name(k)}"

    share = _share(
        words["share"].format(total=f"{mask.total:,}", threshold=threshold),
        100 * mask.kept_ratio,
        words["share_why"].format(
            kept=f"{mask.kept:,}", total=f"{mask.total:,}", share=100 * mask.kept_ratio
        ),
        rng,
    )
    doubled = _share(
        words["double"].format(threshold=min(2.0, 2 * threshold)),
        100 * double.kept_ratio,
        words["double_why"].format(before=100 * mask.kept_ratio),
        rng,
    )
    found = [share, doubled, _busiest(name, mask, rng), _dropped(name, mask, rng), _other(view, mask)]
    return tuple(item for item in found if item is not None)


def _share(question: str, right: float, why: str, rng: np.random.Generator) -> Item:
    """Which share of the tokens; the wrong ones lie apart from the right one."""
    wrong = [s for s in SHARES if abs(s - right) >= APART]
    chosen = sorted([*(float(w) for w in rng.choice(wrong, OPTIONS - 1, replace=False)), right])
    options = tuple(texts.QUIZ["percent"].format(share=value) for value in chosen)
    return Item(question, options, chosen.index(right), why)


def _busiest(name: Callable[[int], str], mask: KeepMask, rng: np.random.Generator) -> Item | None:
    """Which of four frames keeps most; None where too few differ."""
    kept = mask.kept_per_frame
    _, first = np.unique(kept[1:], return_index=True)  # one frame of each count
    if len(first) < OPTIONS:
        return None
    chosen = 1 + np.sort(rng.choice(first, OPTIONS, replace=False))
    best = int(np.argmax(kept[chosen]))
    names = tuple(name(int(k)) for k in chosen)
    counts = ", ".join(texts.QUIZ["place_kept"].format(name=name(int(k)), kept=int(kept[k])) for k in chosen)
    return Item(texts.QUIZ["busiest"], names, best, texts.QUIZ["busiest_why"].format(counts=counts))


def _dropped(name: Callable[[int], str], mask: KeepMask, rng: np.random.Generator) -> Item | None:
    """Which of four marked tokens of one frame is pruned; None where no frame has one pruned and three kept."""
    flat = mask.keep.reshape(len(mask.keep), -1)
    floor = np.zeros_like(flat)
    floor[:, : mask.min_tokens] = True  # kept without news: no fair question
    news = flat & (mask.distance.reshape(flat.shape) > mask.threshold)
    fit = [k for k in range(1, len(flat)) if news[k].sum() >= OPTIONS - 1 and (~flat[k] & ~floor[k]).any()]
    if not fit:
        return None
    k = int(rng.choice(fit))
    distance = mask.distance[k].reshape(-1)
    gone = int(rng.choice(np.flatnonzero(~flat[k] & ~floor[k])))
    kept = rng.choice(np.flatnonzero(news[k]), OPTIONS - 1, replace=False)
    places = rng.permutation([gone, *(int(place) for place in kept)])
    columns = mask.keep.shape[2]
    marks = tuple((int(place) // columns, int(place) % columns) for place in places)
    numbers = ", ".join(
        f"{letter} {distance[place]:.2f}" for letter, place in zip(LETTERS, places, strict=True)
    )
    return Item(
        texts.QUIZ["dropped"].format(name=name(k)),
        tuple(LETTERS),
        int(np.flatnonzero(places == gone)[0]),
        texts.QUIZ["dropped_why"].format(distances=numbers, threshold=mask.threshold),
        frame=k,
        place=name(k),
        marks=marks,
    )


def _other(view: View, mask: KeepMask) -> Item:
    """Whether the other reference keeps more."""
    name = next(one for one in texts.REFERENCES if one != mask.reference)
    other = view.mask(mask.threshold, name).kept
    options = tuple(texts.QUIZ[word] for word in ("more", "same", "fewer"))
    right = 0 if other > mask.kept else 1 if other == mask.kept else 2
    why = texts.QUIZ["other_why"].format(other=f"{other:,}", kept=f"{mask.kept:,}")
    return Item(texts.QUIZ["other"].format(reference=texts.REFERENCES[name]), options, right, why)


def checked(quiz: Sequence[Item], chosen: Sequence[Any]) -> tuple[int, list[tuple[bool | None, str]]]:
    """(how many are right, for each (right, wrong or None where nothing was chosen, what to say))."""
    told: list[tuple[bool | None, str]] = []
    for item, answer in zip(quiz, chosen, strict=False):
        if answer not in item.options:
            told.append((None, texts.QUIZ["unanswered"]))
            continue
        right = item.options.index(answer) == item.right
        verdict = texts.QUIZ["right"] if right else texts.QUIZ["wrong"].format(right=item.options[item.right])
        told.append((right, f"{verdict} {item.why}"))
    return sum(right is True for right, _ in told), told
