"""The numbers of `nano_draw`, the recipe of the shipped drawing weights, and of its miniature.

Legs: the first begins with random weights, each further one with what the leg before left, so that more hours
go on from what is there. A later leg learns slower.
"""

from __future__ import annotations

from dataclasses import replace

from omnivmed.generation.config import AutoencoderConfig, ExpertConfig
from train.draw.fit.decoder import DecoderConfig
from train.draw.fit.expert import NANO_LAYERS, ExpertLegConfig

AUTOENCODER = AutoencoderConfig()
EXPERT = ExpertConfig(NANO_LAYERS)
"""256 wide beside SmolLM2's 576, eight of its thirty layers read: 9.0 M parameters."""


def decoder_leg(leg: int, seconds: float | None) -> DecoderConfig:
    """A leg of the decoder; 20 minutes unless told otherwise."""
    return DecoderConfig(AUTOENCODER, seconds=seconds or 1200.0, lr=5e-4 if leg == 1 else 3e-4, seed=leg)


def expert_leg(leg: int, seconds: float | None) -> ExpertLegConfig:
    """A leg of the expert; an hour unless told otherwise."""
    return ExpertLegConfig(EXPERT, seconds=seconds or 3600.0, lr=8e-4 if leg == 1 else 4e-4, seed=6 + leg)


def tiny_expert_leg(steps: int) -> ExpertLegConfig:
    """The expert's miniature for tests: the same code, seconds of work."""
    small = ExpertConfig(
        (0, 1), 4, 2, 16, width=24, mlp=32, latent_channels=4, latent_grid=8, rope_theta=10000.0
    )
    leg = ExpertLegConfig(small, seconds=None, steps=steps, batch=8, lr=3e-3, warmup=5, bfloat16=False)
    return replace(leg, seed=1)
