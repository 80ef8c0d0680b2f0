"""Every metric against cases worked out by hand, the oddities of the published code among them."""

from __future__ import annotations

import math
import sys

import pytest

from omnivmed.eval import metrics
from omnivmed.eval.words import normalise, normalise_once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Left Lung", "left lung"),
        ("yes.", "yes"),
        ("3.5 cm", "3.5 cm"),  # a period before a digit stays
        ("left/right", "left right"),  # no space beside it: becomes a space
        ("left / right", "left right"),  # beside a space: deleted
        ("x-ray", "x ray"),
        ("x-ray - chest", "xray chest"),  # one "-" beside a space deletes every "-"
        ("1,000 cells (left/right)", "1000 cells leftright"),  # digit,digit deletes all marks
        ("none", "0"),
        ("Two lesions", "2 lesions"),
        ("dont know", "don't know"),
        ("an apple, a day", "apple day"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalise_once(text) == expected


def test_the_second_pass_changes_what_the_first_uncovered() -> None:
    assert normalise_once("(a) lung") == "lung"
    assert normalise_once("the-lung") == "lung"
    assert normalise("one.two") == normalise_once(normalise_once("one.two"))


@pytest.mark.parametrize(
    ("prediction", "reference", "precision", "recall"),
    [
        ("left lung", "left lung", 1, 1),
        ("the left upper lung", "left lung", 2 / 3, 1),
        ("lung", "left lung", 1, 1 / 2),
        ("right kidney", "left lung", 0, 0),
        ("", "left lung", 0, 0),
        ("lung", "", 0, 0),
        ("lung lung lung", "left lung", 1, 3 / 4),  # every repetition counts: 3 / (3 + 1)
        ("lung", "lung lung", 1, 1),  # a repeated reference word is not missed once found
    ],
)
def test_token_overlap(prediction: str, reference: str, precision: float, recall: float) -> None:
    found = metrics.llava_med_overlap(prediction, reference)
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    both = precision + recall
    assert found.f1 == pytest.approx(2 * precision * recall / both if both else 0)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("yes", "yes", 1),
        ("yes yes", "yes", 0.5),
        ("left", "left lung", 1),
        ("", "yes", 0),
        ("left lung", "left", 0.5),
    ],
)
def test_what_that_code_calls_exact_match(prediction: str, reference: str, expected: float) -> None:
    assert metrics.llava_med_exact(prediction, reference) == expected


@pytest.mark.parametrize(
    ("prediction", "reference", "batch", "strict"),
    [
        ("Yes, there is.", "yes", True, True),
        ("Yesterday", "yes", True, True),
        ("There is yes and no", "no", True, True),
        ("No.", "yes", False, False),
        ("It is a CT", "CT", True, False),  # neither yes nor no: only the strict rule refuses
        ("Not at all, CT", "CT", True, True),  # "Not" holds "no"
        ("", "yes", False, False),
        ("Yes.", "", False, False),  # "" is a substring of everything
        ("No.", "  ", False, False),
        ("", "", False, False),
    ],
)
def test_closed_answers(prediction: str, reference: str, batch: bool, strict: bool) -> None:
    assert metrics.llava_med_closed(prediction, reference) is batch
    assert metrics.llava_med_closed_strict(prediction, reference) is strict


@pytest.mark.parametrize("said", ["yes", "", "No."])
def test_nothing_is_right_about_an_empty_reference(said: str) -> None:
    assert not metrics.whole_words(said, "")
    assert not metrics.exact_match(said, " ")


@pytest.mark.parametrize(
    ("prediction", "reference", "right"),
    [("Yes", "yes", True), ("yes and no", "no", False), ("maybe", "no", False), ("Unknown", "no", True)],
)
def test_yes_no_by_exclusive_or(prediction: str, reference: str, right: bool) -> None:
    assert metrics.yes_no_xor(prediction, reference) is right  # "Unknown" holds "no"


def test_exact_match_and_choice_letters() -> None:
    assert metrics.exact_match(" Left lung. ", "left lung")
    assert not metrics.exact_match("the left lung", "left lung")
    assert metrics.choice_letter_correct("The answer is B. Stone", "B")
    assert metrics.choice_letter_correct("CTA. no", "A")  # the published rule looks anywhere
    assert not metrics.choice_letter_correct("B", "B")


def test_bleu_by_hand() -> None:
    words = ["there", "is", "a", "stone", "in", "the", "kidney"]
    assert metrics.sentence_bleu(words, words) == pytest.approx(1)
    # 6 of 7 words, 4 of 6 pairs, 2 of 5 triples, 0 of 4 fours (the smallest float); equal length, no penalty
    other = ["there", "is", "a", "cyst", "in", "the", "kidney"]
    expected = math.exp(sum(math.log(p) for p in (6 / 7, 4 / 6, 2 / 5, sys.float_info.min)) / 4)
    assert metrics.sentence_bleu(other, words) == pytest.approx(expected)
    # one word of two: brevity exp(1 - 2/1)
    assert metrics.sentence_bleu(["lung"], ["left", "lung"], (1.0,)) == pytest.approx(math.exp(-1))
    assert metrics.sentence_bleu(["liver"], ["left", "lung"]) == 0
    assert metrics.sentence_bleu([], ["lung"]) == 0
    assert metrics.bleu_1("A stone.", "A cyst.") == pytest.approx(2 / 3)


def test_rouge_by_hand() -> None:
    assert metrics.rouge_1("A stone, left.", "left stone") == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert metrics.rouge_1("x", "y") == 0


def test_labels_are_matched_strictly() -> None:
    labels = ("Tool_Manipulation", "left-top", "no")
    assert metrics.match_label(" tool manipulation. ", labels) == "Tool_Manipulation"
    assert metrics.match_label("left-top", labels) == "left-top"
    assert metrics.match_label("no tool", labels) is None


def test_macro_scores_by_hand() -> None:
    # a: 1 hit, said 2, true 1; b: 1 hit, said 1, true 2; c: never; d: true once, matched nothing
    found = metrics.macro_scores(["a", "a", "b", None], ["a", "b", "b", "d"], ["a", "b", "c", "d"])
    assert found.precision == pytest.approx((1 / 2 + 1 + 1 + 1) / 4)
    assert found.recall == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)
    assert found.f1 == pytest.approx((2 / 3 + 2 / 3 + 1 + 0) / 4)
