from __future__ import annotations

import pytest

from omnivmed.eval.intervals import bootstrap, paired_difference, wilson


def test_wilson_against_published_values() -> None:
    # 8 of 10: 0.4902 to 0.9433 (Newcombe 1998, method 3 without continuity correction: formula by hand)
    low, high = wilson(8, 10)
    assert [low, high] == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert wilson(0, 0) == (0, 1)
    assert wilson(10, 10)[1] == pytest.approx(1)
    assert wilson(0, 10)[0] == 0


def test_groups_widen_the_interval() -> None:
    values = [1.0] * 50 + [0.0] * 50
    groups = [str(i // 10) for i in range(100)]  # ten images, all right or all wrong
    single, grouped = bootstrap(values), bootstrap(values, groups)
    assert grouped[1] - grouped[0] > 2 * (single[1] - single[0])
    assert bootstrap(values, groups) == grouped  # the seed is fixed
    assert bootstrap([]) == (0, 1)


def test_paired_difference() -> None:
    mean, low, high = paired_difference([1, 1, 1, 1], [0, 0, 0, 0])
    assert (mean, low, high) == (1, 1, 1)
    with pytest.raises(ValueError, match="same items"):
        paired_difference([1], [1, 0])
