"""Layers of a change lie on the grid of the stamped picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from omnivmed import provenance
from omnivmed.viz.change import LEAST, before_png, changed_share, heat_png


def test_heat_is_where_the_change_is_and_nowhere_else() -> None:
    change = np.zeros((64, 64), np.float32)
    change[16:32, 40:56] = 0.5
    change[0, 0] = LEAST / 2
    size = provenance.stamped(np.zeros((64, 64, 3), np.uint8), "m").shape[:2]
    heat = np.asarray(Image.open(io.BytesIO(heat_png(change, size))))
    assert heat.shape == (*size, 4)
    inside, outside = heat[16 * 8 + 8 : 32 * 8 - 8, 40 * 8 + 8 : 56 * 8 - 8, 3], heat[40 * 8 :, :, 3]
    assert inside.min() > 200
    assert outside.max() == 0
    assert heat[0, 0, 3] == 0
    assert changed_share(change) == 256 / 64**2


def test_before_lies_under_after_and_is_not_stamped() -> None:
    given = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2) * 4
    size = provenance.stamped(given, "m").shape[:2]
    before = np.asarray(Image.open(io.BytesIO(before_png(given, size))))
    assert before.shape == (*size, 3)
    assert np.array_equal(before[:512], provenance.enlarged(given))
    assert provenance.of_pixels(before) is None
