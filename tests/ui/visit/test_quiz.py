"""Five predictions: right answers are the mask's, wrong ones are wrong, nothing is asked of a picture alone."""

from __future__ import annotations

import re

import numpy as np
import pytest

from omnivmed.study import Study
from omnivmed.ui import texts
from omnivmed.ui.visit.lesson import Item, Lesson, make_lesson
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.quiz import APART, checked, make_quiz
from omnivmed.vision.budget import NANO_BUDGET
from tests import phantoms


def lesson(study: Study) -> Lesson:
    return make_lesson(OpenStudy(study, "a study"), NANO_BUDGET, "nano")


def moving() -> Study:
    """Slices that change more and more, on one side only."""
    values = np.full((16, 112, 112), -1000, np.float32)
    for k in range(16):
        values[k:, 10 : 14 + 6 * k, 60:100] += 90
    return Study.from_array(values, "volume", window=(40.0, 400.0), spacing_mm=(3.0, 1.0, 1.0))


def percent(option: str) -> float:
    return float(re.sub(r"[^\d.]", "", option))


@pytest.mark.parametrize("look", ["model", "neighbours"])
@pytest.mark.parametrize("reference", ["previous", "last_kept"])
def test_every_right_answer_is_the_masks(look: str, reference: str) -> None:
    view = lesson(moving()).view(look)
    mask, double = view.mask(0.1, reference), view.mask(0.2, reference)
    share, doubled, busiest, dropped, other = make_quiz(view, 0.1, reference)
    for item, ratio in ((share, mask.kept_ratio), (doubled, double.kept_ratio)):
        shown = [percent(option) for option in item.options]
        assert shown[item.right] == round(100 * ratio)
        assert shown == sorted(shown)
        assert all(abs(s - 100 * ratio) >= APART for i, s in enumerate(shown) if i != item.right)
    names = [f"slice {view.name(k)}" for k in range(len(mask.keep))]
    kept = [int(mask.kept_per_frame[names.index(option)]) for option in busiest.options]
    assert kept[busiest.right] == max(kept)
    assert len(set(kept)) == 4
    assert dropped.frame is not None
    states = [bool(mask.keep[dropped.frame][place]) for place in dropped.marks]
    assert [not state for state in states] == [i == dropped.right for i in range(4)]
    rule = next(one for one in texts.REFERENCES if one != reference)
    more = view.mask(0.1, rule).kept - mask.kept
    assert other.options[other.right] == texts.QUIZ["more" if more > 0 else "fewer" if more < 0 else "same"]


def test_the_same_study_is_asked_the_same() -> None:
    assert make_quiz(lesson(moving()).view("model"), 0.1, "previous") == make_quiz(
        lesson(moving()).view("model"), 0.1, "previous"
    )


def test_a_study_that_never_changes_has_fewer_questions_and_a_still_none() -> None:
    still = np.zeros((8, 112, 112), np.float32)
    asked = make_quiz(
        lesson(Study.from_array(still, "volume", window=(0.0, 100.0))).view("model"), 0.1, "previous"
    )
    assert 2 <= len(asked) < 5
    assert make_quiz(lesson(phantoms.image_study()).view("model"), 0.1, "previous") == ()


def test_what_was_chosen_is_judged() -> None:
    quiz = (Item("?", ("a", "b"), 1, "Because."),) * 3
    right, told = checked(quiz, ["b", "a", None])
    assert right == 1
    assert [verdict for verdict, _ in told] == [True, False, None]
    assert told[0][1] == "Right. Because."
    assert told[1][1] == "No: b. Because."
    assert checked(quiz, ["forged", 3, "b"])[0] == 1
