"""One sequence of text and latents through both experts at once: what the cached form must equal.

Every layer has two sets of weights, the understanding model's for text and the expert's for latents; attention is one,
under the mask of `masks`. Nothing in the app runs this: it is the form that full-width training needs, and what
the tests hold the cached form against. A layer of the language model that no expert layer stands beside runs for the
text alone.

Shapes: one sequence; T text tokens, then N latent tokens of one picture; W widths differ per expert.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omnivmed.generation import masks
from omnivmed.generation.expert import Expert, ExpertLayer, gated, modulated, rotate, unpatchify
from omnivmed.generation.prefix import Prefix


def joint_forward(
    language_model: Any, expert: Expert, text_TW: Tensor, x_t: Tensor, t_B: Tensor
) -> tuple[Tensor, Tensor]:
    """Text embeddings (T, W) and latents under noise (1, C, g, g) → (last hidden states of the text, velocity).

    language_model: transformers' Llama, Qwen2 or Qwen3 model without its head.
    """
    config, count = expert.config, text_TW.shape[0]
    segments = (masks.Segment("text", count), masks.Segment("noise", config.tokens))
    mask = masks.dense(segments)
    places = masks.positions(segments)
    cos, sin = (part[0] for part in language_model.rotary_emb(text_TW[None], places[None]))
    hidden, latent = text_TW, None
    # the modulation may look at the prompt's values, so the text goes first; it sees no latent either way
    values = _text_values(language_model, expert, text_TW, cos[:count], sin[:count])
    signal = expert.signal(t_B, values)
    changes = expert.changes(signal)
    latent = expert.embed(x_t)
    latent = latent if changes is not None else latent + signal[:, None]
    beside = dict(zip(config.layers, expert.layers, strict=True))
    for number, layer in enumerate(language_model.layers):
        q, k, v = text_projections(layer, hidden, cos[:count], sin[:count])
        other = beside.get(number)
        if other is None:
            seen = F.scaled_dot_product_attention(q, *_wide(k, v, q.shape[0]), attn_mask=mask[:count, :count])
        else:
            assert isinstance(other, ExpertLayer)
            shift1, scale1, gate1, shift2, scale2, gate2 = expert.of_layer(other, changes)
            entered = modulated(other.input_layernorm(latent), shift1, scale1)
            ql, kl, vl = (part[0] for part in other.project(entered, cos[count:], sin[count:]))
            keys, values_ = (
                torch.cat([text, own], dim=1)
                for text, own in ((k * other.key_scale, kl), (v * other.value_scale, vl))
            )
            own_k, own_v = torch.cat([k, kl], dim=1), torch.cat([v, vl], dim=1)
            seen = F.scaled_dot_product_attention(q, *_wide(own_k, own_v, q.shape[0]), attn_mask=mask[:count])
            out = F.scaled_dot_product_attention(
                ql, *_wide(keys, values_, ql.shape[0]), attn_mask=mask[count:]
            )
            latent = latent + gated(other.o_proj(out.transpose(0, 1).flatten(1))[None], gate1)
            entered = modulated(other.post_attention_layernorm(latent), shift2, scale2)
            latent = latent + gated(other.mlp(other.mixed(entered)), gate2)
        hidden = text_layer_end(layer, hidden, seen)
    shift, scale = (None, None) if changes is None else changes[:, 6:, None].unbind(1)
    velocity = unpatchify(expert.leave(modulated(expert.norm(latent), shift, scale)), config.latent_patch)
    return language_model.norm(hidden), velocity


def text_projections(
    layer: Any, hidden_TW: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (H, T, D), keys and values (G, T, D) of a layer of the language model, rotated."""
    attention, x = layer.self_attn, layer.input_layernorm(hidden_TW)
    size = attention.head_dim
    q, k, v = (
        part(x).unflatten(-1, (-1, size)).transpose(0, 1)
        for part in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if hasattr(attention, "q_norm"):  # Qwen3
        q, k = attention.q_norm(q), attention.k_norm(k)
    return rotate(q, cos, sin), rotate(k, cos, sin), v


def text_layer_end(layer: Any, hidden_TW: Tensor, seen_HTD: Tensor) -> Tensor:
    """What a layer of the language model does after attention."""
    hidden = hidden_TW + layer.self_attn.o_proj(seen_HTD.transpose(0, 1).flatten(1))
    out: Tensor = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return out


def _text_values(language_model: Any, expert: Expert, text_TW: Tensor, cos: Tensor, sin: Tensor) -> Prefix:
    """The prefix that the expert's modulation looks at, of the text alone, scaled."""
    hidden, keys, values = text_TW, [], []
    count = len(text_TW)
    causal = torch.ones(count, count, dtype=torch.bool).tril()
    for number, layer in enumerate(language_model.layers):
        q, k, v = text_projections(layer, hidden, cos, sin)
        if number in expert.config.layers:
            keys.append(k[None])
            values.append(v[None])
        seen = F.scaled_dot_product_attention(q, *_wide(k, v, q.shape[0]), attn_mask=causal)
        hidden = text_layer_end(layer, hidden, seen)
    length = torch.tensor([count])
    return expert.scaled(Prefix(torch.stack(keys, 1), torch.stack(values, 1), length, length))


def _wide(keys: Tensor, values: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values of the groups, once for every query head of them."""
    repeat = heads // keys.shape[0]
    return keys.repeat_interleave(repeat, 0), values.repeat_interleave(repeat, 0)
