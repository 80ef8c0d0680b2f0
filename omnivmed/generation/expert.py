"""The generation expert: its own weights per layer, attention shared with the understanding model.

An expert layer's queries see the keys and values that one layer of the language model made of the prompt (`Prefix`),
then those of the latent tokens. Only heads and their size must agree, the width need not: narrow beside nano, the
language model's own width beside a large one. The last projection begins at zero, so an untrained expert says v = 0.

Shapes: B pictures; N latent tokens; W width; H query heads in G groups of size D; C latent channels; g cells
of an edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivmed.generation.config import ExpertConfig
from omnivmed.generation.prefix import Prefix

TIME_NUMBERS = 256
"""Numbers of the sinusoid of t in [0, 1]."""


def time_sinusoid(t_B: Tensor, count: int = TIME_NUMBERS) -> Tensor:
    """(B,) → (B, count): cosines, then sines, of t times frequencies from 1000 down to 0.1 in a geometric row."""
    frequencies = 1000.0 * torch.exp(
        -math.log(1e4) * torch.arange(count // 2, device=t_B.device) / (count // 2)
    )
    angles = t_B[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def place_table(grid: int, width: int) -> Tensor:
    """(grid², width): sine and cosine of row and column, a quarter of the width each, raster order."""
    quarter = width // 4
    frequencies = torch.exp(-math.log(1e4) * torch.arange(quarter) / quarter)
    rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    parts = [
        wave(place.flatten()[:, None] * frequencies)
        for place in (rows, columns)
        for wave in (torch.sin, torch.cos)
    ]
    table = torch.cat(parts, dim=-1)
    return F.pad(table, (0, width - table.shape[1]))


def patchify(z: Tensor, patch: int) -> Tensor:
    """Latents (B, C, g, g) → tokens (B, N, C * patch²), raster order."""
    return F.pixel_unshuffle(z, patch).flatten(2).transpose(1, 2)


def unpatchify(x: Tensor, patch: int) -> Tensor:
    """Tokens (B, N, C * patch²) → latents (B, C, g, g)."""
    side = math.isqrt(x.shape[1])
    return F.pixel_shuffle(x.transpose(1, 2).unflatten(2, (side, side)), patch)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of (..., D) in transformers' order; cos and sin broadcast to it."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * cos + turned * sin


def turns(index_B: Tensor, inverse_frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin (B, 1, 1, D) of one rotary index per picture."""
    angles = index_B[:, None].float() * inverse_frequencies
    angles = torch.cat([angles, angles], dim=-1)[:, None, None]
    return angles.cos(), angles.sin()


class ExpertLayer(nn.Module):
    """One layer: shared attention, gated MLP. Norms without weights where the time scales and shifts (adaLN)."""

    def __init__(self, config: ExpertConfig) -> None:
        super().__init__()
        self.config = config
        width, size = config.width, config.head_dim
        adaptive = config.modulation == "adaln"
        self.input_layernorm = nn.RMSNorm(width, config.eps, elementwise_affine=not adaptive)
        self.q_proj = nn.Linear(width, config.heads * size, bias=False)
        self.k_proj = nn.Linear(width, config.groups * size, bias=False)
        self.v_proj = nn.Linear(width, config.groups * size, bias=False)
        self.o_proj = nn.Linear(config.heads * size, width, bias=False)
        self.q_norm = nn.RMSNorm(size, config.eps) if config.qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(size, config.eps) if config.qk_norm else nn.Identity()
        self.post_attention_layernorm = nn.RMSNorm(width, config.eps, elementwise_affine=not adaptive)
        self.gate_proj = nn.Linear(width, config.mlp, bias=False)
        self.up_proj = nn.Linear(width, config.mlp, bias=False)
        self.down_proj = nn.Linear(config.mlp, width, bias=False)
        if config.local:
            self.local = nn.Conv2d(width, width, 3, padding=1, groups=width)
        if adaptive:
            self.modulation = nn.Parameter(torch.zeros(6, width))
        # The prompt's keys and values come as the language model made them, some coordinates many times larger than
        # the rest; these bring them to a spread of one (`Expert.fit_prefix`), and stay one at full width.
        self.key_scale: Tensor
        self.value_scale: Tensor
        self.register_buffer("key_scale", torch.ones(config.groups, 1, 1))
        self.register_buffer("value_scale", torch.ones(config.groups, 1, 1))

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normed tokens (B, N, W) → queries (B, H, N, D), keys and values (B, G, N, D), rotated."""
        size = self.config.head_dim
        q, k, v = (
            part(x).unflatten(-1, (-1, size)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        return rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin), v

    def attend(self, q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Shared attention: q (B, H, N, D), keys and values (B, G, S, D), mask (B, 1, 1, S) → (B, N, W)."""
        batch, heads, count, size = q.shape
        groups = keys.shape[1]
        # the query heads of a group stand as further queries of its key-value head: keys are not copied
        folded = q.reshape(batch, groups, heads // groups * count, size)
        out = F.scaled_dot_product_attention(folded, keys.to(q.dtype), values.to(q.dtype), attn_mask=mask)
        seen: Tensor = self.o_proj(out.reshape(batch, heads, count, size).transpose(1, 2).flatten(2))
        return seen

    def mixed(self, x: Tensor) -> Tensor:
        """Tokens (B, N, W) with what a small convolution over their grid adds to them, where configured."""
        if not self.config.local:
            return x
        side = math.isqrt(x.shape[1])
        near: Tensor = self.local(x.transpose(1, 2).unflatten(2, (side, side)))
        return x + near.flatten(2).transpose(1, 2)

    def mlp(self, x: Tensor) -> Tensor:
        """Gated MLP of the normed input."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


@torch.no_grad()
def fit_scales(layers: nn.ModuleList, prefix: Prefix) -> None:
    """Bring keys and values to a length of one, in the median over the tokens of a batch of prompts."""
    present = prefix.present
    for number, layer in enumerate(layers):
        assert isinstance(layer, ExpertLayer)
        for buffer, tensor in ((layer.key_scale, prefix.keys), (layer.value_scale, prefix.values)):
            size = tensor[:, number].float().square().mean(-1).sqrt()  # (B, G, P)
            for group in range(size.shape[1]):
                buffer[group] = 1 / size[:, group][present].median().clamp_min(1e-6)


def scaled(layers: nn.ModuleList, prefix: Prefix) -> Prefix:
    """The prefix (one of its layers for each layer) with its keys and values at their scales."""
    scales = [
        torch.stack([getattr(layer, name) for layer in layers]) for name in ("key_scale", "value_scale")
    ]
    keys, values = ((x * s).to(x.dtype) for x, s in zip((prefix.keys, prefix.values), scales, strict=True))
    return replace(prefix, keys=keys, values=values)


class Expert(nn.Module):
    """Latents under noise and a prompt's keys and values → velocity."""

    places: Tensor
    inverse_frequencies: Tensor

    def __init__(self, config: ExpertConfig) -> None:
        super().__init__()
        self.config = config
        width, adaptive = config.width, config.modulation == "adaln"
        self.enter = nn.Linear(config.token_dim, width)
        if config.condition == "channels":
            self.enter_condition = nn.Linear(config.token_dim, width)
            self.no_condition = nn.Parameter(torch.zeros(width))
        self.time = nn.Sequential(nn.Linear(TIME_NUMBERS, width), nn.SiLU(), nn.Linear(width, width))
        if config.pooled:
            self.pooled = nn.Linear(len(config.layers) * config.groups * config.head_dim, width)
        self.layers = nn.ModuleList(ExpertLayer(config) for _ in config.layers)
        self.norm = nn.RMSNorm(width, config.eps, elementwise_affine=not adaptive)
        self.leave = nn.Linear(width, config.token_dim)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        if adaptive:
            self.modulate = nn.Linear(width, 8 * width)
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)
        size = config.head_dim
        self.register_buffer(
            "places", place_table(config.latent_grid // config.latent_patch, width), persistent=False
        )
        self.register_buffer(
            "inverse_frequencies", config.rope_theta ** (-torch.arange(0, size, 2) / size), persistent=False
        )

    # ------------------------------------------------------------------------------------------- the prompt

    def fit_prefix(self, prefix: Prefix) -> None:
        """Set the scales of keys and values from a batch of prompts; see `fit_scales`."""
        fit_scales(self.layers, prefix)

    def scaled(self, prefix: Prefix) -> Prefix:
        """The prefix as the layers want it; do it once, not every step."""
        return scaled(self.layers, prefix)

    def extended(self, prefix: Prefix, clean: Tensor) -> Prefix:
        """`scaled` prefix with the tokens of clean latents (B, C, g, g) behind it: t = 0, no noise sees them earlier.

        For ``condition="tokens"``: their keys and values are computed once a picture.
        """
        zero = torch.zeros(len(clean), device=clean.device)
        _, added = self._layers(clean, zero, prefix, None)
        keys = torch.stack([k for k, _ in added], dim=1).to(prefix.keys.dtype)
        values = torch.stack([v for _, v in added], dim=1).to(prefix.values.dtype)
        if not bool((prefix.lengths == prefix.keys.shape[3]).all()):
            raise ValueError("a condition picture needs prompts of one length in a batch")
        return Prefix(
            torch.cat([prefix.keys, keys], dim=3),
            torch.cat([prefix.values, values], dim=3),
            prefix.lengths + keys.shape[3],
            prefix.index + 1,
        )

    # ------------------------------------------------------------------------------------------- one estimate

    def forward(
        self,
        x_t: Tensor,
        t_B: Tensor,
        prefix: Prefix,
        condition: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Velocity (B, C, g, g) of latents x_t at times t_B (B,), after a `scaled` prefix.

        condition: latents of the picture to be changed (B, C, g, g), for ``condition="channels"``; known: bool (B,),
        False where a row of it is to be left out.
        """
        hidden, _ = self._layers(x_t, t_B, prefix, condition, known)
        return unpatchify(hidden.float(), self.config.latent_patch)

    def embed(self, x: Tensor, condition: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Latents → tokens (B, N, W) at their places, time not yet on them."""
        patch = self.config.latent_patch
        tokens: Tensor = self.enter(patchify(x, patch)) + self.places
        if self.config.condition == "channels":
            nothing = self.no_condition.expand_as(tokens)
            if condition is None:
                return tokens + nothing
            given = self.enter_condition(patchify(condition, patch))
            tokens = tokens + (given if known is None else torch.where(known[:, None, None], given, nothing))
        elif condition is not None:
            raise ValueError("this expert takes a picture as clean tokens: use `extended`")
        return tokens

    def signal(self, t_B: Tensor, prefix: Prefix) -> Tensor:
        """What modulates the layers, (B, W): the time, and the mean of the prompt's values where configured."""
        signal: Tensor = self.time(time_sinusoid(t_B).to(self.enter.weight.dtype))
        if self.config.pooled:
            weight = prefix.present.to(signal.dtype)
            mean = torch.einsum("blgpd,bp->blgd", prefix.values.to(signal.dtype), weight)
            mean = mean / weight.sum(1).clamp_min(1)[:, None, None, None]
            signal = signal + self.pooled(mean.flatten(1))
        return signal

    def turns(self, index_B: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin (B, 1, 1, D) of one rotary index per picture: all its tokens share it."""
        return turns(index_B, self.inverse_frequencies)

    def _layers(
        self,
        x: Tensor,
        t_B: Tensor,
        prefix: Prefix,
        condition: Tensor | None,
        known: Tensor | None = None,
    ) -> tuple[Tensor, Sequence[tuple[Tensor, Tensor]]]:
        hidden = self.embed(x, condition, known)
        signal = self.signal(t_B, prefix)
        changes = self.changes(signal)
        if changes is None:
            hidden = hidden + signal[:, None]
        cos, sin = self.turns(prefix.index)
        batch, count = hidden.shape[:2]
        seen = torch.cat([prefix.present, prefix.present.new_ones(batch, count)], dim=1)[:, None, None]
        added = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, ExpertLayer)
            shift1, scale1, gate1, shift2, scale2, gate2 = self.of_layer(layer, changes)
            q, k, v = layer.project(modulated(layer.input_layernorm(hidden), shift1, scale1), cos, sin)
            keys = torch.cat([prefix.keys[:, number].to(k.dtype), k], dim=2)
            values = torch.cat([prefix.values[:, number].to(v.dtype), v], dim=2)
            hidden = hidden + gated(layer.attend(q.to(v.dtype), keys, values, seen), gate1)
            entered = modulated(layer.post_attention_layernorm(hidden), shift2, scale2)
            hidden = hidden + gated(layer.mlp(layer.mixed(entered)), gate2)
            added.append((k, v))
        shift, scale = (None, None) if changes is None else changes[:, 6:, None].unbind(1)
        return self.leave(modulated(self.norm(hidden), shift, scale)), added

    def changes(self, signal: Tensor) -> Tensor | None:
        """Shifts, scales and gates of the modulation, (B, 8, W); None where the time is only added."""
        if self.config.modulation == "add":
            return None
        changes: Tensor = self.modulate(F.silu(signal)).unflatten(-1, (8, -1))
        return changes

    @staticmethod
    def of_layer(layer: ExpertLayer, changes: Tensor | None) -> Sequence[Tensor | None]:
        """The six changes of one layer, (B, 1, W) each: shared ones plus the layer's own."""
        if changes is None:
            return (None,) * 6
        return (changes[:, :6] + layer.modulation)[:, :, None].unbind(1)


def modulated(x: Tensor, shift: Tensor | None, scale: Tensor | None) -> Tensor:
    """Scaled and shifted by the time; as it is where the time is only added."""
    return x if shift is None or scale is None else x * (1 + scale) + shift


def gated(x: Tensor, gate: Tensor | None) -> Tensor:
    """What a part of a layer adds, as strongly as the time says."""
    return x if gate is None else x * (1 + gate)
