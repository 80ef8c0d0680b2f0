"""Templates: deterministic, in range, unseen wordings kept apart."""

from __future__ import annotations

import numpy as np

from train.nano.text.questions import answer_sentence, ask, every_form, questions_for, wrong_premise, yes_no
from train.nano.text.wordings import ASK, OUT_OF_SCOPE, UNSEEN, UNSEEN_OUT_OF_SCOPE

MR = {"modality": "MRI", "organ": "head", "plane": "axial", "sequence": "T2"}
CXR = {"modality": "X-ray", "organ": "chest", "view": "PA", "state": "normal"}


def test_same_seed_same_questions() -> None:
    first, second = (questions_for(MR, "volume", 4, np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert len(first) == 4
    assert len({q.question for q in first}) == 4


def test_every_task_has_fifteen_wordings_and_unseen_ones_that_are_not_trained() -> None:
    for task, wordings in ASK.items():
        assert len(set(wordings)) >= 15, task
        assert not set(wordings) & set(UNSEEN[task]), task
    assert not set(OUT_OF_SCOPE) & set(UNSEEN_OUT_OF_SCOPE)


def test_answers_are_whole_sentences_with_marked_words() -> None:
    for labels in (MR, CXR):
        for task in ("modality", "organ", "plane", "sequence", "view", "state", "describe"):
            sentence = answer_sentence(task, labels)
            if sentence is not None:
                assert sentence.endswith(".")
                assert sentence.count("{") == sentence.count("}") >= 1


def test_questions_that_do_not_fit_are_corrected() -> None:
    assert answer_sentence("sequence", CXR) == "This is {not an MRI}; it is {an X-ray}."
    assert "not a chest X-ray" in (answer_sentence("view", MR) or "")
    made = wrong_premise(MR, np.random.default_rng(0))
    assert made is not None
    assert made.plain.startswith("This is not a")
    assert "an MRI of the head" in made.plain


def test_yes_and_no_follow_the_label() -> None:
    rng = np.random.default_rng(0)
    said = {"Yes": 0, "No": 0}
    for _ in range(60):
        qa = yes_no("plane", MR, "image", rng)
        assert qa is not None
        agrees = "axial" in qa.question
        assert qa.plain == f"{'Yes' if agrees else 'No'}, the plane is axial."
        said["Yes" if agrees else "No"] += 1
    assert min(said.values()) > 15


def test_t1_with_contrast_is_never_denied_to_be_t1() -> None:
    labels = MR | {"sequence": "T1 with contrast"}
    rng = np.random.default_rng(0)
    made = [yes_no("sequence", labels, "image", rng) for _ in range(60)]
    assert all(
        q is not None and not (q.plain.startswith("No") and "T1 " in q.question.replace("?", " "))
        for q in made
    )


def test_refusals_stay_rare() -> None:
    rng = np.random.default_rng(1)
    asked = [q for _ in range(300) for q in questions_for(CXR, "image", 4, rng)]
    assert 0.003 < sum(q.form == "refusal" for q in asked) / len(asked) < 0.05


def test_one_word_questions_get_one_word() -> None:
    rng = np.random.default_rng(2)
    made = [ask("modality", MR, "image", rng) for _ in range(200)]
    words = [q for q in made if q is not None and q.form == "word"]
    assert words
    assert all(q.plain == "MRI" for q in words)


def test_one_fact_in_every_form_cannot_be_answered_from_the_words() -> None:
    """Yes and no are asked in the same words but for the value, so the words alone do not tell."""
    rng = np.random.default_rng(4)
    for _ in range(30):
        sentence, word, yes, no = every_form("plane", MR, "image", rng)
        assert (sentence.plain, word.plain) == ("The plane is axial.", "Axial")
        assert yes.plain == "Yes, the plane is axial."
        assert no.plain == "No, the plane is axial."
        other = next(v for v in ("coronal", "sagittal") if v in no.question.lower())
        blank = [
            q.question.lower().replace(v, "").replace("an ", "a ") for q, v in ((yes, "axial"), (no, other))
        ]
        assert blank[0] == blank[1]
    assert every_form("view", MR, "image", rng) == []
