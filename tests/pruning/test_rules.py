"""Every rule on frames made by hand, whose result is known by eye; any rule at any number of tokens, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from omnivmed.pruning import keep_mask
from omnivmed.pruning.rules import RULES, Tokens, base, exactly, frame_share, merging, run_length, tokens_of
from omnivmed.vision import prepare
from omnivmed.vision.budget import NANO_BUDGET
from tests import phantoms

# Four frames of four tokens: the second token brightens by 0.06 a frame, the third jumps once, the others rest.
LEVELS = np.array(
    [[0.0, 0.00, 0.0, 0.0], [0.0, 0.06, 0.0, 0.0], [0.0, 0.12, 0.5, 0.0], [0.0, 0.18, 0.5, 0.0]]
)


def frames(levels: np.ndarray = LEVELS, features: np.ndarray | None = None) -> Tokens:
    """Tokens of three equal values each."""
    return Tokens(np.repeat(levels[..., None], 3, axis=2).astype(np.float32), features)


def kept(name: str, tokens: Tokens | None = None, count: int | None = None) -> list[str]:
    """A string of 0 and 1 a frame."""
    keep = RULES[name].select(tokens or frames(), count).keep
    return ["".join("1" if one else "0" for one in frame) for frame in keep]


def test_previous_loses_slow_drift() -> None:
    assert kept("previous") == ["1111", "1000", "0010", "1000"]


def test_last_kept_lets_it_add_up() -> None:
    assert kept("last_kept") == ["1111", "1000", "0110", "1000"]


def test_x255_keeps_whatever_is_not_identical() -> None:
    assert kept("x255") == ["1111", "0100", "0110", "0100"]


def test_the_first_frame_defect_leaves_one_token_of_it() -> None:
    assert kept("first_frame_defect") == ["1000", "1000", "0010", "1000"]


def test_run_length_compares_tubelets_of_two_and_has_no_floor() -> None:
    # 0.12 - 0.18 + ... : token 2 changes by 0.18 from frame 0 to 3, token 3 by 0.5: both above 0.1 of theirs (0.045).
    assert kept("run_length") == ["1111", "1111", "0110", "0110"]
    still = frames(np.zeros((4, 4)))
    assert kept("run_length", still) == ["1111", "1111", "0000", "0000"]
    edge = np.zeros((4, 4))
    edge[2:, 0] = 0.1 * run_length.UNIT * 0.99
    edge[2:, 1] = 0.1 * run_length.UNIT * 1.01
    assert kept("run_length", frames(edge))[2:] == ["0100", "0100"]


def test_a_whole_slice_stays_or_leaves_one_token_and_the_reference_runs_along() -> None:
    # Against the slice last kept: 0.015, then (0.12 + 0.5) / 4 = 0.155 above 0.05, then 0.015 against that one.
    assert kept("whole_slice") == ["1111", "1000", "1111", "1000"]


def test_a_rate_ranks_over_the_whole_clip_and_may_empty_frames() -> None:
    turned = np.array(
        [[[1, 0], [1, 0]], [[1, 0.1], [1, 0]], [[1, 0.1], [0, 1]], [[1, 0.1], [0, 1]]], dtype=np.float32
    )
    tokens = Tokens(np.zeros((4, 2, 3), np.float32), turned)
    assert kept("rate", tokens) == ["11", "00", "00", "00"], "q = 0.75 of 8 is one frame"
    assert kept("rate", tokens, 3) == ["11", "00", "01", "00"], "the token that turned most"
    assert kept("rate", tokens, 4) == ["11", "10", "01", "00"]


def test_a_frame_unlike_the_others_gets_the_larger_share() -> None:
    rest, other = [[1, 0, 0], [1, 0.1, 0]], [[0, 0, 1], [0, 0.1, 1]]
    tokens = Tokens(np.zeros((4, 2, 3), np.float32), np.array([rest, rest, other, rest], dtype=np.float32))
    keep = RULES["frame_share"].select(tokens, 4).keep
    assert keep.sum() == 4
    assert keep[2].all(), "both of the frame that is unlike the rest"
    assert frame_share.shared_out(np.array([1.0, 0, 0]), 5, 3).tolist() == [3, 1, 1]
    assert frame_share.shared_out(np.ones(3), 9, 3).tolist() == [3, 3, 3]


def test_whole_frames_are_spread_and_random_follows_its_seed() -> None:
    assert kept("whole_frames", None, 8) == ["1111", "0000", "0000", "1111"]
    assert kept("whole_frames", None, 6) == ["1111", "0000", "0000", "1100"]
    once = RULES["random"].select(Tokens(frames().pixels, seed=3), 5).keep
    assert np.array_equal(once, RULES["random"].select(Tokens(frames().pixels, seed=3), 5).keep)
    assert not np.array_equal(once, RULES["random"].select(Tokens(frames().pixels, seed=4), 5).keep)


def test_merging_puts_what_is_dropped_into_its_nearest() -> None:
    values = np.array([[[0.0], [10.0]], [[1.0], [9.0]]], dtype=np.float32)
    keep = np.array([[True, True], [False, False]])
    assert merging.merged(values, keep).tolist() == [[0.5], [9.5]]
    assert kept("merging") == kept("previous")


@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.parametrize("make", [phantoms.ct_study, phantoms.clip_study])
def test_any_number_of_tokens_is_met_exactly(name: str, make: object) -> None:
    tokens = tokens_of(prepare(make(), NANO_BUDGET))  # type: ignore[operator]
    for count in (0, 1, 7, tokens.pixels.shape[1], tokens.pixels.shape[0] * tokens.pixels.shape[1]):
        assert int(RULES[name].select(tokens, count).keep.sum()) == count


@pytest.mark.parametrize("make", [phantoms.ct_study, phantoms.clip_study])
def test_ours_are_what_the_model_is_given(make: object) -> None:
    patches = prepare(make(), NANO_BUDGET)  # type: ignore[operator]
    tokens = tokens_of(patches)
    for reference in ("previous", "last_kept"):
        mask = keep_mask(patches, 0.1, reference)
        assert np.array_equal(RULES[reference].select(tokens, None).keep, mask.keep.reshape(tokens.shape))
    released = keep_mask(patches, 0.1, scale="x255").keep.reshape(tokens.shape)
    assert np.array_equal(RULES["x255"].select(tokens, None).keep, released)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="16 tokens cannot keep 17"):
        exactly(np.zeros((4, 4)), 17)
    with pytest.raises(ValueError, match="need as many features"):
        tokens_of(prepare(phantoms.ct_study(), NANO_BUDGET), np.zeros((3, 2)))
    assert base.cosine(np.zeros(2), np.zeros(2)) == 1.0


def test_every_rule_says_where_it_comes_from() -> None:
    assert all(rule.source and rule.floor for rule in RULES.values())
    assert {name for name, rule in RULES.items() if rule.comparison} == {"x255", "first_frame_defect"}
