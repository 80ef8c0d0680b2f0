"""The editing expert: a given picture and what was asked, to the changed picture, in one step and in pixels.

It begins at the given picture and not at noise, so doing nothing is where it starts from and nothing that it has to
learn: an untrained editor gives the picture back. This is the flow between pairs (given to changed, x_t on the straight
line between them) taken in a single step, whose best estimate is the mean of all answers; there is no noise in it, so
a seed changes nothing. No autoencoder stands between, so what it leaves alone comes back to the bit.

It is an expert like the drawing one: own weights per layer, attending to the keys and values that the understanding
model made of the prompt, and never seen by that model. Convolutions at two finer scales go round its layers.

Shapes: B pictures; S pixels of an edge; N tokens of the coarsest grid; W width of a scale.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivmed.generation.config import EditorConfig
from omnivmed.generation.expert import ExpertLayer, fit_scales, place_table, scaled, turns
from omnivmed.generation.prefix import Prefix


class Block(nn.Module):
    """x + convolution(SiLU(convolution(x), scaled and shifted by the prompt)); the second begins near zero."""

    def __init__(self, width: int, signal: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.told = nn.Linear(signal, 2 * width)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.normal_(self.second.weight, std=0.1 / (9 * width) ** 0.5)
        nn.init.zeros_(self.told.weight)
        for part in (self.first, self.second, self.told):
            assert part.bias is not None
            nn.init.zeros_(part.bias)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """(B, W, h, w) and the prompt's signal (B, signal) → (B, W, h, w)."""
        scale, shift = self.told(signal)[:, :, None, None].chunk(2, dim=1)
        added: Tensor = self.second(F.silu(self.first(x) * (1 + scale) + shift))
        return x + added


class Editor(nn.Module):
    """A picture and a prompt's keys and values → what to add to the picture."""

    pooled_mean: Tensor
    pooled_spread: Tensor
    places: Tensor
    inverse_frequencies: Tensor

    def __init__(self, config: EditorConfig) -> None:
        super().__init__()
        self.config = config
        widths, last = config.widths, config.widths[-1]
        numbers = config.prefix_layers * config.groups * config.head_dim
        # Means of different prompts are nearly alike; what tells them apart is brought to a spread of one.
        self.register_buffer("pooled_mean", torch.zeros(numbers))
        self.register_buffer("pooled_spread", torch.ones(numbers))
        self.told = nn.Sequential(nn.Linear(numbers, last), nn.SiLU(), nn.Linear(last, last))
        self.enter = nn.Conv2d(3 * config.fold**2, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        self.up_blocks = nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for number, (width, count) in enumerate(zip(widths, config.blocks, strict=True)):
            for blocks in (self.down_blocks, self.up_blocks):
                blocks.append(nn.ModuleList(Block(width, last) for _ in range(count)))
            if number + 1 < len(widths):
                self.down.append(nn.Conv2d(width, widths[number + 1], 2, stride=2))
                self.up.append(nn.Conv2d(widths[number + 1], 4 * width, 1))
        layer = config.layer
        self.layers = nn.ModuleList(ExpertLayer(layer) for _ in config.reads)
        self.norm = nn.RMSNorm(last, config.eps)
        self.leave = nn.Conv2d(widths[0], 3 * config.fold**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("places", place_table(layer.latent_grid, last), persistent=False)
        size = config.head_dim
        self.register_buffer(
            "inverse_frequencies", config.rope_theta ** (-torch.arange(0, size, 2) / size), persistent=False
        )

    # ------------------------------------------------------------------------------------------- the prompt

    @torch.no_grad()
    def fit_prefix(self, prefix: Prefix) -> None:
        """Set the scales of keys, values and their means from the prefixes (all layers) of many prompts."""
        fit_scales(self.layers, self._read(prefix))
        pooled = _pooled(prefix)
        self.pooled_mean.copy_(pooled.mean(0))
        self.pooled_spread.copy_(pooled.std(0).clamp_min(1e-4))

    def _read(self, prefix: Prefix) -> Prefix:
        chosen = list(self.config.reads)
        return replace(prefix, keys=prefix.keys[:, chosen], values=prefix.values[:, chosen])

    def signal(self, prefix: Prefix) -> Tensor:
        """What the prompt tells every block, (B, W of the last scale)."""
        pooled = ((_pooled(prefix) - self.pooled_mean) / self.pooled_spread).clamp(-4, 4)
        told: Tensor = self.told(pooled)
        return told

    # ------------------------------------------------------------------------------------------- one change

    def forward(self, given: Tensor, prefix: Prefix) -> Tensor:
        """Pixels (B, 3, S, S) in [-1, 1] and the prefix of the prompts → what to add to them, of the same shape."""
        config = self.config
        signal = self.signal(prefix)
        told = F.silu(signal)
        x: Tensor = self.enter(F.pixel_unshuffle(given, config.fold))
        kept: list[Tensor] = []
        for number, blocks in enumerate(self.down_blocks):
            x = _through(blocks, x, told)
            if number < len(self.down):
                kept.append(x)
                x = self.down[number](x)
        x = self._attended(x, signal, prefix)
        for number in reversed(range(len(self.up_blocks))):
            x = _through(self.up_blocks[number], x, told)
            if number:
                x = kept.pop() + F.pixel_shuffle(self.up[number - 1](x), 2)
        out: Tensor = config.spread * F.pixel_shuffle(self.leave(F.silu(x)).float(), config.fold)
        return out

    def _attended(self, x: Tensor, signal: Tensor, prefix: Prefix) -> Tensor:
        read = scaled(self.layers, self._read(prefix))
        batch, side = len(x), x.shape[-1]
        hidden = x.flatten(2).transpose(1, 2) + self.places + signal[:, None]
        cos, sin = turns(read.index, self.inverse_frequencies)
        seen = torch.cat([read.present, read.present.new_ones(batch, hidden.shape[1])], dim=1)[:, None, None]
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, ExpertLayer)
            q, k, v = layer.project(layer.input_layernorm(hidden), cos, sin)
            keys = torch.cat([read.keys[:, number].to(k.dtype), k], dim=2)
            values = torch.cat([read.values[:, number].to(v.dtype), v], dim=2)
            hidden = hidden + layer.attend(q.to(v.dtype), keys, values, seen)
            hidden = hidden + layer.mlp(layer.mixed(layer.post_attention_layernorm(hidden)))
        out: Tensor = self.norm(hidden).transpose(1, 2).unflatten(2, (side, side))
        return x + out.to(x.dtype)


def _through(blocks: nn.Module, x: Tensor, told: Tensor) -> Tensor:
    assert isinstance(blocks, nn.ModuleList)
    for block in blocks:
        x = block(x, told)
    return x


def _pooled(prefix: Prefix) -> Tensor:
    """(B, L * G * D): mean over a prompt's tokens of its values."""
    weight = prefix.present.float()
    mean = torch.einsum("blgpd,bp->blgd", prefix.values.float(), weight)
    return (mean / weight.sum(1).clamp_min(1)[:, None, None, None]).flatten(1)
