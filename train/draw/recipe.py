"""The numbers of `nano_draw`, the recipe of the shipped drawing weights, and of its miniature.

Legs: the first begins with random weights, each further one with what the leg before left, so that more hours
go on from what is there. A later leg learns slower.
"""

from __future__ import annotations

from dataclasses import replace

from omnivmed.generation.config import AutoencoderConfig, EditorConfig, ExpertConfig
from train.draw.fit.decoder import DecoderConfig
from train.draw.fit.editor import EditorLegConfig
from train.draw.fit.expert import NANO_LAYERS, ExpertLegConfig

AUTOENCODER = AutoencoderConfig()
EXPERT = ExpertConfig(NANO_LAYERS)
"""256 wide beside SmolLM2's 576, eight of its thirty layers read: 9.0 M parameters."""

_CHANGES = EditorConfig(reads=(3,), widths=(48, 96, 192), blocks=(1, 2, 0), mlp=384)
EDITORS = {
    "super_resolution": EditorConfig(reads=(3,), widths=(64, 96, 256), blocks=(4, 1, 0)),
    "translation": _CHANGES,
    "counterfactual": replace(_CHANGES, lets_through="darker"),
}
"""An expert for each task that changes a picture: detail is made at the finest scale, findings are seen further down.
2.8 and 4.2 M parameters."""


def decoder_leg(leg: int, seconds: float | None) -> DecoderConfig:
    """A leg of the decoder; 20 minutes unless told otherwise."""
    return DecoderConfig(AUTOENCODER, seconds=seconds or 1200.0, lr=5e-4 if leg == 1 else 3e-4, seed=leg)


def expert_leg(leg: int, seconds: float | None) -> ExpertLegConfig:
    """A leg of the expert; an hour unless told otherwise."""
    return ExpertLegConfig(EXPERT, seconds=seconds or 3600.0, lr=8e-4 if leg == 1 else 4e-4, seed=6 + leg)


def editor_leg(task: str, leg: int, seconds: float | None) -> EditorLegConfig:
    """A leg of an editing expert; 10 minutes unless told otherwise."""
    lr = 1e-3 if leg == 1 else 5e-4
    share = (
        (0.5, 0.1, 250.0) if leg == 1 else (0.1, 0.02, 150.0)
    )  # first to find a place, then to draw its edge
    return EditorLegConfig(
        task, EDITORS[task], seconds=seconds or 600.0, batch=8, lr=lr, seed=20 + leg, share=share
    )


def tiny_editor_leg(task: str, steps: int) -> EditorLegConfig:
    """The same for tests."""
    small = EditorConfig(
        (0, 1), 2, 4, 2, 16, fold=8, widths=(12, 24), blocks=(1, 0), mlp=32, rope_theta=10000.0
    )
    return EditorLegConfig(
        task, small, seconds=None, steps=steps, batch=6, lr=3e-3, warmup=3, seed=1, bfloat16=False
    )


def tiny_expert_leg(steps: int) -> ExpertLegConfig:
    """The expert's miniature for tests: the same code, seconds of work."""
    small = ExpertConfig(
        (0, 1), 4, 2, 16, width=24, mlp=32, latent_channels=4, latent_grid=8, rope_theta=10000.0
    )
    leg = ExpertLegConfig(small, seconds=None, steps=steps, batch=8, lr=3e-3, warmup=5, bfloat16=False)
    return replace(leg, seed=1)
