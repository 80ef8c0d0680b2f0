"""The pruning rule: its definition, its edges, and the public function it must equal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnivmed.pruning import keep_mask, prune
from omnivmed.study import Study
from omnivmed.vision import VisionBudget
from tests.phantoms import ct_study, ct_volume, patches_of


def random_frames(t: int = 5, h: int = 56, w: int = 84, seed: int = 0) -> np.ndarray:
    """Each frame is the one before plus a change of different strength at every place."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (1, h, w, 3)).astype(np.int64)
    steps = rng.integers(-40, 41, (t, h, w, 3)) * rng.random((t, h // 28, w // 28, 1)).repeat(28, 1).repeat(
        28, 2
    )
    return np.clip(base + np.cumsum(steps, axis=0), 0, 255).astype(np.uint8)


def grey_steps(*levels: int) -> np.ndarray:
    """One 28 x 28 frame per grey level."""
    return np.stack([np.full((28, 28, 3), level, np.uint8) for level in levels])


def test_identical_frames_keep_one_token_each() -> None:
    mask = keep_mask(patches_of(np.repeat(random_frames(1), 6, axis=0)), threshold=0.0)
    assert mask.kept_per_frame.tolist() == [6, 1, 1, 1, 1, 1]
    assert mask.keep[1:, 0, 0].all()
    assert (mask.distance[1:] == 0).all()
    assert mask.all_at_floor


def test_frames_that_all_differ_are_all_kept() -> None:
    mask = keep_mask(patches_of(grey_steps(0, 255, 0, 255)))
    assert mask.kept == mask.total == 4
    assert not mask.all_at_floor


def test_one_frame_keeps_everything_at_any_threshold() -> None:
    mask = keep_mask(patches_of(random_frames(1)), threshold=2)
    assert mask.keep.all()
    assert np.isinf(mask.distance).all()
    assert not mask.all_at_floor


def test_threshold_two_leaves_the_first_frame_and_one_token_each() -> None:
    mask = keep_mask(patches_of(random_frames(6)), threshold=2)
    assert mask.kept_per_frame.tolist() == [6, 1, 1, 1, 1, 1]


def test_a_distance_equal_to_the_threshold_is_dropped() -> None:
    frames = random_frames(2)
    exact = float(keep_mask(patches_of(frames)).distance[1, 1, 2])
    assert not keep_mask(patches_of(frames), threshold=exact, min_tokens=0).keep[1, 1, 2]
    assert keep_mask(patches_of(frames), threshold=exact - 1e-6, min_tokens=0).keep[1, 1, 2]


def test_swapping_colour_channels_changes_nothing() -> None:
    frames = random_frames()
    left = keep_mask(patches_of(frames))
    right = keep_mask(patches_of(frames[..., [2, 0, 1]]))
    assert np.allclose(left.distance[1:], right.distance[1:], atol=1e-6)


def test_the_mask_is_in_raster_order() -> None:
    frames = np.zeros((2, 84, 112, 3), dtype=np.uint8)
    frames[1, 28:56, 84:112] = 255  # row 1, column 3 of a 3 x 4 grid
    mask = keep_mask(patches_of(frames), min_tokens=0)
    assert np.argwhere(mask.keep[1]).tolist() == [[1, 3]]
    assert mask.rects[1, 3].tolist() == [84, 28, 112, 56]


def test_a_slow_ramp_is_lost_by_previous_and_caught_by_last_kept() -> None:
    frames = grey_steps(*range(0, 100, 5))  # 5 grey levels a step, the threshold is 12.75
    assert keep_mask(patches_of(frames), min_tokens=0).kept == 1
    caught = keep_mask(patches_of(frames), reference="last_kept", min_tokens=0)
    assert np.flatnonzero(caught.keep.ravel()).tolist() == [0, 3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize("min_tokens", [0, 1, 3])
def test_last_kept_against_a_plain_loop(min_tokens: int) -> None:
    patches = patches_of(random_frames(8, seed=3))
    mask = keep_mask(patches, 0.05, "last_kept", min_tokens)
    t, h, w = patches.token_grid
    tokens = patches.patches.reshape(t, h * w, -1).astype(np.float64)
    anchor = tokens[0].copy()
    for i in range(1, t):
        kept = []
        for j in range(h * w):
            distance = np.abs(tokens[i, j] - anchor[j]).mean()
            assert mask.distance[i].ravel()[j] == pytest.approx(distance, abs=1e-6)
            kept.append(bool(distance > 0.05))
        if sum(kept) < min_tokens:
            kept[:min_tokens] = [True] * min_tokens
        assert mask.keep[i].ravel().tolist() == kept
        for j in map(int, np.flatnonzero(kept)):
            anchor[j] = tokens[i, j]


@given(seed=st.integers(0, 10_000), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_higher_threshold_never_keeps_more(seed: int, low: float, high: float) -> None:
    patches = patches_of(random_frames(4, seed=seed))
    low, high = sorted((low, high))
    assert keep_mask(patches, high).kept <= keep_mask(patches, low).kept


@pytest.mark.parametrize(
    ("ours", "scale", "theirs"), [(0.1, "unit", 25.5), (0.1, "x255", 0.1), (0.03, "unit", 7.65)]
)
def test_equals_the_public_function(ours: float, scale: str, theirs: float) -> None:
    import torch

    function = _public_mask_function()
    patches = patches_of(random_frames(6, seed=5))
    expected = function(
        None,
        torch.from_numpy(patches.patches),
        torch.tensor([patches.grid_thw]),
        torch.tensor([2]),
        threshold=theirs,
    )
    mask = keep_mask(patches, ours, scale=scale)  # type: ignore[arg-type]
    assert np.array_equal(mask.keep.ravel(), np.asarray(expected).ravel())


def _public_mask_function() -> Callable[..., object]:
    """transformers keeps it in the video processor's module, which only imports with torchvision; read it there."""
    import ast
    import importlib.util
    from pathlib import Path

    import torch

    spec = importlib.util.find_spec("transformers.models.video_llama_3")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "video_processing_video_llama_3.py"
    tree = ast.parse(path.read_text())
    found = [
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "_get_compression_mask"
    ]
    if not found:
        pytest.skip("this transformers version has no _get_compression_mask")
    node = found[0]
    node.decorator_list = []
    namespace: dict[str, Any] = {"torch": torch}
    # The installed library's own text, run without the torchvision that its module imports on top.
    exec(compile(ast.Module(body=[node], type_ignores=[]), str(path), "exec"), namespace)  # noqa: S102
    made: Callable[..., object] = namespace[node.name]
    return made


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": -0.1},
        {"threshold": float("nan")},
        {"threshold": float("inf")},
        {"min_tokens": -1},
        {"reference": "next"},
        {"scale": "x"},
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        keep_mask(patches_of(random_frames(2)), **wrong)  # type: ignore[arg-type]


def test_the_window_decides_what_a_threshold_means() -> None:
    """A step of 30 HU crosses 0.1 under a 400 HU window (20 HU) and not under a 1500 HU one (75 HU)."""
    volume = np.zeros((2, 56, 56), dtype=np.int16)
    volume[1, :28, :28] = 30
    study = Study.from_array(volume, kind="volume", spacing_mm=(5, 1, 1), modality="CT", window=(40, 400))
    budget = VisionBudget(max_tokens=8, min_tokens=1)
    narrow = prune(study, budget=budget, min_tokens=0)
    wide = prune(study.with_window((-600, 1500)), budget=budget, min_tokens=0)
    assert narrow.keep[1].sum() == 1
    assert wide.keep[1].sum() == 0
    assert narrow.threshold_meaning == "20 HU at a window of 400 HU"
    assert wide.threshold_raw == pytest.approx(75)


def test_a_lesion_shows_in_the_slices_where_it_begins_and_ends() -> None:
    changed = prune(ct_study().with_window((40, 80)), threshold=0.03, min_tokens=0).kept_per_frame
    assert changed[4] > changed[3]
    assert changed[7] > changed[8]


def test_sixty_four_frames_take_less_than_a_second_of_processor_time() -> None:
    volume = ct_volume(64, (256, 256))
    study = Study.from_array(volume, kind="volume", spacing_mm=(3, 1, 1), modality="CT", window=(40, 400))
    start = time.process_time()
    mask = prune(study, budget="published")
    assert time.process_time() - start < 2.0  # two cores
    assert mask.keep.shape[0] == 64
