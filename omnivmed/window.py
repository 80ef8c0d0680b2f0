"""Raw values to display grey: one window (level, width) per study, chosen once, stored, never applied to the data.

The map is DICOM's LINEAR_EXACT (PS3.3 C.11.2.1.3.2): grey = 255 * clip((x - level) / width + 0.5, 0, 1).
It differs from LINEAR by half a unit of the file, and has no hole at width 1.
Values and windows are in file units after the modality transform (HU for CT).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Window = tuple[float, float]

# (name, level, width) in HU, as on a workstation.
CT_PRESETS: tuple[tuple[str, float, float], ...] = (
    ("brain", 40.0, 80.0),
    ("soft tissue", 40.0, 400.0),
    ("lung", -600.0, 1500.0),
    ("bone", 400.0, 1800.0),
    ("mediastinum", 50.0, 350.0),
    ("liver", 60.0, 160.0),
    ("angio", 300.0, 600.0),
)

# BodyPartExamined words -> CT preset. The first hit counts.
_CT_BODY_PARTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("HEAD", "BRAIN", "SKULL"), "brain"),
    (("LUNG",), "lung"),
    (
        ("SPINE", "EXTREMITY", "LEG", "ARM", "HAND", "FOOT", "KNEE", "ANKLE", "WRIST", "ELBOW", "FEMUR"),
        "bone",
    ),
    (("LIVER",), "liver"),
    (("CHEST", "THORAX", "HEART", "NECK", "ABDOMEN", "PELVIS"), "soft tissue"),
)

PERCENTILES = (0.5, 99.5)


def ct_preset(name: str) -> Window:
    """(level, width) of a preset by its name; KeyError lists the names."""
    for preset, level, width in CT_PRESETS:
        if preset == name:
            return (level, width)
    raise KeyError(f"no CT preset {name!r}; use one of {[p[0] for p in CT_PRESETS]}")


def apply_window(
    values: NDArray[np.generic], level: float, width: float, inverted: bool = False
) -> NDArray[np.uint8]:
    """Grey (same shape, uint8) of raw values; NaN and -Inf are shown as the lowest value, +Inf as the highest."""
    width = max(float(width), 1e-6)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.array(values, dtype=np.float32)
        scaled -= np.float32(level)
        scaled *= np.float32(255.0 / width)
        scaled += np.float32(127.5)
        np.clip(scaled, 0.0, 255.0, out=scaled)
    np.nan_to_num(scaled, copy=False, nan=0.0)
    scaled += np.float32(0.5)
    grey = scaled.astype(np.uint8)
    return np.subtract(255, grey, dtype=np.uint8) if inverted else grey


def window_table(
    dtype: np.dtype[np.generic], slope: float, intercept: float, window: Window, inverted: bool
) -> NDArray[np.uint8] | None:
    """Look-up table (256 or 65536,) from the stored bit pattern (viewed unsigned) to grey, or None for wide types."""
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        return None
    bits = 8 * dtype.itemsize
    unsigned = np.arange(2**bits, dtype=np.uint16 if bits == 16 else np.uint8)
    stored = unsigned.view(dtype.newbyteorder("=")).astype(np.float64)
    return apply_window(stored * slope + intercept, *window, inverted=inverted)


def auto_window(
    values: NDArray[np.generic],
    modality: str | None = None,
    body_part: str | None = None,
    padding: tuple[float, float] | None = None,
) -> Window:
    """The window of a study that brings none of its own: CT preset by body part, else percentiles of the whole study.

    `values`: raw numbers in file units, any shape (a subsample will do). `padding`: lowest and highest padding value,
    left out of the statistics. For everything but CT the constant background (the most frequent lowest value) is left
    out too when it fills a tenth of the study, so that air around a head does not set the black point of the brain.
    """
    if modality == "CT":
        preset = ct_preset_for(body_part)
        if preset is not None:
            return preset
    sample = _subsample(np.asarray(values).ravel())
    sample = sample[np.isfinite(sample)]
    if padding is not None:
        kept = sample[(sample < padding[0]) | (sample > padding[1])]
        sample = kept if kept.size else sample
    if sample.size == 0:
        return (0.5, 1.0)
    if modality == "CT" and sample.min() < -500 and sample.max() > 100:
        return ct_preset("soft tissue")
    low_value = sample.min()
    at_floor = np.count_nonzero(sample == low_value)
    if 0.1 * sample.size <= at_floor < sample.size:
        body = sample[sample != low_value]
        # The floor itself stays black: only the bright end is set by the body alone.
        low, high = float(low_value), float(np.percentile(body, PERCENTILES[1]))
    else:
        low, high = (float(v) for v in np.percentile(sample, PERCENTILES))
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    if high <= low:
        return (low, 1.0)
    return ((low + high) / 2.0, high - low)


def ct_preset_for(body_part: str | None) -> Window | None:
    """CT preset of a BodyPartExamined word, or None when the word says nothing."""
    if not body_part:
        return None
    word = body_part.upper()
    for words, preset in _CT_BODY_PARTS:
        if any(w in word for w in words):
            return ct_preset(preset)
    return None


def _subsample(flat: NDArray[np.generic], limit: int = 2_000_000) -> NDArray[np.float32]:
    # A stride prime to common row lengths, so that whole columns are not left out.
    step = max(1, flat.size // limit)
    if step > 1 and step % 2 == 0:
        step += 1
    return flat[::step].astype(np.float32)
