"""The autoencoder: its encoder is fitted in seconds, its decoder trained on any number of legs.

The encoder's numbers never change after `fit_encoder`, so latents and experts outlive every further leg of the decoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from omnivmed.generation.autoencoder import RESIDUAL, Autoencoder
from omnivmed.generation.config import AutoencoderConfig
from train.draw.data.balance import Balance
from train.draw.data.pictures import Pictures
from train.loop.fit import Every, Learner, Loss, Schedule, fit

PATCHES_PER_KIND = 6000
SHIFT = 8
"""Pixels by which a picture is moved at most: a decoder should not know the grid of an edge."""


@dataclass(frozen=True)
class DecoderConfig:
    """One leg. noise: largest deviation added to latents, in units of their own, for half the pictures."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    seconds: float | None = 600.0
    steps: int | None = None
    batch: int = 16
    lr: float = 5e-4
    floor: float = 0.05
    warmup: int = 100
    noise: float = 0.1
    seed: int = 1
    bfloat16: bool = True


def kind(pictures: Pictures, place: int) -> tuple[str, ...]:
    """What pictures are balanced by."""
    row = pictures.rows[place]
    return row.subject, row.source, row.labels.get("window", "")


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 (B, S, S, 3) → float32 (B, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def fit_encoder(pictures: Pictures, config: AutoencoderConfig, seed: int = 0) -> Autoencoder:
    """The autoencoder before training: principal components of patches of all kinds alike."""
    rng = np.random.default_rng(seed)
    model = Autoencoder(config)
    groups: dict[tuple[str, ...], list[int]] = {}
    for place in pictures.of("train"):
        groups.setdefault(kind(pictures, place), []).append(int(place))
    rows = []
    for key in sorted(groups):
        chosen = np.sort(rng.choice(groups[key], size=min(150, len(groups[key])), replace=False))
        patches = model.patches(to_tensor(pictures.pixels[chosen])).flatten(0, 2)
        rows.append(patches[torch.from_numpy(rng.permutation(len(patches))[:PATCHES_PER_KIND])])
    model.fit_encoder(torch.cat(rows))
    return model


def moved(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrored, moved by up to SHIFT pixels and a little brighter or darker: the decoder knows no anatomy."""
    if rng.random() < 0.5:
        pixels = pixels.flip(-1)
    if rng.random() < 0.5:
        pixels = pixels.flip(-2)
    side = pixels.shape[-1]
    y, x = (int(v) for v in rng.integers(0, 2 * SHIFT + 1, size=2))
    pixels = F.pad(pixels, (SHIFT,) * 4, mode="replicate")[..., y : y + side, x : x + side]
    return ((pixels + 1) * float(rng.uniform(0.8, 1.1)) - 1).clamp(-1, 1)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """dB per picture of pixels in [-1, 1], both rounded to 256 levels, (B,)."""
    a, b = (((x.clamp(-1, 1) + 1) * 127.5).round() for x in (a, b))
    return 10 * torch.log10(255.0**2 / ((a - b) ** 2).flatten(1).mean(1).clamp_min(1e-3))


@torch.no_grad()
def reconstruction(model: Autoencoder, pictures: Pictures, split: str, most: int = 24) -> dict[str, float]:
    """Mean PSNR in dB of unseen pictures by subject, and "mean" over the subjects."""
    groups: dict[str, list[int]] = {}
    for place in pictures.of(split):
        groups.setdefault(pictures.rows[place].subject, []).append(int(place))
    out = {}
    for subject in sorted(groups):
        members = groups[subject]
        chosen = [members[i] for i in np.linspace(0, len(members) - 1, min(most, len(members))).astype(int)]
        x = to_tensor(pictures.pixels[chosen])
        out[subject] = round(float(psnr(x, model.decode(model.encode(x))).mean()), 2)
    return {"mean": round(float(np.mean(list(out.values()))), 2), **out}


def train_decoder(
    pictures: Pictures, model: Autoencoder, folder: Path, config: DecoderConfig
) -> dict[str, Tensor]:
    """One leg, run or resumed; returns the autoencoder's tensors."""
    places = pictures.of("train")
    balance = Balance(places, [kind(pictures, p) for p in places])
    model.refinement.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def losses(step: int) -> Iterator[Loss]:
        rng = np.random.default_rng((config.seed, step))
        torch.manual_seed(int(rng.integers(2**31)))
        x = to_tensor(pictures.pixels[np.sort(balance.draw(rng, config.batch))])
        x = moved(x, rng)
        z = model.encode(x)
        size = torch.rand(len(z), 1, 1, 1).mul_(2).sub_(1).clamp_min_(0) * config.noise
        z = z + size * torch.randn_like(z)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            extra = model.refinement(z.contiguous(memory_format=torch.channels_last))
        error = model.linear(z) + extra.float() - x
        loss = (error.square().mean() + 0.05 * (error.square() + 1e-5).sqrt().mean()) / RESIDUAL**2
        yield loss, {"loss": float(loss.detach()), "mse": float(error.detach().square().mean())}

    learner = Learner(
        [{"params": list(model.parameters()), "base": config.lr}],
        state=model.state_dict,
        load=model.load_state_dict,
        losses=losses,
        check=lambda: {"dev": reconstruction(model, pictures, "dev")},
    )
    schedule = Schedule(config.steps, config.seconds, config.warmup, config.floor)
    every = Every(log=50, check_s=150.0)
    return fit(learner, schedule, folder, asdict(config), betas=(0.9, 0.99), every=every)
