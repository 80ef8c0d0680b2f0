"""A tiny model with a tiny expert beside it, both with random weights, and a pipeline of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch

from omnivmed.generation.autoencoder import Autoencoder
from omnivmed.generation.config import AutoencoderConfig, DrawConfig, ExpertConfig
from omnivmed.generation.expert import Expert
from omnivmed.generation.pipeline import DrawPipeline
from omnivmed.generation.prefix import DecoderReader, Prefix
from omnivmed.model.decode import Decoder
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from tests.inference.mock import CharTokenizer
from tests.model import tiny as models
from tests.model.tiny import randomise

AUTOENCODER = AutoencoderConfig(side=32, patch=8, channels=4, widths=(8, 8, 8), blocks=(1, 1, 1))
NARROW = ExpertConfig(
    layers=(0, 1),
    heads=4,
    groups=2,
    head_dim=16,
    width=24,
    mlp=32,
    latent_channels=4,
    latent_grid=4,
    rope_theta=10000.0,
)
PLAIN = replace(
    NARROW, width=64, modulation="add", pooled=False, qk_norm=False, condition="tokens", local=False
)
CARD: dict[str, Any] = {
    "tasks": ["text_to_image", "super_resolution", "translation", "counterfactual"],
    "prompts": ["a chest"],
    "instructions": {
        "super_resolution": ["sharpen"],
        "translation": ["show this as T2"],
        "counterfactual": ["remove the opacity"],
    },
    "steps": 3,
}


def tiny_model(kind: str = "llama") -> OmniVMedForConditionalGeneration:
    """Placeholders out of the way of `CharTokenizer`, whose control tokens are the first numbers."""
    model = models.tiny_model(kind)
    model.config.image_token_id, model.config.video_token_id = models.VOCABULARY - 2, models.VOCABULARY - 1
    return model


def tiny_expert(config: ExpertConfig = NARROW, seed: int = 0, zero: bool = False) -> Expert:
    """zero: as it is before training."""
    torch.manual_seed(seed)
    expert = Expert(config)
    if not zero:
        randomise(expert, seed)
        for layer in cast(Any, expert.layers):
            layer.key_scale.fill_(0.7)
            layer.value_scale.fill_(1.3)
    return expert.train(False)


def random_prefix(config: ExpertConfig, lengths: tuple[int, ...], seed: int = 1) -> Prefix:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), len(config.layers), config.groups, max(lengths), config.head_dim)
    count = torch.tensor(lengths)
    return Prefix(
        torch.randn(shape, generator=generator), torch.randn(shape, generator=generator), count, count
    )


def tiny_pipeline(config: ExpertConfig = NARROW, card: dict[str, Any] = CARD) -> DrawPipeline:
    model = tiny_model("llama")
    autoencoder = Autoencoder(AUTOENCODER)
    autoencoder.fit_encoder(torch.randn(500, 192, generator=torch.Generator().manual_seed(3)) * 0.3)
    reader = DecoderReader(model, Decoder(model), CharTokenizer(), config.layers)
    draw = DrawConfig("tiny/1", "tiny", AUTOENCODER, config, card)
    return DrawPipeline(draw, tiny_expert(config), autoencoder, reader)
