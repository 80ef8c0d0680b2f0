"""What the model returns: our own classes, so that no release of transformers changes their fields.

Legend as in `modeling`: ``B`` prompts of length ``S``, ``K`` kept tokens, ``W`` width of the language model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from omnivmed.model.upstream import Cache, ModelOutput


class _Output(ModelOutput):
    """Keys and values are `cache`; `generate` up to transformers 5.23 and older callers ask for `past_key_values`."""

    cache: Cache | None

    @property
    def past_key_values(self) -> Cache | None:
        return self.cache

    def __contains__(self, key: object) -> bool:
        return bool(ModelOutput.__contains__(self, _present_name(key)))

    def __getitem__(self, key: Any) -> Any:
        return ModelOutput.__getitem__(self, _present_name(key))


def _present_name(key: Any) -> Any:
    return "cache" if key == "past_key_values" else key


@dataclass
class OmniVMedModelOutput(_Output):
    """Of `OmniVMedModel`; fields that were not asked for are None and left out of the keys.

    last_hidden_state: ``(B, S, W)``. cache: keys and values, with `use_cache`. hidden_states, attentions: of the
    language model's layers. image_hidden_states, video_hidden_states: the kept, projected tokens ``(K, W)`` that took
    the placeholders' places.
    """

    last_hidden_state: torch.Tensor | None = None
    cache: Cache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    image_hidden_states: torch.Tensor | None = None
    video_hidden_states: torch.Tensor | None = None


@dataclass
class OmniVMedOutput(_Output):
    """Of the whole model: with labels a `loss` (scalar), without them `logits` ``(B, S or wanted, vocabulary)``."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache: Cache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    image_hidden_states: torch.Tensor | None = None
    video_hidden_states: torch.Tensor | None = None
