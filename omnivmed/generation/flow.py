"""Rectified flow: times, the way from picture to noise, guidance, Euler steps. Functions of tensors, no network.

x_t = (1 - t) x0 + t eps; the network estimates v = eps - x0; t runs from 1 (noise) to 0 (picture).
UniMedVL (arXiv 2510.15710) and BAGEL train and sample so.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Renorm = Literal["none", "global", "channel"]


def shift_times(t: Tensor, shift: float) -> Tensor:
    """t' = s t / (1 + (s - 1) t): above 1 more of the time is spent near noise."""
    return shift * t / (1 + (shift - 1) * t)


def sample_times(
    count: int, generator: torch.Generator | None, mean: float = 0.0, spread: float = 1.0, shift: float = 1.0
) -> Tensor:
    """Training times (count,) in (0, 1): sigmoid of a normal, then shifted."""
    return shift_times(torch.sigmoid(torch.randn(count, generator=generator) * spread + mean), shift)


def mix(x0: Tensor, noise: Tensor, t_B: Tensor) -> Tensor:
    """x_t of every picture of a batch, each at its own time."""
    t = t_B.view(-1, *(1,) * (x0.ndim - 1))
    return (1 - t) * x0 + t * noise


def velocity(x0: Tensor, noise: Tensor) -> Tensor:
    """What the network is to estimate."""
    return noise - x0


def estimate(x_t: Tensor, v: Tensor, t: float) -> Tensor:
    """The picture that x_t would become if v stayed as it is: x0 = x_t - t v."""
    return x_t - t * v


def schedule(steps: int, shift: float) -> list[float]:
    """steps + 1 times from 1 to 0. Raises ValueError for fewer than one step."""
    if steps < 1:
        raise ValueError(f"a picture takes at least one step, got {steps}")
    return [float(t) for t in shift_times(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift)]


def guide(
    full: Tensor,
    without_text: Tensor | None,
    without_image: Tensor | None,
    cfg_text: float,
    cfg_image: float,
    renorm: Renorm = "global",
) -> Tensor:
    """Guided velocity (B, C, h, w): first away from the estimate without text, then from that without the image.

    None, or a weight of 1: no guidance of that kind. renorm: the guided estimate gets no longer than the conditional
    one, over a picture ("global") or each channel of it ("channel").
    """
    v = full
    if without_text is not None and cfg_text != 1:
        v = without_text + cfg_text * (v - without_text)
    if without_image is not None and cfg_image != 1:
        v = without_image + cfg_image * (v - without_image)
    if v is full or renorm == "none":
        return v
    over = tuple(range(1, v.ndim)) if renorm == "global" else tuple(range(2, v.ndim))
    norm, most = (torch.linalg.vector_norm(x, dim=over, keepdim=True) for x in (v, full))
    shorter: Tensor = (most / norm.clamp_min(1e-8)).clamp(max=1)
    return v * shorter
