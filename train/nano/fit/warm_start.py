"""Warm start of the projector by words, on cached features: minutes, no pass through the language model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from train.loop.fit import Every, Learner, Loss, Schedule, fit
from train.nano.parts.features import FeatureSet
from train.nano.parts.words import Projector, word_loss


@dataclass(frozen=True)
class WarmConfig:
    """How the projector is started on word targets."""

    steps: int = 900
    batch: int = 48
    lr: float = 2e-3
    seed: int = 42


def standardise(projector: Projector, features: FeatureSet) -> None:
    """Mean and deviation per channel of the cached tokens, into the projector's buffers."""
    mask = torch.arange(features.features.shape[1])[None, :] < features.counts[:, None]
    tokens = features.features[mask].float()
    projector.mean.copy_(tokens.mean(0))
    projector.std.copy_(tokens.std(0) + 1e-4)


@torch.no_grad()
def nearest_word(projector: Projector, features: FeatureSet, table: dict[str, Tensor]) -> dict[str, float]:
    """Share of pictures whose nearest word is the true one, per attribute."""
    right: dict[str, list[int]] = {}
    for start in range(0, len(features.labels), 256):
        rows = np.arange(start, min(start + 256, len(features.labels)))
        for name, (good, asked) in word_loss(projector, features.batch(rows), table)[1].items():
            cell = right.setdefault(name, [0, 0])
            cell[0] += good
            cell[1] += asked
    return {k: round(a / b, 4) for k, (a, b) in right.items()}


def warm_up(
    train: FeatureSet, dev: FeatureSet, table: dict[str, Tensor], folder: Path, config: WarmConfig
) -> dict[str, Tensor]:
    """Returns projector weights (``projector.*``)."""
    torch.manual_seed(config.seed)
    projector = Projector()
    standardise(projector, train)

    def losses(step: int) -> Iterator[Loss]:
        rng = np.random.default_rng((config.seed, 5, step))
        rows = rng.integers(len(train.labels), size=config.batch)
        loss, _ = word_loss(projector, train.batch(rows), table)
        yield loss, {"loss": float(loss.detach())}

    def state() -> dict[str, Tensor]:
        return {f"projector.{k}": v for k, v in projector.state_dict().items()}

    def load(tensors: dict[str, Tensor]) -> None:
        projector.load_state_dict({k.removeprefix("projector."): v for k, v in tensors.items()})

    return fit(
        Learner(
            [{"params": list(projector.parameters()), "base": config.lr}],
            state,
            load,
            losses,
            check=lambda: {"dev": nearest_word(projector, dev, table)},
        ),
        Schedule(steps=config.steps),
        folder,
        asdict(config),
        betas=(0.9, 0.999),
        weight_decay=0.01,
        clip=None,
        every=Every(log=100, check=100),
    )
