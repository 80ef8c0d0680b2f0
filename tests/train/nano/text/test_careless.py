"""Careless typing changes the question's spelling, never what is asked nor the answer."""

from __future__ import annotations

import re

import numpy as np

from train.nano.text.careless import FIXED, loosely, slip
from train.nano.text.questions import QA, ask

LABELS = {"modality": "X-ray", "organ": "chest", "view": "PA", "state": "normal", "plane": "axial"}


def asked(count: int) -> list[tuple[QA, QA]]:
    rng = np.random.default_rng(7)
    out: list[tuple[QA, QA]] = []
    while len(out) < count:
        made = ask(("modality", "organ", "view", "state", "plane")[len(out) % 5], LABELS, "image", rng)
        if made is not None:
            out.append((made, loosely(made, rng)))
    return out


def test_answer_and_label_stay() -> None:
    pairs = asked(300)
    assert all((a.answer, a.key, a.task, a.form) == (b.answer, b.key, b.task, b.form) for a, b in pairs)
    assert sum(a.question != b.question for a, b in pairs) > 200


def test_fixed_words_stay_in_capitals() -> None:
    for before, after in asked(300):
        assert sorted(re.findall(FIXED, after.question)) == sorted(re.findall(FIXED, before.question))


def test_nothing_is_left_empty() -> None:
    for before, after in asked(300):  # "PA?" is as short as a question gets
        assert len(after.question.strip(" ?.")) >= min(4, len(before.question.strip(" ?.")))


def test_a_slip_is_one_edit() -> None:
    rng = np.random.default_rng(1)
    words = [slip("modality", rng) for _ in range(50)]
    assert {len(w) for w in words} == {7, 8, 9}
    assert all(w[0] == "m" and w != "modality" for w in words)


def test_same_generator_same_question() -> None:
    assert [b.question for _, b in asked(40)] == [b.question for _, b in asked(40)]
