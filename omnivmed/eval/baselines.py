"""What can be scored without looking: the commonest answer, and the answer of the most similar training question.

A model that does not beat both has learnt the questions, not the pictures.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from omnivmed.eval.predictions import Reply
from omnivmed.eval.words import normalise
from omnivmed.records import Item

Baseline = Callable[[Item, str], Reply]


def majority(train: Sequence[Item]) -> Baseline:
    """The commonest training answer among questions of the same category and form, else of the same form.

    For multiple choice: the commonest letter. Ties go to the answer that is first in the alphabet.
    """
    by_category: dict[tuple[bool, str], Counter[str]] = {}
    by_form: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for item in train:
        spoken = _answer(item)
        by_category.setdefault((item.closed, item.category), Counter())[spoken] += 1
        by_form[item.closed][spoken] += 1

    def answer(item: Item, prompt: str) -> Reply:
        counts = by_category.get((item.closed, item.category)) or by_form[item.closed]
        return Reply(_commonest(counts))

    return answer


def question_only(train: Sequence[Item], neighbours: int = 5) -> Baseline:
    """The commonest answer among the `neighbours` most similar training questions of the same form.

    Similarity: cosine of words weighted by inverse document frequency. For multiple choice the nearest
    questions vote for letters.
    """
    bags = [set(normalise(item.question).split()) for item in train]
    seen_in = Counter(word for bag in bags for word in bag)
    weight = {word: math.log(len(train) / count) + 1 for word, count in seen_in.items()}
    norms = [math.sqrt(sum(weight[w] ** 2 for w in bag)) or 1.0 for bag in bags]
    holding: dict[str, list[int]] = {}
    for place, bag in enumerate(bags):
        for word in bag:
            holding.setdefault(word, []).append(place)
    fallback = majority(train)

    def answer(item: Item, prompt: str) -> Reply:
        scores: dict[int, float] = {}
        for word in sorted(set(normalise(item.question).split())):
            for place in holding.get(word, ()):
                scores[place] = scores.get(place, 0.0) + weight[word] ** 2
        ranked = sorted((-s / norms[p], p) for p, s in scores.items() if train[p].closed == item.closed)
        if not ranked:
            return fallback(item, prompt)
        votes: Counter[str] = Counter()
        for similarity, place in ranked[:neighbours]:
            votes[_answer(train[place])] += 1
            if similarity == ranked[0][0]:
                votes[_answer(train[place])] += 1  # the nearest counts twice
        return Reply(_commonest(votes))

    return answer


def _answer(item: Item) -> str:
    return f"{item.answer[0]}." if item.choices else item.answer


def _commonest(counts: Counter[str]) -> str:
    if not counts:
        return ""
    top = max(counts.values())
    return min(answer for answer, count in counts.items() if count == top)
