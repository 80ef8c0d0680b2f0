"""Asking under any pruning rule: its mask reaches the model, before or after the encoder, as the rule wants it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from omnivmed.errors import QuestionError
from omnivmed.inference import Done, MaskReady, Stage
from omnivmed.inference.engine import LocalAssistant
from omnivmed.pruning import keep_mask
from omnivmed.pruning.ruled import needs_features, ruled_mask
from omnivmed.pruning.rules import RULES, merging
from omnivmed.vision import prepare
from tests.inference.mock import MockRuntime, assistant, mask_of
from tests.phantoms import ct_study


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("match", [False, True])
def test_the_mask_is_the_rules_own(rule: str, match: bool) -> None:
    runtime = MockRuntime()
    model = assistant(runtime)
    answer = model.answer(ct_study(), "What?", rule=rule, match=match)
    patches = prepare(ct_study(), model.budget)
    rows = runtime.rows(next(f for _, f in runtime.encode(patches) if f is not None))
    wanted = ruled_mask(patches, rule, match=match, features=rows if needs_features(rule) else None)
    mask = mask_of(answer)
    assert np.array_equal(mask.keep, wanted.keep)
    assert mask is runtime.masks[-1]
    assert mask.rule == mask.to_dict()["rule"] == rule
    if match:
        assert mask.kept == keep_mask(patches).kept


@pytest.mark.parametrize(("rule", "first"), [("run_length", "mask"), ("rate", "encoding")])
def test_a_rule_of_features_decides_after_the_encoder(rule: str, first: str) -> None:
    events: list[Any] = list(assistant(MockRuntime()).stream(ct_study(), "What?", rule=rule))
    seen = ["mask" if isinstance(e, MaskReady) else e.name if isinstance(e, Stage) else "" for e in events]
    assert ("mask", "encoding")[seen.index("encoding") < seen.index("mask")] == first
    assert seen.count("mask") == 1
    assert isinstance(events[-1], Done)


def test_masks_of_two_rules_are_two() -> None:
    model = assistant(MockRuntime())
    asked = (
        {"rule": None},
        {"rule": "whole_frames"},
        {"rule": "whole_frames", "match": True},
        {"rule": None},
    )
    kept = [mask_of(model.answer(ct_study(), "What?", **one)).kept for one in asked]
    assert kept[0] == kept[2] == kept[3] != kept[1]


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(QuestionError, match="one of previous, last_kept"):
        assistant(MockRuntime()).answer(ct_study(), "What?", rule="best")


def test_merged_tokens_are_means_of_what_went_into_them(random_assistant: LocalAssistant) -> None:
    runtime: Any = random_assistant.runtime
    patches = prepare(ct_study(), random_assistant.budget)
    features = next(part for _, part in runtime.encode(patches) if part is not None)
    mask = ruled_mask(patches, "merging")
    assert np.array_equal(mask.keep, keep_mask(patches).keep)
    rows = runtime.visual(features, mask)
    values = features.float().numpy().reshape(len(mask.keep), -1, features.shape[-1])
    wanted = merging.merged(values, mask.keep.reshape(len(mask.keep), -1))
    assert torch.equal(rows, torch.from_numpy(wanted))
    plain = runtime.visual(features, keep_mask(patches))
    assert rows.shape == plain.shape
    assert not torch.equal(rows, plain)


def test_the_first_token_has_a_probability(random_assistant: LocalAssistant) -> None:
    answer = random_assistant.answer(ct_study(), "What?", max_new_tokens=2)
    assert answer.certainty is not None
    assert 1 / 300 < answer.certainty < 1  # no less than an even share of the tiny vocabulary
    assert answer.doubt is None
    alone = random_assistant.answer(ct_study(), "What?", max_new_tokens=4, alone=True)
    assert alone.doubt is not None
    assert 0 < alone.doubt <= (alone.certainty or 0)
    again = random_assistant.answer(ct_study(), "What?", max_new_tokens=2)
    assert again.certainty == pytest.approx(answer.certainty, abs=1e-5)
