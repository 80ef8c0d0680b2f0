"""2D rotary positions against the formula, written out patch by patch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from omnivmed.model.rotary import axial_frequencies, patch_positions, rotary_tables, rotate
from omnivmed.vision import patchify


def test_positions_run_block_by_block() -> None:
    positions = patch_positions(4, 4, 2).tolist()
    assert positions[:5] == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2]]
    assert positions[8] == [2, 0]
    assert patch_positions(2, 3, 1).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


def test_positions_follow_the_rows_of_patchify() -> None:
    """Paint each patch with its own row and column, then read both back from the rows."""
    frame = np.zeros((1, 56, 84, 3), dtype=np.uint8)
    for y in range(4):
        for x in range(6):
            frame[0, y * 14 : y * 14 + 14, x * 14 : x * 14 + 14] = (y, x, 0)
    rows, (_, grid_h, grid_w) = patchify(frame, 2)
    painted = np.round((rows.reshape(-1, 3, 196).mean(axis=2) + 1) * 127.5).astype(int)[:, :2]
    assert patch_positions(grid_h, grid_w, 2).tolist() == painted.tolist()


def test_grid_must_hold_whole_blocks() -> None:
    with pytest.raises(ValueError, match="whole 2 x 2"):
        patch_positions(4, 5, 2)


@pytest.mark.parametrize(("head_dim", "theta"), [(72, 10000.0), (64, 100.0)])
def test_rotation_follows_the_formula(head_dim: int, theta: float) -> None:
    frequencies = axial_frequencies(head_dim, theta)
    assert frequencies.shape == (head_dim // 4,)
    cos, sin = rotary_tables(torch.tensor([[3, 5]]), frequencies)
    x = torch.randn(1, 1, 1, head_dim, generator=torch.Generator().manual_seed(0))
    got = rotate(x, cos, sin)[0, 0, 0].tolist()
    half = head_dim // 2
    for i in range(half):
        position = 3 if i < head_dim // 4 else 5
        angle = position * theta ** (-2 * (i % (head_dim // 4)) / half)
        a, b = x[0, 0, 0, i].item(), x[0, 0, 0, i + half].item()
        assert got[i] == pytest.approx(a * math.cos(angle) - b * math.sin(angle), abs=1e-6)
        assert got[i + half] == pytest.approx(b * math.cos(angle) + a * math.sin(angle), abs=1e-6)


def test_attention_depends_on_distance_only() -> None:
    frequencies = axial_frequencies(24, 10000.0)
    generator = torch.Generator().manual_seed(1)
    q, k = torch.randn(2, 1, 1, 1, 24, generator=generator)

    def score(a: tuple[int, int], b: tuple[int, int]) -> float:
        rotated = [
            rotate(x, *rotary_tables(torch.tensor([place]), frequencies)) for x, place in ((q, a), (k, b))
        ]
        return float((rotated[0] * rotated[1]).sum())

    assert score((0, 0), (2, 3)) == pytest.approx(score((7, 4), (9, 7)), abs=1e-5)
    assert score((0, 0), (2, 3)) != pytest.approx(score((0, 0), (3, 2)), abs=1e-3)


def test_head_size_must_split_in_four() -> None:
    with pytest.raises(ValueError, match="divisible by 4"):
        axial_frequencies(30, 100.0)
