"""Whether a drawn picture shows what was asked for: named by a probe that never saw a drawn one.

The probe is a linear classifier on the features of nano's own encoder, fitted on real training pictures; its score on
real pictures of unseen people stands beside that on drawn ones. Prompts are the held-out wordings.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from omnivmed.generation.sampling import Settings
from omnivmed.resources import nano_dir
from train.draw.data.latents import NOT_DRAWN
from train.draw.data.pictures import Pictures
from train.draw.measure.bench import Bench
from train.draw.text.wordings import Key, key_of, wordings
from train.nano.parts.encoder import Student, student
from train.nano.parts.features import encode

VIEW = 168
"""Pixels at which the encoder sees a picture: 36 tokens."""


def nano_encoder() -> Student:
    """nano's encoder as it ships."""
    held = load_file(nano_dir() / "encoder_projector.safetensors")
    vit = student()
    prefix = "model.vision_model."
    vit.load_state_dict({k.removeprefix(prefix): v.float() for k, v in held.items() if k.startswith(prefix)})
    return vit


def features(vit: Student, images: np.ndarray) -> Tensor:
    """Mean and deviation of the encoder's tokens, (B, 2 C)."""
    large = [cv2.resize(one, (VIEW, VIEW), interpolation=cv2.INTER_CUBIC) for one in images]
    tokens = torch.stack(encode(vit, large)).float()
    return torch.cat([tokens.mean(1), tokens.std(1)], dim=1)


class Probe:
    """A linear classifier of subjects, features standardised, fitted by ridge regression on one-hot targets."""

    def __init__(self, x: Tensor, names: list[str], ridge: float = 30.0) -> None:
        self.classes = sorted(set(names))
        self.mean, self.std = x.mean(0), x.std(0) + 1e-4
        rows = self._rows(x).double()
        target = torch.zeros(len(names), len(self.classes), dtype=torch.float64)
        for i, name in enumerate(names):
            target[i, self.classes.index(name)] = 1
        count = torch.tensor([names.count(name) for name in names], dtype=torch.float64)
        weight = (1 / count)[:, None] * len(names) / len(self.classes)
        gram = rows.T @ (rows * weight) + ridge * torch.eye(rows.shape[1], dtype=torch.float64)
        self.matrix = torch.linalg.solve(gram, rows.T @ (target * weight))

    def _rows(self, x: Tensor) -> Tensor:
        rows = (x - self.mean) / self.std
        return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)

    def names(self, x: Tensor) -> list[str]:
        """The likeliest subject of every row."""
        return [self.classes[i] for i in (self._rows(x).double() @ self.matrix).argmax(1).tolist()]


def chosen(pictures: Pictures, split: str, most: int, seed: int) -> dict[str, list[int]]:
    """Up to ``most`` real pictures of every subject that is drawn."""
    rng = np.random.default_rng(seed)
    groups: dict[str, list[int]] = {}
    for place in pictures.of(split):
        row = pictures.rows[place]
        if row.source not in NOT_DRAWN and key_of(row.labels) is not None and row.subject != "MRI abdomen":
            groups.setdefault(row.subject, []).append(int(place))
    return {
        k: sorted(rng.choice(v, min(most, len(v)), replace=False).tolist()) for k, v in sorted(groups.items())
    }


def adherence(
    bench: Bench, pictures: Pictures, settings: Settings, per_subject: int = 24, seed: int = 21
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Share named right by subject, real (unseen people) and drawn (held-out wordings); and the drawn pictures."""
    vit = nano_encoder()
    train = chosen(pictures, "train", 150, seed)
    names = [k for k, v in train.items() for _ in v]
    probe = Probe(features(vit, np.asarray(pictures.pixels[[p for v in train.values() for p in v]])), names)
    out: dict[str, Any] = {}
    held = chosen(pictures, "test", 60, seed)
    drawn: dict[str, np.ndarray] = {}
    for subject, members in train.items():
        keys = sorted({key for p in members if (key := key_of(pictures.rows[p].labels))}, key=str)
        texts = [_wording(keys[i % len(keys)], i) for i in range(per_subject)]
        drawn[subject] = bench.decode(bench.latents(texts, settings, seed))
        said = probe.names(features(vit, drawn[subject]))
        row: dict[str, Any] = {"n": per_subject, "drawn": float(np.mean([s == subject for s in said]))}
        if subject in held:
            real = probe.names(features(vit, np.asarray(pictures.pixels[held[subject]])))
            row |= {"n_real": len(real), "real": float(np.mean([s == subject for s in real]))}
        wrong = [s for s in said if s != subject]
        if wrong:
            row["taken_for"] = max(set(wrong), key=wrong.count)
        out[subject] = row
    both = [row for row in out.values() if "real" in row]
    out["mean"] = {name: float(np.mean([row[name] for row in both])) for name in ("drawn", "real")}
    return out, drawn


def _wording(key: Key, number: int) -> str:
    texts = wordings(key, held_out=True)
    return texts[number * 7 % len(texts)]
