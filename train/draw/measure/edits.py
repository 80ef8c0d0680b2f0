"""Edits on unseen people against what doing nothing gives: bicubic, the given sequence, the known mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from omnivmed.generation.changes import change_of
from omnivmed.generation.sampling import Settings
from train.draw.data.edits import coarse, draw_opacity, opacity_places, sequence_pairs
from train.draw.data.pictures import Pictures
from train.draw.measure.bench import Bench
from train.draw.measure.pixels import interval, psnr, ssim
from train.draw.measure.reconstruction import spread
from train.draw.text import instructions

EDIT = Settings(steps=4, cfg_text=1.0, cfg_image=1.0, cfg_interval=(0.0, 1.0), shift=1.0)


def sharpen(bench: Bench, pictures: Pictures, settings: Settings = EDIT, most: int = 40) -> dict[str, Any]:
    """Four times super-resolution: PSNR and SSIM, and of bicubic, by subject; `gain` in dB with its interval."""
    out: dict[str, Any] = {}
    words = instructions.sharpen(held_out=True)
    gains: list[float] = []
    for subject, places in spread(pictures, "test", most).items():
        images = np.asarray(pictures.pixels[places])
        given = np.stack([coarse(one) for one in images])
        texts = [words[i % len(words)] for i in range(len(images))]
        made = bench.decode(bench.latents(texts, settings, 11, bench.encode(given)))
        a, b = ([psnr(x, y) for x, y in zip(images, z, strict=True)] for z in (made, given))
        gain = [x - y for x, y in zip(a, b, strict=True)]
        gains.append(float(np.mean(gain)))
        out[subject] = {
            "n": len(images),
            "psnr": float(np.mean(a)),
            "bicubic": float(np.mean(b)),
            "gain": gains[-1],
            "interval": interval(gain),
            "ssim": float(np.mean([ssim(x, y) for x, y in zip(images, made, strict=True)])),
            "ssim_bicubic": float(np.mean([ssim(x, y) for x, y in zip(images, given, strict=True)])),
        }
    out["mean gain"] = float(np.mean(gains))
    return out


def translate(bench: Bench, pictures: Pictures, settings: Settings = EDIT, most: int = 120) -> dict[str, Any]:
    """MR sequences of unseen patients: PSNR and SSIM against the true one, and of the given slice unchanged."""
    pairs = sequence_pairs(pictures, "test")
    pairs = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, most).astype(int))]
    given, truth = (np.asarray(pictures.pixels[[p[k] for p in pairs]]) for k in (0, 1))
    texts = []
    for number, (_, target) in enumerate(pairs):
        words = instructions.translate(pictures.rows[target].labels["sequence"], held_out=True)
        texts.append(words[number % len(words)])
    made = bench.decode(bench.latents(texts, settings, 12, bench.encode(given)))
    a, b = ([psnr(x, y) for x, y in zip(truth, z, strict=True)] for z in (made, given))
    gain = [x - y for x, y in zip(a, b, strict=True)]
    return {
        "n": len(pairs),
        "patients": len({pictures.rows[p[0]].patient for p in pairs}),
        "psnr": float(np.mean(a)),
        "copy": float(np.mean(b)),
        "gain": float(np.mean(gain)),
        "interval": interval(gain),
        "ssim": float(np.mean([ssim(x, y) for x, y in zip(truth, made, strict=True)])),
        "ssim_copy": float(np.mean([ssim(x, y) for x, y in zip(truth, given, strict=True)])),
    }


def opacities(bench: Bench, pictures: Pictures, settings: Settings = EDIT, most: int = 120) -> dict[str, Any]:
    """Round opacities that code has drawn on unseen chests, taken away and put in; and chests without any.

    iou: of the change's mask with the known one. outside: mean change in grey levels outside the known mask, widened
    by 3 pixels. zone: share of inserted opacities on the side that was asked for. no_change: share of untouched
    chests, asked to lose an opacity, that come back as they were.
    """
    import cv2

    rng = np.random.default_rng(5)
    places = np.array(opacity_places(pictures, "test"))
    places = rng.permutation(places)[:most]
    clean, drawn = [], []
    for place in places:
        image = np.asarray(pictures.pixels[place])
        one = draw_opacity(image, rng)
        if one is not None:
            clean.append(image)
            drawn.append(one)
    without = np.stack(clean)
    with_it = np.stack([one.picture for one in drawn])
    words = instructions.remove(held_out=True)
    removal = [words[i % len(words)] for i in range(len(drawn))]
    inserts = [
        instructions.insert(one.side, one.zone, held_out=True)[i % instructions.HELD_OUT]
        for i, one in enumerate(drawn)
    ]

    def levels(given: np.ndarray, texts: list[str], seed: int) -> np.ndarray:
        z = bench.encode(given)
        made = bench.latents(texts, settings, seed, z)
        with torch.inference_mode():
            parts = [
                bench.autoencoder.decode(made[i : i + 16]) - bench.autoencoder.decode(z[i : i + 16])
                for i in range(0, len(z), 16)
            ]
        return np.asarray(torch.cat(parts).mean(1).numpy() * 127.5)

    ious, outside, better, sides, kept = [], [], [], [], []
    for one, image, moved in zip(drawn, without, levels(with_it, removal, 13), strict=True):
        change = change_of(one.picture, moved)
        ious.append(float((change.mask & one.mask).sum() / max(1, (change.mask | one.mask).sum())))
        wide = cv2.dilate(one.mask.astype(np.uint8), np.ones((7, 7))) > 0
        outside.append(float(change.difference_map[~wide].mean() * 255))
        better.append(psnr(image, change.after) - psnr(image, one.picture))
    for one, moved in zip(drawn, levels(without, inserts, 14), strict=True):
        change = change_of(np.asarray(one.picture), moved)
        columns = np.nonzero(change.mask)[1]
        side = (
            "none" if len(columns) == 0 else "left" if columns.mean() > change.mask.shape[1] / 2 else "right"
        )
        sides.append(float(side == one.side))
    for image, moved in zip(without, levels(without, removal, 15), strict=True):
        kept.append(float(change_of(image, moved).no_change))
    return {
        "n": len(drawn),
        "iou": float(np.mean(ious)),
        "iou_interval": interval(ious),
        "outside": float(np.mean(outside)),
        "gain": float(np.mean(better)),
        "gain_interval": interval(better),
        "side_right": float(np.mean(sides)),
        "no_change": float(np.mean(kept)),
    }
