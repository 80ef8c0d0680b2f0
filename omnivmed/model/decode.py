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

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch.nn import functional

from omnivmed.model.cache import Cache, KVCache
from omnivmed.model.upstream import CACHE, DynamicCache

PREFILL_CHUNK = 512
"""Prompt positions computed together; bounds memory. Whoever wants to stop in between gives parts of a prompt."""

FUSE_BYTES = 2 << 30
"""Language models up to this size get fused copies of their weights; larger ones are used in place."""

FAST_TYPES = ("llama", "qwen2", "qwen3")
_FIXED_ROPE = ("default", "linear", "llama3", "yarn")


Attend = Callable[[int, torch.Tensor], torch.Tensor]


class AnyDecoder(Protocol):
    """What the engine needs of a decoder. One thread at a time."""

    def new_cache(self, reserve: int = 0) -> Any:
        """Return an empty `Cache`, with room for ``reserve`` positions where that is known ahead."""

    def prefill(self, inputs_embeds: torch.Tensor, cache: Any) -> torch.Tensor:
        """Append embeddings ``(1, S, W)`` or ``(S, W)``; return the logits after the last, ``(vocabulary,)``.

        Works through `PREFILL_CHUNK` positions at a time. Raises ValueError when S is 0.
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
    def prefill(self, inputs_embeds: torch.Tensor, cache: Any) -> torch.Tensor:
        embeds_SW = _flat(inputs_embeds)
        total = embeds_SW.shape[0]
        for start in range(0, total, PREFILL_CHUNK):
            chunk = embeds_SW[start : start + PREFILL_CHUNK]
            hidden = self._forward(chunk, cache)
        logits_1V: torch.Tensor = self._head(hidden[:, -1])
        return logits_1V[0]

    @torch.inference_mode()
    def step(self, token: int, cache: Any) -> torch.Tensor:
        table = self._text.get_input_embeddings()
        embeds = table(torch.tensor([token], device=table.weight.device))
        logits_1V: torch.Tensor = self._head(self._forward(embeds, cache)[:, -1])
        return logits_1V[0]

    def _forward(self, embeds_SW: torch.Tensor, cache: ReferenceCache) -> torch.Tensor:
        positions = torch.arange(cache.length, cache.length + embeds_SW.shape[0], device=embeds_SW.device)
        hidden_1SW: torch.Tensor = self._text(
            inputs_embeds=embeds_SW[None],
            position_ids=positions[None],
            use_cache=True,
            **{CACHE: cache.stored},
        ).last_hidden_state
        return hidden_1SW


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
        held = (
            (getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in self.stored.layers
        )
        return [(keys, values) for keys, values in held if keys is not None and values is not None]


class PackedLinear:
    """Linear layers of one input as one matrix product; weights packed for oneDNN where that is faster."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype) -> None:
        self._weight, self._bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        self.packed = weight.device.type == "cpu" and dtype == torch.bfloat16 and _mkldnn_bfloat16()
        if self.packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, 1)

    @staticmethod
    def of(layer: Any, dtype: torch.dtype, fuse: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        """The layer as it is, or a copy laid out for speed."""
        return PackedLinear(layer.weight.detach(), _bias(layer), dtype) if fuse else layer

    def __call__(self, x_SW: torch.Tensor, activation: str = "none") -> torch.Tensor:
        if self.packed:
            packed: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
                x_SW, self._weight, self._bias, activation, [], ""
            )
            return packed
        out = functional.linear(x_SW, self._weight, self._bias)
        return functional.silu(out) if activation == "swish" else out

    def times(self, x_SW: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """The product of the layer's output with ``factor``."""
        if self.packed:
            multiply = torch.ops.mkldnn._linear_pointwise.binary
            product: torch.Tensor = multiply(x_SW, factor, self._weight, self._bias, "mul")
            return product
        return functional.linear(x_SW, self._weight, self._bias) * factor


def _bias(layer: Any) -> torch.Tensor | None:
    return None if layer.bias is None else layer.bias.detach()


@functools.cache
def _mkldnn_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 natively here and its packed layout gives the right product: tried once.

    The packed operations are torch's own, used by its compiler, but not part of its public interface.
    """
    try:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        weight = torch.eye(32, dtype=torch.bfloat16)
        x = torch.arange(32, dtype=torch.bfloat16)[None]
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
        plain = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
        times = torch.ops.mkldnn._linear_pointwise.binary(x, x, packed, None, "mul")
        return bool(torch.equal(plain, x) and torch.equal(times, x * x))
    except (AttributeError, RuntimeError, TypeError):  # a build without these operations
        return False


class DecoderLayer:
    """Weights of one decoder layer in the order of use.

    The rows of the q and k projections are reordered so that the two numbers rotated together, ``i`` and
    ``i + D/2``, stand side by side: the rotation is then one complex product. Scores do not change, because
    queries and keys are reordered alike.
    """

    def __init__(self, layer: Any, dtype: torch.dtype, fuse: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        size = attention.head_dim
        pairs = torch.arange(size, device=attention.q_proj.weight.device).view(2, size // 2).t().flatten()
        weights: list[torch.Tensor] = []
        biases: list[torch.Tensor] = []
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            weight, bias = projection.weight.detach(), _bias(projection)
            bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
            order = slice(None) if projection is attention.v_proj else pairs
            weights.append(weight.view(-1, size, weight.shape[1])[:, order].flatten(0, 1))
            biases.append(bias.view(-1, size)[:, order].flatten())
        biased = attention.q_proj.bias is not None
        self.qkv = PackedLinear(torch.cat(weights), torch.cat(biases) if biased else None, dtype)
        self.out = PackedLinear.of(attention.o_proj, dtype, fuse)
        self.fused_mlp = fuse
        self.gate: Any = PackedLinear.of(mlp.gate_proj, dtype, fuse)
        self.up: Any = PackedLinear.of(mlp.up_proj, dtype, fuse)
        self.down = PackedLinear.of(mlp.down_proj, dtype, fuse)
        self.norm1 = layer.input_layernorm.weight.detach().float()
        self.norm2 = layer.post_attention_layernorm.weight.detach().float()
        self.qk_norm: torch.Tensor | None = None
        q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
        if q_norm is not None and k_norm is not None:  # Qwen3: one scale per head size, queries then keys
            heads = attention.q_proj.out_features // size
            groups = attention.k_proj.out_features // size
            scales = [q_norm.weight.expand(heads, -1), k_norm.weight.expand(groups, -1)]
            self.qk_norm = torch.cat(scales).detach().float()[:, pairs]

    def mlp(self, x_SW: torch.Tensor) -> torch.Tensor:
        """Gated MLP of the normed input."""
        if self.fused_mlp:
            return self.down(self.up.times(x_SW, self.gate(x_SW, "swish")))
        return self.down(functional.silu(self.gate(x_SW)) * self.up(x_SW))


class Decoder:
    """Greedy decoding of a Llama-, Qwen2- or Qwen3-type language model, batch 1.

    model: an `OmniVMedForConditionalGeneration`. dtype: that of matrix products and cache, by default that of
    the model; the residual stream is float32. Up to `FUSE_BYTES` all weights are copied, of larger models only
    those of q, k and v. The model itself is not changed. Raises ValueError when `supports` says no.
    """

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        if not self.supports(model):
            raise ValueError("this language model has no fast path; use make_decoder")
        text, config = model.model.language_model, model.config.text_config
        self._embed: torch.Tensor = text.embed_tokens.weight.detach()
        self.dtype = dtype or self._embed.dtype
        self.device = self._embed.device
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self._eps = config.rms_norm_eps
        fuse = sum(p.numel() for p in text.parameters()) * self.dtype.itemsize <= FUSE_BYTES
        if not fuse and self.dtype != self._embed.dtype:
            raise ValueError(f"a model of this size is not copied: load it as {self.dtype}")
        self._layers = [DecoderLayer(layer, self.dtype, fuse) for layer in text.layers]
        self._norm = text.norm.weight.detach().float()
        self._head = PackedLinear.of(model.lm_head, self.dtype, fuse)
        self._rotary = text.rotary_emb
        self._turns = torch.empty(0, 1, self.head_dim // 2, dtype=torch.complex64, device=self.device)

    @staticmethod
    def supports(model: Any) -> bool:
        """Whether the architecture is one that the layers above reproduce exactly."""
        config = model.config.text_config
        rope = (config.rope_parameters or {}).get("rope_type", "default")
        full = all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or [])
        known = config.model_type in FAST_TYPES and config.hidden_act == "silu" and rope in _FIXED_ROPE
        return known and full

    def new_cache(self, reserve: int = 0) -> KVCache:
        cache = KVCache(len(self._layers), self.groups, self.head_dim, self.dtype, self.device)
        cache.reserve(reserve)
        return cache

    @torch.inference_mode()
    def prefill(self, inputs_embeds: torch.Tensor, cache: KVCache) -> torch.Tensor:
        embeds_SW = _flat(inputs_embeds).to(self.device)
        total = embeds_SW.shape[0]
        cache.reserve(cache.length + total)
        for start in range(0, total, PREFILL_CHUNK):
            chunk = embeds_SW[start : start + PREFILL_CHUNK]
            hidden = self._forward(chunk.float(), cache)
        return self._logits(hidden)

    @torch.inference_mode()
    def step(self, token: int, cache: KVCache) -> torch.Tensor:
        cache.reserve(cache.length + 1)
        return self._logits(self._forward(self._embed[token : token + 1].float(), cache))

    def _logits(self, hidden_SW: torch.Tensor) -> torch.Tensor:
        return self._head(self._rms(hidden_SW[-1:], self._norm).to(self.dtype))[0]

    def _rms(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """RMS norm over the last axis, float32."""
        if x.ndim == 2 and x.shape[0] == 1 and x.device.type == "cpu":  # a step: three small operations
            row = x[0]
            return (row * scale).mul_((float(row.dot(row)) / row.shape[0] + self._eps) ** -0.5)[None]
        return functional.rms_norm(x, (x.shape[-1],), None, self._eps) * scale

    def _turn(self, start: int, end: int) -> torch.Tensor:
        """Rotary angles of positions ``start .. end - 1`` as complex numbers ``(S, 1, D/2)``."""
        if self._turns.shape[0] < end:
            positions = torch.arange(max(end, 2 * self._turns.shape[0], 1024), device=self.device)
            cos, sin = self._rotary(torch.empty(0, device=self.device), positions[None])
            half = self.head_dim // 2
            self._turns = torch.complex(cos[0, :, None, :half], sin[0, :, None, :half])
        return self._turns[start:end]

    def _forward(self, x_SW: torch.Tensor, cache: KVCache) -> torch.Tensor:
        """Run the layers over new positions (float32); the cache holds them when this returns."""
        count, start = x_SW.shape[0], cache.length
        heads, groups, size = self.heads, self.groups, self.head_dim
        mask = _causal(count, start, heads // groups, self.device) if count > 1 else None

        def attend(number: int, qkv_SXD: torch.Tensor) -> torch.Tensor:
            keys, values = cache.write(number, qkv_SXD[:, heads:])
            # The query heads of one group stand as further queries of its key-value head: no copy of the cache.
            queries = qkv_SXD[:, :heads].to(self.dtype).transpose(0, 1).reshape(1, groups, -1, size)
            out = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            return out.reshape(heads, count, size).transpose(0, 1).reshape(count, heads * size)

        x_SW = self.layers(x_SW, self._turn(start, start + count), attend)
        cache.advance(count)
        return x_SW

    # -- for decoders that hold keys and values in another way (`omnivmed.model.batch`) ------------------------

    def layers(self, x_SW: torch.Tensor, turns_S1D: torch.Tensor, attend: Attend) -> torch.Tensor:
        """All layers over positions ``(S, W)`` float32; ``turns`` their rotary angles, complex ``(S, 1, D/2)``.

        ``attend(layer, qkv)``: queries, keys and values ``(S, H + 2G, D)``, rotated, float32 -> what every position
        gathers, ``(S, H * D)`` in ``dtype``.
        """
        count = x_SW.shape[0]
        for number, layer in enumerate(self._layers):
            qkv = layer.qkv(self._rms(x_SW, layer.norm1).to(self.dtype)).float()
            qkv = qkv.view(count, -1, self.head_dim)
            rotated = qkv[:, : self.heads + self.groups]
            if layer.qk_norm is not None:
                rotated.copy_(self._rms(rotated, layer.qk_norm))
            torch.view_as_complex(rotated.unflatten(-1, (-1, 2))).mul_(turns_S1D)
            x_SW = x_SW + layer.out(attend(number, qkv))
            x_SW = x_SW + layer.mlp(self._rms(x_SW, layer.norm2).to(self.dtype))
        return x_SW

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self._layers)

    def embed(self, ids_S: torch.Tensor) -> torch.Tensor:
        """Embeddings of token ids, a copy, ``(S, W)``."""
        return self._embed[ids_S.to(self.device)]

    def turns(self, positions_S: torch.Tensor) -> torch.Tensor:
        """Rotary angles of any positions, complex ``(S, 1, D/2)``."""
        return self._turn(0, int(positions_S.max()) + 1)[positions_S.to(self.device)]

    def likeliest(self, hidden_RW: torch.Tensor) -> torch.Tensor:
        """The greedy next token after each of some positions, ``(R,)``."""
        return self._head(self._rms(hidden_RW, self._norm).to(self.dtype)).argmax(-1)


def _causal(count: int, start: int, repeat: int, device: torch.device) -> torch.Tensor:
    """Bool ``(repeat * S, T + S)``: position ``start + s`` sees all up to itself; tiled for grouped heads."""
    places = torch.arange(start + count, device=device)
    return (places[None] <= places[start:, None]).repeat(repeat, 1)


def _flat(inputs_embeds: torch.Tensor) -> torch.Tensor:
    if inputs_embeds.ndim == 3:
        if inputs_embeds.shape[0] != 1:
            raise ValueError(f"one conversation at a time, got a batch of {inputs_embeds.shape[0]}")
        inputs_embeds = inputs_embeds[0]
    if inputs_embeds.shape[0] == 0:
        raise ValueError("nothing to read: the prompt has no positions")
    return inputs_embeds
