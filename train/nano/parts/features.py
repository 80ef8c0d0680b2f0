"""Frozen-encoder features of many views, cached: for the word warm start, the auxiliary loss and linear probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from train.loop.store import save_atomic, write_json
from train.nano.data.bank import Entry
from train.nano.data.sampling import MIXTURE, Pool
from train.nano.data.views import STILL_TOKENS, labels_of, thin, to_pixels, view
from train.nano.parts.encoder import HIDDEN, PATCH, Vit, merge2, patch_features
from train.nano.parts.words import WordBatch, targets


@torch.no_grad()
def encode(vit: Vit, images: list[np.ndarray]) -> list[Tensor]:
    """uint8 (h,w,3) pictures of any sizes -> merged features (tokens, C) float32, batched by size."""
    out: list[Tensor | None] = [None] * len(images)
    sizes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        sizes.setdefault(image.shape[:2], []).append(i)
    for (h, w), members in sizes.items():
        for start in range(0, len(members), 24):
            part = members[start : start + 24]
            with torch.autocast("cpu", torch.bfloat16):
                features, _ = patch_features(vit, torch.stack([to_pixels(images[i]) for i in part]))
            merged = merge2(features.float(), h // PATCH, w // PATCH)
            for i, row in zip(part, merged, strict=True):
                out[i] = row
    return [t for t in out if t is not None]


@dataclass(frozen=True)
class FeatureSet:
    """Encoder features of many pictures with their labels, ready for a projector to be trained on."""

    features: Tensor  # (N, 36, C) float16, zero padded
    counts: Tensor  # (N,)
    labels: list[dict[str, str]]
    sources: list[str]

    def batch(self, rows: np.ndarray) -> WordBatch:
        """These rows with their word targets."""
        index = torch.from_numpy(rows)
        chosen = [targets(self.labels[i]) for i in rows]
        return WordBatch(self.features[index].float(), self.counts[index], chosen)


def build_features(
    bank: dict[str, Entry], vit: Vit, path: Path, split: str, count: int | None, seed: int = 1
) -> FeatureSet:
    """``count`` augmented draws of the mixture, or (None) every item of the split once, clean."""
    import json

    if path.exists():
        tensors = load_file(path)
        rows = json.loads(path.with_suffix(".json").read_text())
        return FeatureSet(tensors["features"], tensors["counts"], rows["labels"], rows["sources"])
    pool = Pool(bank, split)
    rng = np.random.default_rng(seed)
    if count is None:
        items = thin(pool.all_items())
    else:
        items = [pool.draw(MIXTURE, rng) for _ in range(count)]
    features = torch.zeros(len(items), STILL_TOKENS, HIDDEN, dtype=torch.float16)
    counts = torch.zeros(len(items), dtype=torch.int64)
    for start in range(0, len(items), 192):
        part = items[start : start + 192]
        images = [view(bank[i.record_id], i, rng if count is not None else None) for i in part]
        for k, tokens in enumerate(encode(vit, images)):
            features[start + k, : len(tokens)] = tokens.half()
            counts[start + k] = len(tokens)
    labels = [labels_of(bank[i.record_id], i) for i in items]
    sources = [bank[i.record_id].record.source for i in items]
    write_json({"labels": labels, "sources": sources}, path.with_suffix(".json"))
    save_atomic({"features": features, "counts": counts}, path)
    return FeatureSet(features, counts, labels, sources)


def joined(first: FeatureSet, second: FeatureSet) -> FeatureSet:
    """Both sets, one after the other."""
    return FeatureSet(
        torch.cat([first.features, second.features]),
        torch.cat([first.counts, second.counts]),
        first.labels + second.labels,
        first.sources + second.sources,
    )


def features_of(
    vit: Vit, pictures: list[np.ndarray], labels: list[dict[str, str]], sources: list[str]
) -> FeatureSet:
    """Features of given uint8 (h,w,3) pictures at their own size."""
    features = torch.zeros(len(pictures), STILL_TOKENS, HIDDEN, dtype=torch.float16)
    rows = encode(vit, pictures)
    for k, tokens in enumerate(rows):
        features[k, : len(tokens)] = tokens.half()
    return FeatureSet(features, torch.tensor([len(t) for t in rows]), labels, sources)


def pooled(features: FeatureSet) -> Tensor:
    """Mean and maximum over tokens, (N, 2C)."""
    x = features.features.float()
    mask = torch.arange(x.shape[1])[None, :] < features.counts[:, None]
    mean = (x * mask[..., None]).sum(1) / features.counts[:, None]
    return torch.cat([mean, x.masked_fill(~mask[..., None], -1e4).amax(1)], 1)


@dataclass(frozen=True)
class Probe:
    """A fitted multinomial logistic regression: weight (values, C + 1), mean and deviation of the features (C,)."""

    values: list[str]
    weight: Tensor
    mean: Tensor
    std: Tensor

    def guess(self, features_NC: Tensor) -> list[int]:
        """Number of the likeliest value for every row."""
        z = (features_NC - self.mean) / self.std
        return [int(n) for n in (z @ self.weight[:, :-1].T + self.weight[:, -1]).argmax(1)]


def logistic(features_NC: Tensor, labels: Sequence[str], iterations: int, ridge: float = 3e-3) -> Probe:
    """Fitted by L-BFGS on standardised features, with a small ridge."""
    values = sorted(set(labels))
    mean, std = features_NC.mean(0), features_NC.std(0) + 1e-6
    x, y = (features_NC - mean) / std, torch.tensor([values.index(v) for v in labels])
    weight = torch.zeros(len(values), x.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=iterations, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight[:, :-1].T + weight[:, -1], y)
        loss = loss + ridge * weight[:, :-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return Probe(values, weight.detach(), mean, std)


def linear_probe(train: FeatureSet, test: FeatureSet, attribute: str, keep) -> dict[str, tuple[int, int]]:  # type: ignore[no-untyped-def]
    """Multinomial logistic regression on pooled features; (right, asked) per source and ``all``.

    ``keep(labels, source)`` chooses the pictures of a task.
    """
    rows = {}
    for name, part in (("train", train), ("test", test)):
        rows[name] = [
            i
            for i, (la, s) in enumerate(zip(part.labels, part.sources, strict=True))
            if la.get(attribute) and keep(la, s)
        ]
    values = sorted({train.labels[i][attribute] for i in rows["train"]})
    rows["test"] = [i for i in rows["test"] if test.labels[i][attribute] in values]
    if not rows["test"] or len(values) < 2:
        return {}
    fitted = logistic(pooled(train)[rows["train"]], [train.labels[i][attribute] for i in rows["train"]], 120)
    guess = fitted.guess(pooled(test)[rows["test"]])
    out: dict[str, list[int]] = {}
    for i, g in zip(rows["test"], guess, strict=True):
        for key in ("all", test.sources[i]):
            cell = out.setdefault(key, [0, 0])
            cell[0] += int(values[g] == test.labels[i][attribute])
            cell[1] += 1
    return {k: (a, b) for k, (a, b) in out.items()}
