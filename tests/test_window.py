"""Windows: the exact map, presets, the automatic choice, look-up tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnivmed.window import (
    CT_PRESETS,
    PERCENTILES,
    apply_window,
    auto_window,
    ct_preset,
    ct_preset_for,
    window_table,
)


def test_ends_and_middle() -> None:
    values = np.array([-161, -160, 40, 239.9, 240, 5000], np.float32)
    assert apply_window(values, 40, 400).tolist() == [0, 0, 128, 255, 255, 255]
    assert np.array_equal(apply_window(values, 40, 400, inverted=True), 255 - apply_window(values, 40, 400))


def test_eight_bits_stay_themselves() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(apply_window(values, 127.5, 255), values)


def test_odd_numbers_are_shown_and_widths_never_divide_by_zero() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 5], np.float32)
    assert apply_window(values, 5, 2).tolist() == [0, 255, 0, 128]
    assert apply_window(np.array([4.0, 6.0]), 5, 0).tolist() == [0, 255]


@given(
    st.sampled_from(["u1", "i1", "u2", "i2"]),
    st.floats(-2000, 2000),
    st.floats(1, 5000),
    st.floats(0.1, 5),
    st.booleans(),
)
def test_tables_are_the_map(kind: str, level: float, width: float, slope: float, inverted: bool) -> None:
    dtype = np.dtype(kind)
    table = window_table(dtype, slope, -7.0, (level, width), inverted)
    assert table is not None
    info = np.iinfo(dtype)
    stored = np.linspace(info.min, info.max, 97).astype(dtype)
    seen = table[stored.view(np.uint16 if dtype.itemsize == 2 else np.uint8)]
    assert np.array_equal(seen, apply_window(stored.astype(np.float64) * slope - 7.0, level, width, inverted))


def test_wide_types_have_no_table() -> None:
    assert window_table(np.dtype(np.float32), 1, 0, (0, 1), False) is None
    assert window_table(np.dtype(np.int32), 1, 0, (0, 1), False) is None


def test_presets_have_names_and_say_so() -> None:
    assert ct_preset("brain") == (40.0, 80.0)
    with pytest.raises(KeyError, match="lung"):
        ct_preset("elbow")
    assert len({name for name, _, _ in CT_PRESETS}) == len(CT_PRESETS)
    assert ct_preset_for("HEADNECK") == ct_preset("brain")
    assert ct_preset_for("LSPINE") == ct_preset("bone")
    assert ct_preset_for(None) is None


def test_ct_goes_by_body_part_then_by_content() -> None:
    hounsfield = np.concatenate([np.full(500, -1000), np.linspace(-100, 300, 500)])
    assert auto_window(hounsfield, "CT", "HEAD") == (40.0, 80.0)
    assert auto_window(hounsfield, "CT", "CHEST") == (40.0, 400.0)
    assert auto_window(hounsfield, "CT") == (40.0, 400.0)


def test_background_does_not_decide_over_the_body() -> None:
    rng = np.random.default_rng(0)
    body = rng.normal(600, 80, 20_000)
    alone = auto_window(body)
    with_air = auto_window(np.concatenate([np.zeros(180_000), body]))
    top = with_air[0] + with_air[1] / 2
    assert top == pytest.approx(alone[0] + alone[1] / 2, rel=0.02)
    assert with_air[0] - with_air[1] / 2 == 0


@pytest.mark.parametrize(("share", "left_out"), [(0.09, False), (0.11, True)])
def test_background_counts_from_a_tenth_of_the_study(share: float, left_out: bool) -> None:
    """Below, the black point is a percentile of everything; from there on it is the floor itself."""
    n = 10_000
    floor = round(share * n)
    values = np.concatenate([np.full(floor, -50.0), np.linspace(100, 1100, n - floor)])
    level, width = auto_window(values, "MR")
    bright = np.percentile(values[floor:] if left_out else values, PERCENTILES[1])
    assert level + width / 2 == pytest.approx(bright)
    assert level - width / 2 == pytest.approx(-50.0)


def test_padding_is_left_out() -> None:
    values = np.concatenate([np.full(1000, -2000), np.linspace(100, 200, 1000)])
    level, width = auto_window(values, padding=(-2000, -2000))
    assert level - width / 2 > 90


def test_hopeless_values_still_give_a_window() -> None:
    assert auto_window(np.full(10, 5.0))[1] > 0
    assert auto_window(np.array([np.nan, np.inf]))[1] > 0
    assert auto_window(np.array([], np.float32))[1] > 0
