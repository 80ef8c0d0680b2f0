"""What the expert reads of the understanding model: keys and values of a prompt, computed once and kept.

The understanding model never attends to latents, so whatever is drawn after a prompt, its keys and values are the same.

Shapes: B prompts; P positions; L layers read; G key-value heads; D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from omnivmed.model.decode import Decoder
from omnivmed.model.prompts import build_prompt

if TYPE_CHECKING:
    from omnivmed.model.cache import KVCache
    from omnivmed.model.modeling import OmniVMedForConditionalGeneration


@dataclass(frozen=True)
class Prefix:
    """Keys, rotated to their places, and values, both (B, L, G, P, D); lengths (B,) of the prompts, padded behind.

    index: rotary index of the next token, (B,).
    """

    keys: Tensor
    values: Tensor
    lengths: Tensor
    index: Tensor

    @property
    def present(self) -> Tensor:
        """Bool (B, P): positions that are not padding."""
        return torch.arange(self.keys.shape[3], device=self.keys.device) < self.lengths[:, None]

    def __len__(self) -> int:
        return len(self.lengths)


def stack(prefixes: Sequence[Prefix]) -> Prefix:
    """One batch of several prefixes, padded to the longest."""
    most = max(p.keys.shape[3] for p in prefixes)

    def padded(x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x, (0, 0, 0, most - x.shape[3]))

    return Prefix(
        torch.cat([padded(p.keys) for p in prefixes]),
        torch.cat([padded(p.values) for p in prefixes]),
        torch.cat([p.lengths for p in prefixes]),
        torch.cat([p.index for p in prefixes]),
    )


class Reader(Protocol):
    """Turns a prompt into a prefix."""

    def read(self, text: str) -> Prefix:
        """The prefix of one prompt; "" for no prompt, as guidance needs it."""


class DecoderReader:
    """Reads prompts with the fast decoder of an understanding model, in the product's prompt format.

    layers: those whose keys and values the expert wants. Raises ValueError where the model has no fast decoder.
    """

    def __init__(
        self,
        model: OmniVMedForConditionalGeneration,
        decoder: Any,
        tokenizer: Any,
        layers: Sequence[int],
    ) -> None:
        if not isinstance(decoder, Decoder):
            raise ValueError("drawing needs the fast decoder; this language model has none")
        self._model, self._decoder, self._tokenizer = model, decoder, tokenizer
        self.layers = tuple(layers)
        if self.layers and max(self.layers) >= decoder.depth:
            raise ValueError(
                f"the language model has {decoder.depth} layers, layer {max(self.layers)} is asked for"
            )

    @torch.inference_mode()
    def read(self, text: str) -> Prefix:
        """The prefix of one prompt."""
        config = self._model.config
        ids = build_prompt(
            self._tokenizer, text, "image", (), None, (), config.image_token_id, config.video_token_id
        )
        cache = self._decoder.new_cache(len(ids))
        embeds = self._model.embed_prompt(torch.tensor([ids], device=self._decoder.device))
        self._decoder.prefill(embeds, cache)
        return of_cache(cache, self.layers)


def of_cache(cache: KVCache, layers: Sequence[int]) -> Prefix:
    """The prefix that a conversation's cache holds. Keys come out in transformers' order (halves, not pairs)."""
    held = [cache.read(number) for number in layers]
    keys = torch.stack([_halves(k) for k, _ in held], dim=1)
    values = torch.stack([v for _, v in held], dim=1)
    length = torch.tensor([cache.length], device=keys.device)
    return Prefix(keys, values.clone(), length, length)


def _halves(keys: Tensor) -> Tensor:
    """The decoder keeps the two numbers that are rotated together side by side; transformers D/2 apart."""
    pairs: Tensor = torch.unflatten(keys, -1, (-1, 2))
    return pairs.transpose(-1, -2).flatten(-2)
