"""Answering one conversation: read a prompt into a cache, then one token at a time.

The loop of `generate` costs about as much as a 135M model itself. `Decoder` walks the layers of a Llama-,
Qwen2- or Qwen3-type language model directly: fused projections, weights laid out for the matrix kernel,
preallocated cache. Greedy tokens equal those of `generate`. Other language models run through
`ReferenceDecoder`, which has the same methods over transformers' own forward; `make_decoder` chooses.

    decoder = make_decoder(model)
    cache = decoder.new_cache()
    embeds = model.embed_prompt(input_ids, select_kept(features, keep))      # (1, S, W)
    logits = decoder.prefill(embeds, cache)                                  # (vocabulary,)
    while (token := int(logits.argmax())) not in stop_ids:
        logits = decoder.step(token, cache)
    cache.truncate(prefix_length)                                            # keep the study, ask again

Legend: ``S`` new positions, ``T`` positions held, ``W`` width, ``H`` query heads, ``G`` key-value heads,
``D`` head size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional
from transformers import DynamicCache

from omnivmed.model.cache import Cache, KVCache

PREFILL_CHUNK = 512
"""Prompt positions computed together; bounds memory, and the time until a stop is noticed."""

FUSE_BYTES = 2 << 30
"""Language models up to this size get fused copies of their weights; larger ones are used in place."""

FAST_TYPES = ("llama", "qwen2", "qwen3")
_FIXED_ROPE = ("default", "linear", "llama3", "yarn")


class AnyDecoder(Protocol):
    """What the engine needs of a decoder. One thread at a time."""

    def new_cache(self, reserve: int = 0) -> Any:
        """Return an empty `Cache`, with room for ``reserve`` positions where that is known ahead."""

    def prefill(
        self, inputs_embeds: torch.Tensor, cache: Any, on_chunk: Callable[[int, int], None] | None = None
    ) -> torch.Tensor:
        """Append embeddings ``(1, S, W)`` or ``(S, W)``; return the logits after the last, ``(vocabulary,)``.

        Works through `PREFILL_CHUNK` positions at a time; ``on_chunk(done, total)`` after each may raise in
        order to stop, and the cache then holds the positions done. Raises ValueError when S is 0.
        """

    def step(self, token: int, cache: Any) -> torch.Tensor:
        """Append one token; return the logits after it, ``(vocabulary,)``."""


def make_decoder(model: Any, dtype: torch.dtype | None = None) -> AnyDecoder:
    """Return the fastest decoder that gives the tokens of `generate` for this model."""
    return Decoder(model, dtype) if Decoder.supports(model) else ReferenceDecoder(model)


def greedy(
    decoder: AnyDecoder,
    inputs_embeds: torch.Tensor,
    cache: Cache,
    max_new_tokens: int,
    stop_ids: frozenset[int] = frozenset(),
) -> Iterator[int]:
    """Yield the greedy answer token by token, without the stop token; closing the iterator ends the work."""
    logits = decoder.prefill(inputs_embeds, cache)
    for n in range(max_new_tokens):
        token = int(logits.argmax())
        if token in stop_ids:
            return
        yield token
        if n + 1 < max_new_tokens:
            logits = decoder.step(token, cache)


class ReferenceDecoder:
    """The same methods over transformers' forward, for any language model."""

    def __init__(self, model: Any) -> None:
        self._text, self._head = model.model.language_model, model.lm_head

    def new_cache(self, reserve: int = 0) -> ReferenceCache:
        return ReferenceCache()

    @torch.inference_mode()
    def prefill(
        self, inputs_embeds: torch.Tensor, cache: Any, on_chunk: Callable[[int, int], None] | None = None
    ) -> torch.Tensor:
        embeds_SW = _flat(inputs_embeds)
        total = embeds_SW.shape[0]
        for start in range(0, total, PREFILL_CHUNK):
            chunk = embeds_SW[start : start + PREFILL_CHUNK]
            hidden = self._forward(chunk, cache)
            if on_chunk is not None:
                on_chunk(start + chunk.shape[0], total)
        return self._head(hidden[:, -1])[0]

    @torch.inference_mode()
    def step(self, token: int, cache: Any) -> torch.Tensor:
        table = self._text.get_input_embeddings()
        embeds = table(torch.tensor([token], device=table.weight.device))
        return self._head(self._forward(embeds, cache)[:, -1])[0]

    def _forward(self, embeds_SW: torch.Tensor, cache: ReferenceCache) -> torch.Tensor:
        positions = torch.arange(cache.length, cache.length + embeds_SW.shape[0], device=embeds_SW.device)
        return self._text(
            inputs_embeds=embeds_SW[None],
            past_key_values=cache.stored,
            position_ids=positions[None],
            use_cache=True,
        ).last_hidden_state


class ReferenceCache:
    """`Cache` over transformers' DynamicCache."""

    def __init__(self, stored: DynamicCache | None = None) -> None:
        self.stored = DynamicCache() if stored is None else stored

    @property
    def length(self) -> int:
        return int(self.stored.get_seq_length())

    @property
    def nbytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self._pairs())

    def truncate(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot cut a cache of {self.length} positions to {length}")
        if length == 0:
            self.stored = DynamicCache()
        elif length < self.length:
            self.stored.crop(length - self.length)  # negative: positions to drop

    def copy(self) -> ReferenceCache:
        stored = DynamicCache()
        for number, (keys, values) in enumerate(self._pairs()):
            stored.update(keys.clone(), values.clone(), number)
        return ReferenceCache(stored)

    def _pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(layer.keys, layer.values) for layer in self.stored.layers if layer.is_initialized]


class _Linear:
    """One or more linear layers of the same input as one matrix product; weights packed where that is faster."""

    def __init__(self, layers: list[nn.Linear], dtype: torch.dtype, fuse: bool) -> None:
        self._parts: list[tuple[torch.Tensor, torch.Tensor | None]]
        self._parts = [(layer.weight.detach(), layer.bias) for layer in layers]
        self._packed: torch.Tensor | None = None
        self._bias: torch.Tensor | None = None
        if not fuse:
            if any(weight.dtype != dtype for weight, _ in self._parts):
                raise ValueError(f"a model of this size is not copied: load it as {dtype}")
            return
        weight = torch.cat([w for w, _ in self._parts]).to(dtype)
        if any(bias is not None for _, bias in self._parts):
            pieces = [w.new_zeros(w.shape[0]) if b is None else b.detach() for w, b in self._parts]
            self._bias = torch.cat(pieces).to(dtype)
        if weight.device.type == "cpu" and dtype == torch.bfloat16 and _mkldnn_bfloat16():
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
        self._parts = [(weight, self._bias)] if self._packed is None else []

    def __call__(self, x_SW: torch.Tensor) -> torch.Tensor:
        if self._packed is not None:
            return torch.ops.mkldnn._linear_pointwise(x_SW, self._packed, self._bias, "none", [], "")
        outs = [functional.linear(x_SW, weight, bias) for weight, bias in self._parts]
        return outs[0] if len(outs) == 1 else torch.cat(outs, dim=-1)


def _mkldnn_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 natively here (and its packed layout can be used)."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a build without oneDNN
        return False


class _Layer:
    """Weights of one decoder layer in the order of use."""

    def __init__(self, layer: Any, dtype: torch.dtype, fuse: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.qkv = _Linear([attention.q_proj, attention.k_proj, attention.v_proj], dtype, fuse)
        self.out = _Linear([attention.o_proj], dtype, fuse)
        self.gate_up = _Linear([mlp.gate_proj, mlp.up_proj], dtype, fuse)
        self.down = _Linear([mlp.down_proj], dtype, fuse)
        self.norm1 = layer.input_layernorm.weight.detach().to(dtype)
        self.norm2 = layer.post_attention_layernorm.weight.detach().to(dtype)
        q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
        self.qk_norm: torch.Tensor | None = None
        if q_norm is not None and k_norm is not None:  # Qwen3: one scale per head size, queries then keys
            heads = attention.q_proj.out_features // attention.head_dim
            groups = attention.k_proj.out_features // attention.head_dim
            scales = [q_norm.weight.expand(heads, -1), k_norm.weight.expand(groups, -1)]
            self.qk_norm = torch.cat(scales)[:, None].detach().to(dtype)


class Decoder:
    """Greedy decoding of a Llama-, Qwen2- or Qwen3-type language model, batch 1.

    model: an `OmniVMedForConditionalGeneration`. dtype: that of computation and cache, by default that of the
    model; with another one, or up to `FUSE_BYTES`, the weights are copied. The model itself is not changed.
    Raises ValueError when `supports` says no.
    """

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        if not self.supports(model):
            raise ValueError("this language model has no fast path; use make_decoder")
        text, config = model.model.language_model, model.config.text_config
        self._embed: torch.Tensor = text.embed_tokens.weight.detach()
        self.dtype = dtype or self._embed.dtype
        self.device = self._embed.device
        self._heads, self._groups = config.num_attention_heads, config.num_key_value_heads
        self._head_dim = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._eps = config.rms_norm_eps
        fuse = sum(p.numel() for p in text.parameters()) * self.dtype.itemsize <= FUSE_BYTES
        self._layers = [_Layer(layer, self.dtype, fuse) for layer in text.layers]
        self._norm = text.norm.weight.detach().to(self.dtype)
        self._head = _Linear([model.lm_head], self.dtype, fuse)
        self._rotary = text.rotary_emb
        self._cos = self._sin = torch.empty(0, self._head_dim, dtype=self.dtype, device=self.device)

    @staticmethod
    def supports(model: Any) -> bool:
        """Whether the architecture is one that the layers below reproduce exactly."""
        config = model.config.text_config
        rope = (config.rope_parameters or {}).get("rope_type", "default")
        full = all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or [])
        return (
            config.model_type in FAST_TYPES and config.hidden_act == "silu" and rope in _FIXED_ROPE and full
        )

    def new_cache(self, reserve: int = 0) -> KVCache:
        cache = KVCache(len(self._layers), self._groups, self._head_dim, self.dtype, self.device)
        cache.reserve(reserve)
        return cache

    @torch.inference_mode()
    def prefill(
        self, inputs_embeds: torch.Tensor, cache: KVCache, on_chunk: Callable[[int, int], None] | None = None
    ) -> torch.Tensor:
        embeds_SW = _flat(inputs_embeds).to(self.device, self.dtype)
        total = embeds_SW.shape[0]
        cache.reserve(cache.length + total)
        for start in range(0, total, PREFILL_CHUNK):
            chunk = embeds_SW[start : start + PREFILL_CHUNK]
            hidden = self._forward(chunk, cache)
            if on_chunk is not None:
                on_chunk(start + chunk.shape[0], total)
        return self._logits(hidden)

    @torch.inference_mode()
    def step(self, token: int, cache: KVCache) -> torch.Tensor:
        cache.reserve(cache.length + 1)
        return self._logits(self._forward(self._embed[token : token + 1].to(self.dtype), cache))

    def _logits(self, hidden_SW: torch.Tensor) -> torch.Tensor:
        return self._head(self._rms(hidden_SW[-1:], self._norm))[0]

    def _rms(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), None, self._eps) * scale

    def _tables(self, start: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotary cosine and sign-folded sine ``(S, D)`` of positions ``start .. end - 1``."""
        if self._cos.shape[0] < end:
            positions = torch.arange(max(end, 2 * self._cos.shape[0], 1024), device=self.device)
            like = torch.empty(0, dtype=self.dtype, device=self.device)
            cos, sin = self._rotary(like, positions[None])
            half = self._head_dim // 2
            self._cos, self._sin = cos[0], torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)
        return self._cos[start:end], self._sin[start:end]

    def _forward(self, x_SW: torch.Tensor, cache: KVCache) -> torch.Tensor:
        """Run the layers over new positions; they are held by the cache when this returns."""
        count, start = x_SW.shape[0], cache.length
        heads, groups, size = self._heads, self._groups, self._head_dim
        cos, sin = self._tables(start, start + count)
        mask = _causal(count, start, heads // groups, self.device) if count > 1 else None
        for number, layer in enumerate(self._layers):
            qkv = (
                layer.qkv(self._rms(x_SW, layer.norm1)).view(count, heads + 2 * groups, size).transpose(0, 1)
            )
            rotated = qkv[: heads + groups]
            if layer.qk_norm is not None:
                rotated = self._rms(rotated, layer.qk_norm)
            rotated = torch.addcmul(rotated * cos, rotated.roll(size // 2, -1), sin)
            kv = torch.stack([rotated[heads:], qkv[heads + groups :]])
            keys, values = cache.write(number, kv)
            # The query heads of one group stand as further queries of its key-value head: no copy of the cache.
            queries = rotated[:heads].reshape(1, groups, -1, size)
            out = functional.scaled_dot_product_attention(queries, keys[None], values[None], attn_mask=mask)
            out = out.view(heads, count, size).transpose(0, 1).reshape(count, heads * size)
            x_SW = x_SW + layer.out(out)
            gate, up = layer.gate_up(self._rms(x_SW, layer.norm2)).chunk(2, dim=-1)
            x_SW = x_SW + layer.down(functional.silu(gate) * up)
        cache.advance(count)
        return x_SW


def _causal(count: int, start: int, repeat: int, device: torch.device) -> torch.Tensor:
    """Bool ``(repeat * S, T + S)``: position ``start + s`` sees all up to itself; tiled for grouped heads."""
    seen = (
        torch.arange(start + count, device=device)[None]
        <= torch.arange(start, start + count, device=device)[:, None]
    )
    return seen.repeat(repeat, 1)


def _flat(inputs_embeds: torch.Tensor) -> torch.Tensor:
    if inputs_embeds.ndim == 3:
        if inputs_embeds.shape[0] != 1:
            raise ValueError(f"one conversation at a time, got a batch of {inputs_embeds.shape[0]}")
        inputs_embeds = inputs_embeds[0]
    if inputs_embeds.shape[0] == 0:
        raise ValueError("nothing to read: the prompt has no positions")
    return inputs_embeds
