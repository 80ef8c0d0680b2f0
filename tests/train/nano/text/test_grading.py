"""Answers are read for what they say."""

from __future__ import annotations

import pytest

from train.nano.text.grading import named, right
from train.nano.text.questions import QA, VALUES, answer_sentence, refusal

VIEW = QA("view", "sentence", "AP or PA?", "The view is {PA}.", "PA")
PLANE = QA("plane", "yesno", "Is it axial?", "{No}, the plane is {coronal}.", "coronal")


@pytest.mark.parametrize(
    ("qa", "answer", "good"),
    [
        (VIEW, "The view is PA.", True),
        (VIEW, "The projection is PA.", True),
        (VIEW, "AP", False),
        (VIEW, "The view is PA or AP.", False),
        (VIEW, "I cannot tell whether it is PA.", False),
        (VIEW, "", False),
        (PLANE, "No, the plane is coronal.", True),
        (PLANE, "No.", True),
        (PLANE, "Yes, the plane is coronal.", False),
        (PLANE, "No, the plane is sagittal.", False),
        (refusal("Is it cancer?", "image"), "I cannot tell that from this video.", True),
        (refusal("Is it cancer?", "image"), "Yes, it is.", False),
        (QA("premise", "premise", "?", "This is {not a CT}."), "This is not a CT.", True),
        (QA("premise", "premise", "?", "This is {not a CT}."), "It shows the head.", False),
    ],
)
def test_right_is_the_true_value_and_no_other(qa: QA, answer: str, good: bool) -> None:
    assert right(qa, answer) == good


def test_the_longer_value_wins() -> None:
    assert named("sequence", "The MRI sequence is T1 with contrast.") == ["T1 with contrast"]
    assert named("sequence", "T1") == ["T1"]
    assert named("state", "The lungs look abnormal.") == ["abnormal"]


def test_every_canonical_answer_is_right_by_its_own_reading() -> None:
    for task, values in {**VALUES, "state": ("normal", "abnormal")}.items():
        for value in values:
            sentence = answer_sentence(task, {"modality": "MRI", task: value})
            assert sentence is not None
            assert named(task, sentence.replace("{", "").replace("}", "")) == [value]
