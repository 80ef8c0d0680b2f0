"""A mask under any rule: the same rule's choice, on the same grid, with the distances for drawing."""

from __future__ import annotations

import numpy as np
import pytest

from omnivmed.pruning import keep_mask
from omnivmed.pruning.ruled import needs_features, ruled_mask
from omnivmed.pruning.rules import RULES, tokens_of
from omnivmed.vision import prepare
from omnivmed.vision.budget import NANO_BUDGET
from tests.phantoms import ct_study, image_study

PATCHES = prepare(ct_study(), NANO_BUDGET)


@pytest.mark.parametrize("name", RULES)
def test_it_is_what_the_rule_chooses(name: str) -> None:
    plain, mask = keep_mask(PATCHES), ruled_mask(PATCHES, name)
    chosen = RULES[name].select(tokens_of(PATCHES), None)
    assert np.array_equal(mask.keep.reshape(chosen.keep.shape), chosen.keep)
    assert np.array_equal(mask.distance, plain.distance)
    assert (mask.rule, mask.merge) == (name, name == "merging")
    assert mask.kept == mask.keep.sum()
    assert ruled_mask(PATCHES, name, match=True).kept == plain.kept


def test_no_rule_is_the_projects_own() -> None:
    mask = ruled_mask(PATCHES, None, 0.2, "last_kept")
    assert np.array_equal(mask.keep, keep_mask(PATCHES, 0.2, "last_kept").keep)
    assert mask.to_dict()["rule"] is None


def test_a_still_keeps_everything_under_every_rule() -> None:
    still = prepare(image_study(), NANO_BUDGET)
    assert all(ruled_mask(still, name).keep.all() for name in RULES)


def test_which_rules_look_at_features() -> None:
    assert [name for name in RULES if needs_features(name)] == ["rate", "frame_share"]
    assert not needs_features(None)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match="no rule 'best'"):
        ruled_mask(PATCHES, "best")
