"""2D rotary positions of the vision encoder (axial RoPE over patch row and patch column).

Legend: ``h``, ``w`` patch row and column in the frame; ``D`` head size; ``D/4`` frequencies per axis.
``f_i = theta ** (-2 i / (D/2))`` for ``i = 0 .. D/4 - 1``; the angle vector of a patch at ``(h, w)`` is
``[h f, w f]`` concatenated with itself, so that pair ``(i, i + D/2)`` is rotated by one angle.
Positions are patch indices of that frame: they are not rescaled with the resolution, and there is no
temporal term (every frame is encoded alone).
"""

from __future__ import annotations

import torch


def axial_frequencies(head_dim: int, theta: float) -> torch.Tensor:
    """Return the ``(head_dim / 4,)`` float32 frequencies shared by rows and columns.

    Raises ValueError when ``head_dim`` is not a multiple of 4.
    """
    if head_dim % 4:
        raise ValueError(f"2D rotary positions need a head size divisible by 4, got {head_dim}")
    half = head_dim // 2
    return 1.0 / (theta ** (torch.arange(0, half, 2, dtype=torch.float32) / half))


def patch_positions(
    grid_h: int, grid_w: int, merge_size: int, device: torch.device | None = None
) -> torch.Tensor:
    """Return ``(grid_h * grid_w, 2)`` int64 rows ``(h, w)`` in merge-block order.

    Rows run (block row, block column, row in block, column in block), the order in which patches are
    stored, so that ``merge_size ** 2`` consecutive rows form one merged token. Raises ValueError when the
    grid does not consist of whole blocks.
    """
    if grid_h % merge_size or grid_w % merge_size:
        raise ValueError(
            f"grid {grid_h} x {grid_w} is not made of whole {merge_size} x {merge_size} merge blocks"
        )
    rows = torch.arange(grid_h, device=device)[:, None].expand(grid_h, grid_w)
    columns = torch.arange(grid_w, device=device)[None, :].expand(grid_h, grid_w)
    blocks = (grid_h // merge_size, merge_size, grid_w // merge_size, merge_size)
    return torch.stack([p.reshape(blocks).transpose(1, 2).flatten() for p in (rows, columns)], dim=-1)


def rotary_tables(positions_N2: torch.Tensor, frequencies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float32 ``cos`` and ``sin`` tables ``(N, D)`` for patches at ``positions_N2``."""
    angles = (positions_N2[..., None].float() * frequencies.to(positions_N2.device)).flatten(1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=-1), torch.cat([sin, sin], dim=-1)


def rotate(x_BHLD: torch.Tensor, cos_LD: torch.Tensor, sin_LD: torch.Tensor) -> torch.Tensor:
    """Rotate queries or keys ``(B, H, L, D)``; computed in float32, returned in the dtype of ``x``."""
    first, second = x_BHLD.chunk(2, dim=-1)  # the float32 tables promote: no copy of x in float32 first
    return (x_BHLD * cos_LD + torch.cat([-second, first], dim=-1) * sin_LD).to(x_BHLD.dtype)
