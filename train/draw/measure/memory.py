"""Whether drawn pictures are copies: distance to the nearest training picture, beside that of real unseen ones."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from train.draw.data.pictures import Pictures
from train.draw.measure.adherence import chosen

SIDE = 32


def small(images: np.ndarray) -> np.ndarray:
    """uint8 (B, S, S, 3) → float32 (B, 32 * 32), grey, each of mean zero and deviation one."""
    rows = []
    for image in images:
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        rows.append(grey.astype(np.float32).ravel())
    out = np.stack(rows)
    out -= out.mean(1, keepdims=True)
    return np.asarray(out / (out.std(1, keepdims=True) + 1e-3))


def nearest(queries: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Mean squared distance of each query to its nearest of the pool."""
    cross = queries @ pool.T
    squared = (queries**2).sum(1)[:, None] + (pool**2).sum(1)[None] - 2 * cross
    return np.asarray(squared.min(1).clip(0) / queries.shape[1])


def memorisation(pictures: Pictures, drawn: dict[str, np.ndarray]) -> dict[str, Any]:
    """By subject: median distance of drawn and of unseen real pictures to the nearest training picture of it, and the
    share of drawn ones nearer than the first percentile of the real ones; only where there are unseen people."""
    out: dict[str, Any] = {}
    near = total = 0
    train, held = chosen(pictures, "train", 10_000, 0), chosen(pictures, "test", 400, 0)
    for subject, images in drawn.items():
        if subject not in held:
            continue
        pool = small(np.asarray(pictures.pixels[train[subject]]))
        real = nearest(small(np.asarray(pictures.pixels[held[subject]])), pool)
        made = nearest(small(images), pool)
        bar = float(np.percentile(real, 1))
        out[subject] = {
            "n": len(images),
            "n_real": len(real),
            "drawn": float(np.median(made)),
            "real": float(np.median(real)),
            "nearer": float((made < bar).mean()),
        }
        near, total = near + int((made < bar).sum()), total + len(made)
    out["all"] = {"n": total, "nearer": near / max(1, total)}
    return out
