"""Pictures to latents and back: a linear encoder that is fitted, a decoder that is trained.

The encoder is the principal components of patches, one matrix product: latents are there before any training, are the
same for ever, and a decoder may be trained longer without making an expert's weights worthless. The decoder is the
transposed product plus what a convolutional network adds to it from the neighbouring cells.

Shapes: B pictures; S pixels of an edge; g = S / patch cells of an edge; C latent channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivmed.generation.config import AutoencoderConfig

RESIDUAL = 0.05
"""Pixels in [-1, 1] that one unit of the network's output stands for: about the deviation of what it has to add.
Without it the first steps of Adam are ten times too long and the network never recovers (docs/log.md)."""


class ResidualBlock(nn.Module):
    """x + convolution(SiLU(convolution(x))); the second begins at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) → the same shape."""
        added: Tensor = self.second(F.silu(self.first(x)))
        return x + added


class Refinement(nn.Module):
    """What is added to the linear reconstruction: latents (B, C, g, g) → (B, 3, S, S), zero before training."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths, blocks = config.widths, config.blocks
        self.enter = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        stages: list[nn.Module] = []
        for number, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            stages += [ResidualBlock(width) for _ in range(depth)]
            if number + 1 < len(widths):
                stages += [nn.Conv2d(width, widths[number + 1] * 4, 1), nn.PixelShuffle(2)]
        self.stages = nn.Sequential(*stages)
        last = config.patch >> (len(widths) - 1)
        self.leave = nn.Conv2d(widths[-1], 3 * last**2, 3, padding=1)
        self.unfold = nn.PixelShuffle(last)
        for part in self.modules():  # torch's default shrinks what passes by a third a layer
            if isinstance(part, nn.Conv2d) and bool(part.weight.any()):
                nn.init.kaiming_normal_(part.weight, nonlinearity="linear")
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> Tensor:
        """Latents (B, C, g, g) → what to add to the picture, (B, 3, S, S)."""
        added: Tensor = self.unfold(self.leave(F.silu(self.stages(self.enter(z)))))
        return RESIDUAL * added


class Autoencoder(nn.Module):
    """Encoder and decoder. Latents have a root mean square of about one over all channels."""

    mean: Tensor
    basis: Tensor
    scale: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        numbers = 3 * config.patch**2
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("basis", torch.eye(numbers)[:, : config.channels].contiguous())
        self.register_buffer("scale", torch.ones(config.channels))
        self.refinement = Refinement(config)

    def fit_encoder(self, patches_NP: Tensor) -> None:
        """Principal components of patches (N, 3 * patch²), rows as `patches` gives them, in [-1, 1]."""
        mean = patches_NP.mean(0)
        centred = (patches_NP - mean).double()
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        keep = self.config.channels
        vectors = vectors.flip(1)[:, :keep]
        vectors = vectors * torch.where(
            vectors.sum(0) < 0, -1.0, 1.0
        )  # a sign that does not depend on the solver
        spread = values.flip(0)[:keep].clamp_min(1e-8).sqrt()
        scale = spread**self.config.power
        scale = scale * ((spread / scale) ** 2).mean().sqrt()  # root mean square of all channels: one
        self.mean.copy_(mean)
        self.basis.copy_(vectors)
        self.scale.copy_(scale)

    def patches(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, g, g, 3 * patch²)."""
        rows = F.pixel_unshuffle(pixels, self.config.patch)
        return rows.movedim(1, -1)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) in [-1, 1] → latents (B, C, g, g)."""
        z = (self.patches(pixels) - self.mean) @ self.basis / self.scale
        return z.movedim(-1, 1).contiguous()

    def linear(self, z: Tensor) -> Tensor:
        """The reconstruction without the network: latents → (B, 3, S, S)."""
        rows = (z.movedim(1, -1) * self.scale) @ self.basis.T + self.mean
        return F.pixel_shuffle(rows.movedim(-1, 1), self.config.patch)

    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, C, g, g) → pixels (B, 3, S, S), about [-1, 1] and not clipped."""
        added: Tensor = self.refinement(z)
        return self.linear(z) + added.to(z.dtype)
