"""The picture shows the mask, where it is, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from omnivmed.pruning import keep_mask, prune
from omnivmed.viz import MODES, contact_sheet, kept_strip, legend, overlay
from omnivmed.viz.overlay import KEPT_RGB, KEPT_WEIGHT, PRUNED_RGB
from tests.phantoms import clip_study, ct_study, moving_clip, patches_of


def test_pixels_take_the_colour_of_their_token() -> None:
    frames = np.zeros((2, 84, 112, 3), dtype=np.uint8)
    frames[1, 28:56, 84:112] = 255
    mask = keep_mask(patches_of(frames), min_tokens=0)
    picture = overlay(np.full((84, 112, 3), 200, np.uint8), mask, 1, alpha=1.0)
    kept_colour = np.round(200 * (1 - KEPT_WEIGHT) + np.array(KEPT_RGB) * KEPT_WEIGHT)
    assert np.array_equal(picture[28:56, 84:112], np.broadcast_to(kept_colour, (28, 28, 3)))
    assert (picture[:28] == PRUNED_RGB).all()
    assert (picture[28:56, :84] == PRUNED_RGB).all()


@pytest.mark.parametrize("mode", MODES)
def test_alpha_zero_is_the_picture(mode: str) -> None:
    study = ct_study()
    mask = prune(study)
    frame = study.take([3])[0]
    assert np.array_equal(overlay(frame, mask, 3, mode=mode, alpha=0.0), frame)  # type: ignore[arg-type]


def test_the_hottest_place_moved_most() -> None:
    mask = keep_mask(patches_of(moving_clip(8)))
    colours = overlay(np.zeros((84, 112, 3), np.uint8), mask, 4, mode="distance", alpha=1.0)
    hot = np.unravel_index(mask.distance[4].argmax(), mask.distance[4].shape)
    cold = np.unravel_index(mask.distance[4].argmin(), mask.distance[4].shape)

    def lightness(token: tuple[np.intp, ...]) -> float:
        return float(colours[int(token[0]) * 28 + 14, int(token[1]) * 28 + 14].mean())

    assert lightness(hot) > lightness(cold)


def test_a_picture_of_another_size_is_refused() -> None:
    mask = keep_mask(patches_of(moving_clip(3)))
    with pytest.raises(ValueError, match="belongs to"):
        overlay(np.zeros((10, 10, 3), np.uint8), mask, 0)


def test_the_strip_is_as_high_as_the_kept_share() -> None:
    mask = prune(clip_study(40))
    strip = kept_strip(mask, 400, 48)
    width = 400 // len(mask.keep)
    for i, kept in enumerate(mask.kept_per_frame):
        column = strip[2:46, i * width + width // 2]
        amber = (column == KEPT_RGB).all(axis=1).sum()
        assert abs(amber - kept / mask.keep[0].size * 44) <= 1


def test_the_sheet_holds_all_frames() -> None:
    study = ct_study(20)
    mask = prune(study)
    sheet = contact_sheet(study, mask, tile=64, columns=5)
    assert sheet.shape[0] > 4 * 55
    assert sheet.dtype == np.uint8


def test_the_legend_says_what_the_threshold_means() -> None:
    words = legend(prune(ct_study(), reference="last_kept"))
    assert "20 HU" in words
    assert "last kept" in words
    assert "Not for clinical use" in words
