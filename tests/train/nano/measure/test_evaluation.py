"""Scoring by one packed pass must say the same as decoding token by token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from train.data.tree import collate, forward_hidden, make_tree
from train.nano.data.studies import still
from train.nano.fit.tuning import Nano
from train.nano.measure.behaviour import disagrees, follow_up_cases, plainly_right
from train.nano.measure.evaluation import chosen_items, described, with_questions
from train.nano.text.questions import QA, silenced

TOKENS = 6


def greedy(nano: Nano, study, question: QA) -> list[int]:  # type: ignore[no-untyped-def]
    """The first TOKENS of the answer, one full forward pass per token."""
    tree = make_tree(nano.tokenizer, study.kind, study.tokens_per_frame, study.times_s, [question])
    prompt = next(i for i, label in enumerate(tree.labels) if label != -100)
    ids: list[int] = []
    visual = nano.visual([study])
    for _ in range(TOKENS):
        n = prompt + len(ids)
        part = replace(
            tree,
            ids=[*tree.ids[:prompt], *ids, 0],
            positions=list(range(n + 1)),
            branch=[0] * (n + 1),
            labels=[-100] * n + [0],
            weights=[1.0] * (n + 1),
        )
        packed = collate([part], nano.pad_id)
        ids.append(int(nano.lm.lm_head(forward_hidden(nano.lm, packed, visual)).argmax(-1)[0]))
    return ids


@torch.no_grad()
def test_teacher_forcing_is_exact_where_greedy_decoding_is(nano: Nano) -> None:
    item = chosen_items(nano.bank, "train", 1)[0]
    study = still(nano.bank[item.record_id], item, None)
    question = QA("modality", "sentence", "What is it?", "x" * (TOKENS - 1))
    said = greedy(nano, study, question)
    tree = make_tree(nano.tokenizer, study.kind, study.tokens_per_frame, study.times_s, [question])
    places = [i for i, label in enumerate(tree.labels) if label != -100]
    assert len(places) == TOKENS
    for wrong in (None, 0, 3):
        target = [t if k != wrong else (t + 1) % 7 for k, t in enumerate(said)]
        ids, labels = list(tree.ids), list(tree.labels)
        for place, token in zip(places, target, strict=True):
            ids[place] = labels[place] = token
        packed = collate([replace(tree, ids=ids, labels=labels)], nano.pad_id)
        right = (nano.logits(packed, nano.visual([study])).argmax(-1) == packed.targets).tolist()
        assert all(right) == (wrong is None)
        if wrong is not None:
            assert right.index(False) == wrong


def test_silent_tasks_are_not_asked_and_every_study_is_described(nano: Nano) -> None:
    items = chosen_items(nano.bank, "train", 2)
    studies = [still(nano.bank[i.record_id], i, None) for i in items]
    asked = with_questions(studies, "sentence", True, 1, {"image": ["modality"]})
    assert asked
    assert all(q.task != "modality" for _, qs in asked for q in qs)
    assert {s.record_id for s, _ in described(studies, True, 1)} <= {s.record_id for s in studies}
    assert all(q.form == "caption" and len(qs) == 1 for _, qs in described(studies, True, 1) for q in qs)


def test_a_silent_type_is_declined_in_every_form() -> None:
    rng = np.random.default_rng(0)
    made = [silenced("view", "image", rng) for _ in range(40)]
    assert {q.plain for q in made} == {
        "I cannot tell the view reliably; I was not trained well enough for it."
    }
    assert len({q.question for q in made}) > 15
    assert all("{" not in q.question for q in made)


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        ("What is 3 + 5?", "The answer is 8.", True),
        ("What is 3 + 5?", "The answer is 11.", False),
        ("What colour is the sky?", "I cannot tell that from this image; I was not trained for it.", False),
        ("Write one sentence about winter.", "Winter is cold.", True),
        ("Write one sentence about winter.", "", False),
        ("Name two oceans.", "The Pacific and the Atlantic.", True),
    ],
)
def test_plain_answers_are_judged_by_their_content(question: str, answer: str, right: bool) -> None:
    assert plainly_right(question, answer) == right


def test_follow_ups_are_the_same_questions_with_a_turn_before_them(nano: Nano) -> None:
    items = chosen_items(nano.bank, "train", 2)
    cases = with_questions([still(nano.bank[i.record_id], i, None) for i in items], "sentence", True, 1, {})
    sets = follow_up_cases(cases)
    later = [q for _, asked in cases for q in asked[1:]]
    made = [q for _, asked in sets["follow-up question, right"] for q in asked]
    assert [(q.question, q.answer) for q in made] == [(q.question, q.answer) for q in later]
    firsts = [(q.question, q.plain) for _, asked in cases for q in asked[:-1]]
    assert [q.history[0] for q in made] == firsts
    assert all(
        "cannot tell" in q.history[0][1]
        for _, asked in sets["question after a declined one, right"]
        for q in asked
    )
    assert {q.form for _, asked in sets["out-of-scope follow-up, declined"] for q in asked} == {"refusal"}


def test_going_along_with_a_wrong_premise_is_told_from_declining() -> None:
    assert disagrees("This is not a CT scan; it is an MRI of the head.")
    assert disagrees("I cannot tell that from this image; I was not trained for it.")
    assert not disagrees("The lungs look normal.")
