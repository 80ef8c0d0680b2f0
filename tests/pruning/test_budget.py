"""`ov.prune` and an answer are shown the same slices: one budget, and its name stands in the mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import omnivmed as ov
from omnivmed.inference.cards import card_of
from omnivmed.resources import samples_dir
from omnivmed.vision import BUDGETS, DEFAULT_BUDGET, NANO_BUDGET
from tests.inference.mock import assistant
from tests.phantoms import clip_study, ct_study, radiograph
from tests.scripted import ScriptedAssistant


def same(a: ov.KeepMask, b: ov.KeepMask) -> bool:
    """The same tokens of the same frames under the same budget."""
    return a.budget == b.budget and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("keep", "distance", "frame_index", "rects")
    )


def test_the_embedded_model_answers_under_the_default() -> None:
    assert card_of("nano").budget == NANO_BUDGET
    assert next(iter(BUDGETS.values())) == NANO_BUDGET


@pytest.mark.parametrize(
    "study", [ct_study(), clip_study(40), ov.Study.from_array(radiograph())], ids=["ct", "clip", "still"]
)
def test_without_a_model_as_with_it(study: ov.Study) -> None:
    answer = assistant().answer(study, "Which plane is this?")
    assert answer.mask is not None
    assert same(ov.prune(study), answer.mask)
    assert answer.mask.budget == "nano"


def test_the_example_of_the_readme() -> None:
    with ov.open_study(samples_dir() / "ct_abdomen.nii.gz") as study:
        mask = ov.prune(study, threshold=0.1)
        answer = assistant().answer(study, "What is shown here?")
        assert answer.mask is not None
        assert same(mask, answer.mask)
        assert (mask.kept, mask.total) == (
            answer.usage.visual_tokens_after,
            answer.usage.visual_tokens_before,
        )


def test_another_budget_is_named() -> None:
    study = ct_study(slices=20)
    other = replace(NANO_BUDGET, max_frames=5)
    model = ScriptedAssistant()
    model.budget = other
    assert ov.prune(study, budget="published").budget == "published"
    assert ov.prune(study, budget=DEFAULT_BUDGET).to_dict()["budget"] == "published"
    assert ov.prune(study, model=model).budget == "512 tokens, 5 frames"
    assert len(ov.prune(study, model=model).frame_index) == 5
    with pytest.raises(ValueError, match="budget must be one of"):
        ov.prune(study, budget="large")
    with pytest.raises(ValueError, match="either model or budget"):
        ov.prune(study, model=model, budget="nano")


def test_off_keeps_what_threshold_0_drops() -> None:
    """A clip's exact repeats go at threshold 0; with pruning off the model is given every token."""
    repeated = ov.Study.from_array(np.repeat(clip_study(4).frames(0, 4), 3, axis=0))
    zero, off = ov.prune(repeated, threshold=0), ov.prune(repeated, threshold=0.1, reference="off")
    assert zero.kept < zero.total
    assert off.kept == off.total == zero.total
    assert np.array_equal(off.distance, zero.distance)  # one still sees what pruning would do
    assert not off.all_at_floor
    speaker = assistant()
    first = speaker.answer(repeated, "Which organ is this?", reference="off")
    again = speaker.answer(
        repeated, "Which organ is this?"
    )  # kept results of the other rule are not taken for it
    assert first.mask is not None
    assert again.mask is not None
    assert first.usage.visual_tokens_after == first.usage.visual_tokens_before == off.total
    assert again.usage.visual_tokens_after == again.mask.kept < off.total
