"""Heat over one frame, drawn from the mask that the model used and from nothing else."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np

from omnivmed.pruning import KeepMask

Mode = Literal["kept", "distance", "run"]
MODES: tuple[Mode, ...] = get_args(Mode)

KEPT_RGB = (255, 176, 0)
PRUNED_RGB = (30, 58, 138)
"""Amber and blue, as in the viewer: apart for every kind of colour vision, and the dark one is what was pruned."""
KEPT_WEIGHT = 0.2  # of alpha: what was kept stays readable


def heat_lut() -> np.ndarray:
    """uint8 (256, 3) RGB from low to high: cividis, made for colour-blind eyes and even in lightness."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.applyColorMap(ramp, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1].copy()


def token_colours(mask: KeepMask, index: int, mode: Mode = "kept") -> tuple[np.ndarray, np.ndarray]:
    """Colour and weight of each token of the ``index``-th sampled frame.

    Returns:
        uint8 (h, w, 3) RGB and float32 (h, w) in 0..1, how much of it is laid over the picture.

    * "kept": kept tokens stay clear behind a thin amber veil, pruned ones go dark blue;
    * "distance": heat from 0 to twice the threshold, the first frame at full heat;
    * "run": the longer a token has stood for its place, the hotter; 1 frame to all frames, logarithmic.
    """
    keep = mask.keep[index]
    if mode == "kept":
        colours = np.where(keep[..., None], np.array(KEPT_RGB), np.array(PRUNED_RGB)).astype(np.uint8)
        return colours, np.where(keep, KEPT_WEIGHT, 1.0).astype(np.float32)
    if mode == "distance":
        top = 2 * mask.threshold if mask.threshold > 0 else 0.2
        level = np.clip(np.nan_to_num(mask.distance[index], posinf=top) / top, 0, 1)
    elif mode == "run":
        level = np.log(mask.run_length[index]) / np.log(max(len(mask.keep), 2))
    else:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    return heat_lut()[np.round(level * 255).astype(np.uint8)], np.ones(keep.shape, dtype=np.float32)


def overlay(
    frame_HWC: np.ndarray, mask: KeepMask, index: int, *, mode: Mode = "kept", alpha: float = 0.55
) -> np.ndarray:
    """uint8 (H, W, 3) picture → the same with the mask's ``index``-th sampled frame laid over it.

    Args:
        frame_HWC: the study's frame ``mask.frame_index[index]``, at source size.
        alpha: 0 (picture only) to 1 (colour only).

    Raises:
        ValueError: the picture's size is not the one the mask was made on, or an unknown mode.
    """
    if frame_HWC.shape[:2] != mask.source_size:
        raise ValueError(f"the mask belongs to a picture of {mask.source_size}, not {frame_HWC.shape[:2]}")
    colours, weight = token_colours(mask, index, mode)
    # Token borders fall between pixels; each pixel takes the token that holds its centre.
    rows = _token_of_pixel(mask.rects[:, 0, 3], mask.source_size[0])
    cols = _token_of_pixel(mask.rects[0, :, 2], mask.source_size[1])
    laid = colours[rows][:, cols].astype(np.float32)
    share = (weight * alpha)[rows][:, cols][..., None]
    mixed: np.ndarray = frame_HWC * (1 - share) + laid * share
    return np.round(mixed).astype(np.uint8)


def _token_of_pixel(ends: np.ndarray, size: int) -> np.ndarray:
    """Index of the token that holds each pixel centre, int (size,); ``ends`` are the tokens' far borders."""
    return np.minimum(np.searchsorted(ends, np.arange(size) + 0.5, side="right"), len(ends) - 1)


def legend(mask: KeepMask) -> str:
    """One line that must go with every picture: what was kept, at which threshold, and what that means."""
    if mask.reference == "off":
        return f"All {mask.total} tokens, pruning off. Not for clinical use."
    reference = "" if mask.reference == "previous" else ", against the last kept token"
    return (
        f"{mask.kept} of {mask.total} tokens kept ({mask.kept_ratio:.0%}) at threshold {mask.threshold:g} "
        f"= {mask.threshold_meaning}{reference}. Not for clinical use."
    )
