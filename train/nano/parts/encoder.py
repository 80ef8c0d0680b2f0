"""The encoder in training is the product's class; it and its DINOv2 teacher are asked for features in one way.

Shapes: B pictures of one size, P = gh * gw patches in raster order, C channels, D head size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Dinov2Model

from omnivmed.model.config import nano_vision_config
from omnivmed.model.encoder import OmniVMedVisionModel
from omnivmed.model.rotary import patch_positions, rotary_tables

CONFIG = nano_vision_config()
PATCH: int = 14
HIDDEN: int = CONFIG.hidden_size


class Student(OmniVMedVisionModel):
    """The product's encoder, entered with whole pictures: parameters, blocks, rotation and norm are the product's.

    The entry keeps the rounding that nano was trained with: a convolution where the product multiplies rows, and
    ``theta ** -x`` where it takes ``1 / theta ** x``. Each moves the last bit of a few numbers; in bfloat16 that grows
    to 2e-3 in a loss (docs/log.md), and the recipe would no longer give the numbers that stand in the log.
    """

    def enter(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels (B, 3, H, W) → embedded patches (B, P, C) and their rotary cos and sin (P, D)."""
        x_BCHW = self.embeddings.patch_embedding(pixels)
        quarter = self.config.hidden_size // self.config.num_attention_heads // 4
        theta = float((self.config.rope_parameters or {})["rope_theta"])
        grid_h, grid_w = x_BCHW.shape[2:]
        frequencies = theta ** (-torch.arange(quarter, dtype=torch.float32) / quarter)
        cos_PD, sin_PD = rotary_tables(patch_positions(grid_h, grid_w, 1), frequencies)
        return x_BCHW.flatten(2).transpose(1, 2), cos_PD, sin_PD

    def ordered(self) -> list[torch.nn.Parameter]:
        """All parameters in the order in which the norm for clipping is summed in the legs of docs/log.md."""
        places = ("norm1", "norm2", "q_proj", "k_proj", "v_proj", "out_proj", "mlp")
        parts = [self.embeddings, *self.encoder.layers, self.post_layernorm]

        def place(name: str) -> int:
            return next((n for n, word in enumerate(places) if word in name), 0)

        return [p for m in parts for _, p in sorted(m.named_parameters(), key=lambda item: place(item[0]))]


Vit = Student | Dinov2Model


def student(theta: float = 100.0, layers: int = 12, mlp: int = 1536) -> Student:
    """nano's encoder with random weights, in evaluation mode. theta: base of the rotary frequencies."""
    config = nano_vision_config()
    config.num_hidden_layers, config.intermediate_size = layers, mlp
    config.rope_parameters = {"rope_type": "axial", "rope_theta": theta}
    model = Student(config)
    model.train(False)
    return model


def patch_features(vit: Vit, pixels: Tensor, taps: tuple[int, ...] = ()) -> tuple[Tensor, list[Tensor]]:
    """Pixels (B, 3, H, W) in [-1, 1] → patch features (B, P, C) after the last norm, in raster order, and for each
    block number in ``taps`` (from 1) what that block gave out, (B, P, C)."""
    if isinstance(vit, Dinov2Model):
        seen = vit(pixels, output_hidden_states=bool(taps))
        return seen.last_hidden_state[:, 1:], [seen.hidden_states[n][:, 1:] for n in taps]
    x_BPC, cos_PD, sin_PD = vit.enter(pixels)
    tapped = []
    for number, layer in enumerate(vit.encoder.layers, 1):
        x_BPC = layer(x_BPC, cos_PD, sin_PD)
        if number in taps:
            tapped.append(
                x_BPC[:, :]
            )  # a view of its own: three gradients meet in bfloat16, in the log's order
    return vit.post_layernorm(x_BPC), tapped


def merge2(features_BPC: Tensor, gh: int, gw: int) -> Tensor:
    """2 x 2 mean: (B, gh * gw, C) → (B, gh/2 * gw/2, C), raster order. The product's merge at merge_size 2."""
    b, _, c = features_BPC.shape
    x = features_BPC.view(b, gh // 2, 2, gw // 2, 2, c)
    return x.mean((2, 4)).reshape(b, -1, c)
