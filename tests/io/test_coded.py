"""Frame k of the study is the k-th frame of the file, for the encodings that make seeking hard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivmed.io import open_study
from tests.browser import coded

FRAMES = 80


@pytest.mark.parametrize("name", coded.ENCODINGS)
def test_every_frame_is_the_one_asked_for(tmp_path: Path, name: str) -> None:
    path = coded.ENCODINGS[name](tmp_path, FRAMES, size=(320, 180))
    with open_study(path, isolated=False) as study:
        assert study.shape == (FRAMES, 180, 320), "upright, and none lost"
        order = np.random.default_rng(2).permutation(FRAMES).tolist()
        assert [coded.number_of(study.take([k])[0]) for k in order] == order
        if name == "variable rate":
            assert study.times_s is not None
            np.testing.assert_allclose(study.times_s, coded.uneven_ms(FRAMES) / 1000, atol=2e-3)
