"""Items (one picture to look at) and their views: window, crop, degrade, resize. Pure functions of a generator.

Random windows, crops, resolutions, blur and noise are there so that a source cannot be recognised by its
look: a model trained on few CT sources otherwise calls the next scanner's CT an MRI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image

from omnivmed.vision import NANO_BUDGET, target_size
from train.nano.data.bank import Entry

FACTOR = 28  # patch 14 x merge 2: pixels per merged token
STILL_TOKENS, FRAME_TOKENS = NANO_BUDGET.image_max_tokens or 0, NANO_BUDGET.frame_max_tokens or 0

# level, width in HU
CT_WINDOWS = ((40, 80), (40, 400), (50, 350), (-600, 1500), (400, 1800), (300, 1500), (40, 1000), (500, 4000))


@dataclass(frozen=True)
class Item:
    """One picture: a still, a frame (index) or a slice (plane, index)."""

    record_id: str
    plane: str | None = None
    index: int = 0


def plane_length(entry: Entry, plane: str) -> int:
    """How many slices a volume has in this plane."""
    return entry.array.shape[("axial", "coronal", "sagittal").index(plane)]


def items_of(entry: Entry, step_mm: float = 4.0) -> list[Item]:
    """All pictures of a record: frames, or slices of each plane that has at least 30 lines of height."""
    rid = entry.record.id
    if entry.record.kind == "image":
        return [Item(rid)]
    if entry.record.kind == "video":
        return [Item(rid, None, i) for i in range(len(entry.array))]
    assert entry.spacing_mm is not None
    out = []
    for axis, plane in enumerate(("axial", "coronal", "sagittal")):
        n = entry.array.shape[axis]
        if plane != "axial" and entry.array.shape[0] < 30:
            continue  # a reslice of a thin slab looks like nothing a person would open
        step = max(1, round(step_mm / entry.spacing_mm[axis]))
        for i in range(round(n * 0.1), math.ceil(n * 0.9), step):
            if float(slice_values(entry, plane, i).std()) > 0.12 * float(
                entry.array[:: max(1, n // 8)].std()
            ):
                out.append(Item(rid, plane, i))
    return out


def slice_values(entry: Entry, plane: str, index: int) -> np.ndarray:
    """Radiological orientation: front (or head) on top, the patient's right (or front) on the left."""
    a = entry.array
    if plane == "axial":
        return a[index]
    return a[::-1, index, :] if plane == "coronal" else a[::-1, :, index]


def isotropic(values: np.ndarray, row_mm: float, col_mm: float) -> np.ndarray:
    """(h, w) stretched to square pixels; up to 5 % of difference stay."""
    if abs(row_mm / col_mm - 1) < 0.05:
        return values
    fine = min(row_mm, col_mm)
    size = (max(1, round(values.shape[1] * col_mm / fine)), max(1, round(values.shape[0] * row_mm / fine)))
    return cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)


def volume_window(entry: Entry, rng: np.random.Generator | None) -> tuple[float, float]:
    """Low and high ends of one window for the whole volume (never per slice)."""
    if entry.record.labels.get("unit") == "HU":
        if rng is None:
            level, width = (40.0, 400.0) if entry.record.labels.get("organ") != "head" else (40.0, 80.0)
        else:
            level, width = CT_WINDOWS[rng.integers(len(CT_WINDOWS))]
            level, width = level + rng.normal(0, width * 0.06), width * math.exp(rng.normal(0, 0.2))
            if rng.random() < 0.1:  # percentiles, as for a file that does not say that it is CT
                low, high = np.percentile(entry.array[::3, ::3, ::3], (0.5, 99.5))
                return float(low), float(high)
        return level - width / 2, level + width / 2
    if rng is None:
        low, high = np.percentile(entry.array[::2, ::2, ::2], (0.5, 99.5))
        return float(low), float(max(high, low + 1))
    low, high = np.percentile(entry.array[::3, ::3, ::3], (rng.uniform(0, 3), rng.uniform(97.5, 99.9)))
    return float(low), float(max(high, low + 1))


def picture(entry: Entry, item: Item, rng: np.random.Generator | None = None) -> np.ndarray:
    """uint8 (H,W) or (H,W,3); for volumes windowed, at random when a generator is given."""
    if entry.record.kind == "image":
        return entry.array
    if entry.record.kind == "video":
        return entry.array[item.index]
    assert entry.spacing_mm is not None
    assert item.plane is not None
    low, high = volume_window(entry, rng)
    values = slice_values(entry, item.plane, item.index).astype(np.float32)
    values = np.clip((values - low) / (high - low), 0, 1)
    if rng is not None and entry.record.labels.get("unit") != "HU":
        values = values ** math.exp(rng.normal(0, 0.15))
    z, y, x = entry.spacing_mm
    row_mm, col_mm = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[item.plane]
    return (isotropic(values, row_mm, col_mm) * 255).round().astype(np.uint8)


def crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random part of 60 to 100 % of the area, nearly of the same shape."""
    h, w = image.shape[:2]
    aspect = math.exp(rng.normal(0, 0.12))
    area = rng.uniform(0.6, 1.0)
    ch, cw = (
        min(h, max(8, round(h * math.sqrt(area * aspect)))),
        min(w, max(8, round(w * math.sqrt(area / aspect)))),
    )
    y, x = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
    return image[y : y + ch, x : x + cw]


def turn(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turned by at most 10 degrees and scaled by 0.9 to 1.1."""
    h, w = image.shape[:2]
    angle = rng.uniform(-10, 10)
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), angle, rng.uniform(0.9, 1.1))
    return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR)


def pad(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With black edges of up to 18 % a side."""
    h, w = image.shape[:2]
    t, b, le, r = (int(v) for v in rng.uniform(0, 0.18, 4) * (h, h, w, w))
    return cv2.copyMakeBorder(image, t, b, le, r, cv2.BORDER_CONSTANT, value=0)


def augment(image: np.ndarray, rng: np.random.Generator, flip: float = 0.3) -> np.ndarray:
    """A view of a uint8 picture. Labels used here do not depend on left and right, so flips are allowed."""
    if image.ndim == 3 and rng.random() < 0.1:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if rng.random() < 0.6:
        image = crop(image, rng)
    if rng.random() < flip:
        image = image[:, ::-1]
    if rng.random() < 0.3:
        image = turn(np.ascontiguousarray(image), rng)
    if rng.random() < 0.2:
        image = pad(np.ascontiguousarray(image), rng)
    image = np.ascontiguousarray(image)
    h, w = image.shape[:2]
    if rng.random() < 0.3:  # a coarser scan
        side = rng.uniform(56, 160)
        scale = min(1.0, side / max(h, w))
        small = cv2.resize(
            image, (max(8, round(w * scale)), max(8, round(h * scale))), interpolation=cv2.INTER_AREA
        )
        image = cv2.resize(
            small, (w, h), interpolation=cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
        )
    out: np.ndarray = image.astype(np.float32)
    if rng.random() < 0.5:
        out = (out - 128) * math.exp(rng.normal(0, 0.2)) + 128 + rng.normal(0, 14)
    if rng.random() < 0.3:
        out = 255 * (np.clip(out, 0, 255) / 255) ** math.exp(rng.normal(0, 0.25))
    if rng.random() < 0.3:
        out = out + rng.normal(0, rng.uniform(2, 12), out.shape)
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED))
    return out


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (H,W[,3]) -> (h,w,3) with Pillow's bicubic, as the product resizes."""
    out = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))
    return np.repeat(out[..., None], 3, -1) if out.ndim == 2 else out


def fit(image: np.ndarray, max_tokens: int) -> np.ndarray:
    """The picture at the size the product would give it."""
    height, width = image.shape[:2]
    size = target_size(
        height,
        width,
        merge_size=NANO_BUDGET.video_merge_size,
        max_tokens=max_tokens,
        min_tokens=NANO_BUDGET.min_tokens,
    )
    return resize(image, size)


def to_pixels(image: np.ndarray) -> torch.Tensor:
    """uint8 (h,w,3) -> float32 (3,h,w) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 127.5 - 1


def token_cap(entry: Entry) -> int:
    """The most tokens a picture of this record may have."""
    return STILL_TOKENS if entry.record.kind == "image" else FRAME_TOKENS


def labels_of(entry: Entry, item: Item) -> dict[str, str]:
    """Labels of one picture: those of its record, and the plane it was cut in."""
    labels = dict(entry.record.labels)
    if item.plane:
        labels["plane"] = item.plane
    return labels


def view(entry: Entry, item: Item, rng: np.random.Generator | None) -> np.ndarray:
    """The resized picture, augmented when a generator is given. Now and then a slice comes as a still."""
    image = picture(entry, item, rng)
    cap = token_cap(entry)
    if rng is not None:
        image = augment(image, rng)
        if rng.random() < 0.3:
            cap = STILL_TOKENS if cap == FRAME_TOKENS else FRAME_TOKENS
    return fit(image, cap)


def thin(items: list[Item], most: int = 18) -> list[Item]:
    """At most ``most`` pictures of one record, evenly spread over its planes and places."""
    by_record: dict[str, list[Item]] = {}
    for item in items:
        by_record.setdefault(item.record_id, []).append(item)
    out = []
    for members in by_record.values():
        pick = np.unique(np.linspace(0, len(members) - 1, min(most, len(members))).round().astype(int))
        out += [members[i] for i in pick]
    return out
