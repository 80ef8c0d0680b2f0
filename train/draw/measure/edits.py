"""Edits on unseen people against what doing nothing gives: bicubic, the given sequence, the known mask.

Intervals of means are bootstraps over people, not over pictures: slices of one patient are no independent tries.
MedNIST does not say whose its pictures are: each counts as a person there.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from omnivmed.generation.changes import change_of
from omnivmed.generation.pipeline import added_to
from omnivmed.generation.sampling import Settings
from train.draw.data.edits import (
    COARSE,
    ZONES,
    Opacity,
    coarse,
    draw_opacity,
    opacity_places,
    put_opacity,
    sequence_pairs,
)
from train.draw.data.pictures import SIDE, Pictures, Row
from train.draw.measure.bench import Bench
from train.draw.measure.pixels import interval, interval_over, psnr, ssim
from train.draw.measure.reconstruction import spread
from train.draw.text import instructions

EDIT = Settings(steps=4, cfg_text=1.0, cfg_image=1.0, cfg_interval=(0.0, 1.0), shift=1.0)


def person(row: Row) -> str:
    """Whose picture it is, as far as that is known."""
    return row.record if row.source == "mednist" else row.patient


def back_projected(image: np.ndarray, given: np.ndarray, times: int = 10) -> np.ndarray:
    """A picture whose coarse copy is brought to that of `given` (both uint8 (S, S, 3)), by adding what it lacks."""
    small = (image.shape[1] // COARSE, image.shape[0] // COARSE)
    wanted = cv2.resize(given, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    held = image.astype(np.float32)
    for _ in range(times):
        lacks = wanted - cv2.resize(held, small, interpolation=cv2.INTER_AREA)
        held += cv2.resize(lacks, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(held, 0, 255).round().astype(np.uint8))


def sharpen(bench: Bench, pictures: Pictures, settings: Settings = EDIT, most: int = 40) -> dict[str, Any]:
    """Four times super-resolution: PSNR and SSIM, and of bicubic, by subject; `gain` in dB with its interval.

    fitted: PSNR of bicubic after back-projection onto the same coarse pixels, the best that needs no training.
    """
    out: dict[str, Any] = {}
    words = instructions.sharpen(held_out=True)
    rows: dict[str, list[float]] = {"mean gain": [], "mean over fitted": []}
    for subject, places in spread(pictures, "test", most).items():
        images = np.asarray(pictures.pixels[places])
        given = np.stack([coarse(one) for one in images])
        small = (SIDE // COARSE,) * 2
        fitted = np.stack(
            [
                back_projected(
                    one,
                    cv2.resize(image, small, interpolation=cv2.INTER_AREA)
                    .repeat(COARSE, 0)
                    .repeat(COARSE, 1),
                )
                for one, image in zip(given, images, strict=True)
            ]
        )
        texts = [words[i % len(words)] for i in range(len(images))]
        made = added_to(given, bench.added("super_resolution", texts, given, settings, 11))
        a, b, c = ([psnr(x, y) for x, y in zip(images, z, strict=True)] for z in (made, given, fitted))
        gain = [x - y for x, y in zip(a, b, strict=True)]
        if len(images) > 1:
            rows["mean gain"].append(float(np.mean(gain)))
            rows["mean over fitted"].append(float(np.mean(a) - np.mean(c)))
        people = [person(pictures.rows[place]) for place in places]
        out[subject] = {
            "n": len(images),
            "people": len(set(people)),
            "psnr": float(np.mean(a)),
            "bicubic": float(np.mean(b)),
            "fitted": float(np.mean(c)),
            "gain": float(np.mean(gain)),
            "interval": interval_over(gain, people),
            "ssim": float(np.mean([ssim(x, y) for x, y in zip(images, made, strict=True)])),
            "ssim_bicubic": float(np.mean([ssim(x, y) for x, y in zip(images, given, strict=True)])),
        }
    return out | {name: float(np.mean(values)) for name, values in rows.items()}


def translate(bench: Bench, pictures: Pictures, settings: Settings = EDIT, most: int = 240) -> dict[str, Any]:
    """MR sequences of unseen patients (test and development): PSNR and SSIM against the true slice, and of the given
    one unchanged; `by`: gain in dB and number of pairs for every patient and every wanted sequence."""
    pairs = sequence_pairs(pictures, "test") + sequence_pairs(pictures, "dev")
    pairs = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, most).astype(int))]
    given, truth = (np.asarray(pictures.pixels[[p[k] for p in pairs]]) for k in (0, 1))
    texts = []
    for number, (_, target) in enumerate(pairs):
        words = instructions.translate(pictures.rows[target].labels["sequence"], held_out=True)
        texts.append(words[number % len(words)])
    made = added_to(given, bench.added("translation", texts, given, settings, 12))
    a, b = ([psnr(x, y) for x, y in zip(truth, z, strict=True)] for z in (made, given))
    gain = [x - y for x, y in zip(a, b, strict=True)]
    people = [pictures.rows[p[0]].patient for p in pairs]
    wanted = [pictures.rows[p[1]].labels["sequence"] for p in pairs]
    by: dict[str, Any] = {}
    for keys in (people, wanted):
        for key in sorted(set(keys)):
            held = [g for g, k in zip(gain, keys, strict=True) if k == key]
            by[key.rpartition("/")[2]] = {
                "n": len(held),
                "gain": float(np.mean(held)),
                "interval": interval(held),
            }
    return {
        "n": len(pairs),
        "patients": len(set(people)),
        "psnr": float(np.mean(a)),
        "copy": float(np.mean(b)),
        "gain": float(np.mean(gain)),
        "interval": interval_over(gain, people),
        "better": float(np.mean([g > 0 for g in gain])),
        "ssim": float(np.mean([ssim(x, y) for x, y in zip(truth, made, strict=True)])),
        "ssim_copy": float(np.mean([ssim(x, y) for x, y in zip(truth, given, strict=True)])),
        "by": by,
    }


def opacities(bench: Bench, pictures: Pictures, settings: Settings = EDIT, most: int = 160) -> dict[str, Any]:
    """Round opacities on unseen chests: taken away, put in, and asked for where there is none; see `_found`.

    By kind of picture ("X-ray", "CT"); opacities are put in radiographs only, whose zones have names. no_change: share
    of untouched chests, asked to lose an opacity, that come back as they were.
    """
    rng = np.random.default_rng(5)
    places = rng.permutation(np.array(opacity_places(pictures, "test")))
    removal = instructions.remove(held_out=True)
    out: dict[str, Any] = {}
    for kind in ("X-ray", "CT"):
        mine = [int(p) for p in places if pictures.rows[p].labels.get("modality") == kind][:most]
        images = [np.asarray(pictures.pixels[p]) for p in mine]
        people = [person(pictures.rows[p]) for p in mine]
        drawn = [draw_opacity(image, rng) for image in images]
        asked = [removal[i % len(removal)] for i in range(len(images))]
        held = _found(bench, images, drawn, asked, people, settings, put=False)
        levels = bench.added("counterfactual", asked, np.stack(images), settings, 15).mean(-1)
        kept = [float(change_of(a, b).no_change) for a, b in zip(images, levels, strict=True)]
        out[kind] = {"removed": held, "no_change": float(np.mean(kept)), "n_untouched": len(kept)}
        if kind == "X-ray":
            where = [(("left", "right")[i % 2], ZONES[i // 2 % 3]) for i in range(len(images))]
            put = [put_opacity(image, *w) for image, w in zip(images, where, strict=True)]
            asked = [
                instructions.insert(*w, held_out=True)[i // 6 % instructions.HELD_OUT]
                for i, w in enumerate(where)
            ]
            out[kind]["inserted"] = _found(bench, images, put, asked, people, settings, put=True)
    return out


def _found(
    bench: Bench,
    clean: list[np.ndarray],
    drawn: list[Opacity | None],
    texts: list[str],
    people: list[str],
    settings: Settings,
    put: bool,
) -> dict[str, Any]:
    """Opacities put in (or taken away) as asked, against what is known of them.

    iou: of the change's mask with the known one, 0 where nothing changed; iou_touched: of every pixel that the program
    changed at all. outside: mean change in grey levels outside the known mask widened by 3 pixels; gain: dB nearer to
    the wanted picture than the given one; side: share of changes whose middle is on the asked side.
    """
    chosen = [i for i, one in enumerate(drawn) if one is not None]
    known = [one for one in drawn if one is not None]
    whole, changed = np.stack([clean[i] for i in chosen]), np.stack([one.picture for one in known])
    given, wanted = (whole, changed) if put else (changed, whole)
    moved = bench.added("counterfactual", [texts[i] for i in chosen], given, settings, 13).mean(-1)
    rows: dict[str, list[float]] = {
        name: [] for name in ("iou", "iou_touched", "outside", "gain", "side", "nothing")
    }
    for one, before, after, levels in zip(known, given, wanted, moved, strict=True):
        change = change_of(before, levels)
        rows["iou"].append(_overlap(change.mask, one.mask))
        rows["iou_touched"].append(_overlap(change.difference_map > 4 / 255, one.mask))
        wide = cv2.dilate(one.mask.astype(np.uint8), np.ones((7, 7))) > 0
        rows["outside"].append(float(change.difference_map[~wide].mean() * 255))
        rows["gain"].append(psnr(after, change.after) - psnr(after, before))
        columns = np.nonzero(change.mask)[1]
        rows["side"].append(float(len(columns) > 0 and (columns.mean() > SIDE / 2) == (one.side == "left")))
        rows["nothing"].append(float(change.no_change))
    kept = [people[i] for i in chosen]
    return {
        "n": len(chosen),
        "people": len(set(kept)),
        **{name: float(np.mean(values)) for name, values in rows.items()},
        **{f"{name}_interval": interval_over(rows[name], kept) for name in ("iou", "gain")},
    }


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
