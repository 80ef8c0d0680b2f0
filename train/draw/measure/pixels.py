"""PSNR and SSIM of pictures, numpy."""

from __future__ import annotations

import cv2
import numpy as np


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB of two uint8 pictures."""
    error = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return 10 * float(np.log10(255.0**2 / max(error, 1e-3)))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004) of two uint8 pictures, of their grey values: Gaussian of 1.5 pixels."""
    x, y = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (a, b))

    def blur(p: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(p, (11, 11), 1.5))

    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    out = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(out[5:-5, 5:-5].mean())


def interval(values: list[float], seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """95 % interval of a mean, by bootstrap."""
    rng, held = np.random.default_rng(seed), np.array(values)
    means = held[rng.integers(len(held), size=(draws, len(held)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def interval_over(
    values: list[float], people: list[str], seed: int = 0, draws: int = 1000
) -> tuple[float, float]:
    """95 % interval of a mean over values of several people, by drawing people and not values."""
    rng, held = np.random.default_rng(seed), np.array(values)
    names, which = np.unique(people, return_inverse=True)
    sums, counts = np.bincount(which, held), np.bincount(which)
    chosen = rng.integers(len(names), size=(draws, len(names)))
    low, high = np.percentile(sums[chosen].sum(1) / counts[chosen].sum(1), (2.5, 97.5))
    return float(low), float(high)
