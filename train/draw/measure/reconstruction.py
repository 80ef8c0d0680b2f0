"""The ceiling of everything drawn: how well unseen pictures come back through the autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from train.draw.data.pictures import Pictures
from train.draw.fit.decoder import to_tensor
from train.draw.measure.bench import Bench
from train.draw.measure.pixels import interval, psnr, ssim


def spread(pictures: Pictures, split: str, most: int) -> dict[str, list[int]]:
    """Up to ``most`` places of every subject of a split, evenly over its records."""
    groups: dict[str, list[int]] = {}
    for place in pictures.of(split):
        groups.setdefault(pictures.rows[place].subject, []).append(int(place))
    return {
        subject: [
            groups[subject][i] for i in np.unique(np.linspace(0, len(groups[subject]) - 1, most).astype(int))
        ]
        for subject in sorted(groups)
    }


def reconstruction(bench: Bench, pictures: Pictures, most: int = 60) -> dict[str, Any]:
    """PSNR (dB) and SSIM of unseen people by subject; `linear`: without the trained decoder; `mean` over subjects."""
    out: dict[str, Any] = {}
    for subject, places in spread(pictures, "test", most).items():
        images = np.asarray(pictures.pixels[places])
        back = np.concatenate(
            [bench.decode(bench.encode(images[i : i + 16])) for i in range(0, len(images), 16)]
        )
        with torch.inference_mode():
            plain = bench.autoencoder.linear(bench.autoencoder.encode(to_tensor(images))).clamp(-1, 1)
        linear = ((plain + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        values = [psnr(a, b) for a, b in zip(images, back, strict=True)]
        out[subject] = {
            "n": len(images),
            "psnr": float(np.mean(values)),
            "interval": interval(values),
            "ssim": float(np.mean([ssim(a, b) for a, b in zip(images, back, strict=True)])),
            "linear": float(np.mean([psnr(a, b) for a, b in zip(images, linear, strict=True)])),
        }
    out["mean"] = {
        name: float(np.mean([row[name] for row in out.values()])) for name in ("psnr", "ssim", "linear")
    }
    return out
