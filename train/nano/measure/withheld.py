"""The ship rule at the answer, measured: what the product would say instead of what nano said.

Every saved answer passes the very code that stands between nano and the person who asks
(``omnivmed/spoken/withhold.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from omnivmed.spoken.attributes import ATTRIBUTES, named
from omnivmed.spoken.withhold import withheld
from train.nano.measure.score import Answer, Score
from train.nano.text.grading import right

Silent = dict[str, list[str]]


def heard(answer: Answer, silent: Silent) -> str:
    """What a person would read."""
    (study, questions), number, _, said = answer
    qa = questions[number]
    before = qa.history[-1][0] if qa.history else ""
    return withheld(silent.get(study.kind, ()), study.kind, qa.question, said, before)[0]


def declined(answer: Answer, silent: Silent) -> bool:
    """No value of the silent attribute is left (in a description: of none), nor a yes or no."""
    (study, questions), number, _, _ = answer
    qa, text = questions[number], heard(answer, silent)
    text = " ".join(t for t in re.split(r"(?<=[.!?])\s+", text) if "cannot " not in t)
    attributes = silent[study.kind] if qa.form == "caption" else [qa.task]
    return not any(named(a, text) for a in attributes) and not text.lower().startswith(("yes", "no,", "no."))


def lost(answer: Answer, silent: Silent) -> bool:
    """Something that may be said was held back: a right answer is none any more, a description names less."""
    (study, questions), number, good, said = answer
    qa, text = questions[number], heard(answer, silent)
    if qa.form == "caption":
        spoken = [a for a in ATTRIBUTES if a not in silent.get(study.kind, ())]
        return any(named(a, said) and not named(a, text) for a in spoken)
    return good and not right(qa, text)


def gate_scores(
    sets: Mapping[str, Iterable[Answer]], silent: Silent, language: list[list[str]]
) -> dict[str, Score]:
    """Rows for the table of behaviour. ``sets``: answers by wording (one name may stand for several sets)."""
    out: dict[str, Score] = {}
    total, wrong = Score(0, 0), Score(0, 0)
    for name, answers in sets.items():
        hushed, scope = Score(0, 0), Score(0, 0)
        for answer in answers:
            (study, questions), number, _, _ = answer
            qa = questions[number]
            if qa.form == "caption" or qa.task not in silent.get(study.kind, ()):
                scope = plus(scope, lost(answer, silent))
            if qa.task in silent.get(study.kind, ()) or (qa.form == "caption" and silent.get(study.kind)):
                hushed = plus(hushed, declined(answer, silent))
        if hushed.asked:
            out[f"silent type of answer declined, {name}"] = hushed
        total = Score(total.right + hushed.right, total.asked + hushed.asked)
        wrong = Score(wrong.right + scope.right, wrong.asked + scope.asked)
    out["silent type of answer declined, all wordings"] = total
    out["in scope, wrongly held back"] = wrong
    touched = Score(0, 0)
    for question, _, said in language:
        for kind, attributes in silent.items():
            touched = plus(touched, withheld(attributes, kind, question, said)[0] != said.strip())
    out["plain questions with a study open, answer touched"] = touched
    return out


def plus(score: Score, good: bool) -> Score:
    return Score(score.right + good, score.asked + 1)
