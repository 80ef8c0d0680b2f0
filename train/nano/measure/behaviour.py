"""How nano behaves beside its answers: what it declines, whom it contradicts, and whether plain language is whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from omnivmed.inference.batch import NEW_TOKENS, Batch
from train.nano.measure.score import Score, Subject
from train.nano.parts.language_model import load_language_model
from train.nano.text.plain import HELD_OUT, generate
from train.nano.text.questions import QA, refusal, silenced, wrong_premise
from train.nano.text.texts import reads_rightly
from train.nano.text.wordings import UNSEEN_OUT_OF_SCOPE, UNSEEN_PREMISE

S = TypeVar("S", bound=Subject)

# What a right answer to a held-out plain question has in it (lower case); the rest need only be an answer.
FACTS = {
    "What is the capital of Italy?": r"rome",
    "What is the capital of Austria?": r"vienna",
    "What is 3 + 5?": r"\b8\b|eight",
    "What is 9 times 3?": r"\b27\b|twenty-seven",
    "What day comes after Friday?": r"saturday",
    "How many months are in a year?": r"\b12\b|twelve",
    "What is the opposite of big?": r"small|little|tiny",
    "What does the heart do?": r"pump|blood|circulat",
    "What is a dictionary?": r"word|data",
    "Which planet do we live on?": r"earth",
    "Name two oceans.": r"(atlantic|pacific|indian|arctic).*(atlantic|pacific|indian|arctic)",
    "What colour is the sky?": r"blue",
    "What is ice made of?": r"water",
    "Give me a word that rhymes with cat.": r"\b([bfhmprs]|ch|fl|th|br)at\b",
    "What do plants need to grow?": r"water|light|sun|nutrient",
    "Translate 'thank you' into Spanish.": r"gracias",
}
CAPTIONS = 60  # captions read, of those held back
DECLINES = re.compile(r"cannot tell|not trained|this is not a|this image|this scan", re.I)


def plainly_right(question: str, answer: str) -> bool:
    """A fact where one is asked for; elsewhere any answer that is not about a picture."""
    if not answer.strip() or DECLINES.search(answer):
        return False
    return question not in FACTS or re.search(FACTS[question], answer.lower()) is not None


def disagrees(answer: str) -> bool:
    """Whether an answer to a wrong premise contradicts it or declines, rightly or not: it does not go along."""
    return answer.startswith("This is not") or "cannot tell" in answer


@dataclass(frozen=True)
class Language:
    """Rows: question, untouched model, nano without a study. ``reading``: captions read rightly by both, asked."""

    rows: list[list[str]]
    reading: tuple[int, int, int] = (0, 0, 0)

    def scores(self) -> dict[str, Score]:
        n = len(self.rows)
        untouched, nano, asked = self.reading
        return {
            "captions read rightly, untouched model": Score(untouched, asked),
            "captions read rightly, nano": Score(nano, asked),
            "plain questions right, untouched model": Score(
                sum(plainly_right(q, a) for q, a, _ in self.rows), n
            ),
            "plain questions right, nano": Score(sum(plainly_right(q, b) for q, _, b in self.rows), n),
            "plain questions answered as by the untouched model, word for word": Score(
                sum(a.strip() == b.strip() for _, a, b in self.rows), n
            ),
        }


def compare_language(batch: Batch, backbone: Path, captions: Sequence[QA]) -> Language:
    """Plain questions and captions to read, put to what ships and to its untouched language model, without a study."""
    model, tokenizer = load_language_model(backbone)
    captions = captions[:CAPTIONS]
    asked = [*HELD_OUT, *(q.question for q in captions)]
    answers = generate(model, tokenizer, asked, NEW_TOKENS), batch.answers([(None, asked)])[0]
    rows = [[q, a, b] for q, a, b in zip(HELD_OUT, *answers, strict=False)]
    before, after = (
        sum(reads_rightly(q, a) for q, a in zip(captions, said[len(HELD_OUT) :], strict=True))
        for said in answers
    )
    return Language(rows, (before, after, len(captions)))


def follow_up_cases(cases: Sequence[tuple[S, list[QA]]]) -> dict[str, list[tuple[S, list[QA]]]]:
    """Second questions about a study, the first with its right answer in an earlier turn, as the product sends it.

    ``cases``: what is asked first elsewhere, so that the same questions can be compared; one that has another
    question before it in its case comes as a follow-up to that one, every one as a follow-up to a declined one.
    """
    second: list[tuple[S, list[QA]]] = []
    after_refusal: list[tuple[S, list[QA]]] = []
    beyond: list[tuple[S, list[QA]]] = []
    for i, (study, questions) in enumerate(cases):
        turns = [((q.question, q.plain),) for q in questions]
        if later := [replace(q, history=t) for q, t in zip(questions[1:], turns[:-1], strict=True)]:
            second.append((study, later))
        refused = refusal(UNSEEN_OUT_OF_SCOPE[i % len(UNSEEN_OUT_OF_SCOPE)], study.kind)
        after_refusal.append((study, [replace(questions[0], history=((refused.question, refused.plain),))]))
        beyond.append((study, [replace(refused, history=turns[-1])]))
    return {
        "follow-up question, right": second,
        "question after a declined one, right": after_refusal,
        "out-of-scope follow-up, declined": beyond,
    }


def behaviour_cases(
    declined: dict[str, list[QA]], studies: Sequence[S], silent: dict[str, list[str]]
) -> dict[str, list[tuple[S, list[QA]]]]:
    """Named sets of questions whose right answer is to decline or to contradict. ``declined``: VQA-RAD's, by record."""
    rng = np.random.default_rng(3)
    listed: list[tuple[S, list[QA]]] = []
    human: list[tuple[S, list[QA]]] = []
    premises: list[tuple[S, list[QA]]] = []
    new_premises: list[tuple[S, list[QA]]] = []
    hushed: list[tuple[S, list[QA]]] = []
    for i, study in enumerate(studies):
        picks = [UNSEEN_OUT_OF_SCOPE[(2 * i + k) % len(UNSEEN_OUT_OF_SCOPE)] for k in range(2)]
        listed.append((study, [refusal(q, study.kind) for q in picks]))
        own: list[QA] = [q for q in declined.get(study.record_id, []) if q.form == "refusal"]
        if own:
            human.append((study, own[:4]))
        if (made := wrong_premise(study.labels, rng)) is not None:
            premises.append((study, [made]))
        if (made := wrong_premise(study.labels, rng, UNSEEN_PREMISE)) is not None:
            new_premises.append((study, [made]))
        tasks = [t for t in silent.get(study.kind, ()) if study.labels.get(t)]
        if tasks:
            hushed.append((study, [silenced(t, study.kind, rng, unseen=True) for t in tasks]))
    named = {
        "out of scope, list of 100, declined": listed,
        "VQA-RAD's own out-of-scope questions, declined": human,
        "wrong premise corrected": premises,
        "wrong premise corrected, unseen wordings": new_premises,
        "silent type of answer declined, unseen wordings": hushed,
    }
    return {k: v for k, v in named.items() if v}
