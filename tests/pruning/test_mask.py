"""The mask as a value: run lengths, counts, words, JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from omnivmed.pruning import keep_mask, prune
from omnivmed.pruning.mask import run_length
from tests.phantoms import clip_study, ct_study, moving_clip, patches_of


def test_run_lengths_by_eye() -> None:
    keep = np.array([[1, 1], [0, 1], [0, 0], [1, 0], [0, 0]], dtype=bool).reshape(5, 1, 2)
    assert run_length(keep)[:, 0, 0].tolist() == [3, 3, 3, 2, 2]
    assert run_length(keep)[:, 0, 1].tolist() == [1, 4, 4, 4, 4]


def test_run_lengths_of_kept_tokens_add_up_to_all_tokens() -> None:
    mask = prune(ct_study())
    assert mask.run_length[mask.keep].sum() == mask.total


def test_counts_agree() -> None:
    mask = keep_mask(patches_of(moving_clip(8)))
    assert mask.total == 8 * 3 * 4
    assert mask.kept == mask.kept_per_frame.sum() == mask.keep.sum()
    assert 0 < mask.kept_ratio < 1


def test_only_the_moving_square_is_kept() -> None:
    """The static corner mark and background go, save the one token that every frame keeps."""
    mask = keep_mask(patches_of(moving_clip(8)), min_tokens=0)
    assert set(np.argwhere(mask.keep[1:])[:, 1]) <= {1, 2}


def test_meaning_in_grey_levels() -> None:
    mask = prune(clip_study())
    assert mask.threshold_raw is None
    assert mask.threshold_meaning == "12.8 of 255 grey levels"
    x255 = keep_mask(patches_of(moving_clip(3)), 0.1, scale="x255")
    assert x255.threshold_meaning == "0.05 of 255 grey levels"


def test_json_round_trip() -> None:
    mask = prune(ct_study())
    data = json.loads(json.dumps(mask.to_dict()))
    t, h, w = data["grid_thw"]
    keep = np.array([[c == "1" for c in row] for row in data["keep"]]).reshape(t, h, w)
    assert np.array_equal(keep, mask.keep)
    assert data["distance"][0] is None
    assert np.allclose(np.array(data["distance"][1:]).reshape(t - 1, h, w), mask.distance[1:], atol=1e-4)
    assert data["kept"] == mask.kept
    assert data["schema"] == "omnivmed.keep_mask/1"
    assert len(data["rects"]) == h * w


def test_pruning_loads_no_torch() -> None:
    code = (
        "import sys, numpy as np, omnivmed as ov\n"
        "s = ov.Study.from_array(np.zeros((4, 64, 64), np.uint8), kind='volume')\n"
        "ov.prune(s)\n"
        "print([m for m in ('torch', 'transformers', 'gradio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3])
def test_the_threshold_stands_in_the_mask(threshold: float) -> None:
    mask = prune(ct_study(), threshold=threshold)
    assert mask.threshold == threshold
    assert np.array_equal(
        mask.keep[1:].reshape(11, -1)[:, 1:], (mask.distance[1:] > threshold).reshape(11, -1)[:, 1:]
    )
