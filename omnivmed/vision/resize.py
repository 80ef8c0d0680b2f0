"""The public resize rule (VideoLLaMA3 / transformers ``smart_resize``), with its two gaps closed."""

from __future__ import annotations

import math

from omnivmed.resample import resize_frames

__all__ = ["resize_frames", "target_size"]


def target_size(
    height: float,
    width: float,
    *,
    frames: int = 1,
    merge_size: int = 1,
    max_tokens: int,
    min_tokens: int = 16,
    patch_size: int = 14,
) -> tuple[int, int]:
    """Height and width in pixels to which each frame is resized; both multiples of ``patch_size * merge_size``.

    Each side is rounded to that multiple; if the area then exceeds this frame's share of the budget,
    both sides shrink by one factor and are floored, if it falls short of ``min_tokens`` they grow and are
    ceiled. The aspect ratio is kept to within one multiple.

    Two differences from the public code, both for extreme shapes: no side ever becomes 0, and a strip longer
    than 200:1 is clamped to the budget instead of raising.

    Args:
        height, width: source size in pixels; fractions are allowed (a size corrected for pixel spacing).
        frames: frames sharing ``max_tokens``.
        max_tokens: merged tokens for all frames together, >= 1.

    Raises:
        ValueError: a size, frame count or budget below 1.
    """
    if min(height, width) <= 0 or frames < 1 or max_tokens < 1:
        raise ValueError(f"cannot resize {frames} frames of {height} x {width} to {max_tokens} tokens")
    factor = patch_size * merge_size
    max_pixels = max(max_tokens * factor * factor // frames, factor * factor)
    new_h = max(factor, round(height / factor) * factor)
    new_w = max(factor, round(width / factor) * factor)
    least = min(min_tokens * factor * factor, max_pixels)
    if new_h * new_w < least:
        beta = math.sqrt(least / (height * width))
        new_h = math.ceil(height * beta / factor) * factor
        new_w = math.ceil(width * beta / factor) * factor
    if new_h * new_w > max_pixels:  # too large, or grown past a budget as small as min_tokens
        beta = math.sqrt(height * width / max_pixels)
        new_h = max(factor, math.floor(height / beta / factor) * factor)
        new_w = max(factor, math.floor(width / beta / factor) * factor)
    if new_h * new_w > max_pixels:  # a strip: one side stands at its minimum, the other takes what is left
        longest = max(factor, max_pixels // factor // factor * factor)
        new_h, new_w = (longest, factor) if new_h > new_w else (factor, longest)
    return new_h, new_w
