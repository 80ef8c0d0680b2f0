"""The one door to what transformers does not promise to keep: nobody else imports from its inner modules.

OmniV-Med is built of the parts of transformers' `video_llama_3` (parameter names and results are that model's). Some
of these parts have no public name, and minor releases rename public ones: 5.24 calls the keys and values ``cache``
in every argument list and output, up to 5.23 they were ``past_key_values``, and the fields of the model's output
classes changed with it. So output classes and argument lists are our own (`model.modeling`), what is borrowed passes
through here, and `tests/model/test_upstream.py` holds what we rely on of each name.

Importing this module raises ModelError("Unsupported") for a transformers that lacks a part or takes the keys and
values under a name we do not know.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Literal, TypeVar, cast

from omnivmed.errors import ModelError

TESTED = ("5.23.0", "5.24.0")
"""Versions of transformers that pass the whole suite; others within the range of pyproject.toml are tried."""


def unknown_version(found: str, lacks: str) -> ModelError:
    """Return the error for a transformers of another shape than those tested. lacks: the part, for the message."""
    return ModelError(
        "Unsupported",
        f"The installed transformers {found} is of another shape than this program knows ({lacks}). "
        f'Known to work: {" and ".join(TESTED)}. Install one of them: pip install "transformers=={TESTED[-1]}"',
    )


try:
    from transformers import (
        Cache,
        DynamicCache,
        GenerationMixin,
        VideoLlama3Config,
        VideoLlama3ForConditionalGeneration,
        VideoLlama3Model,
        VideoLlama3PreTrainedModel,
        VideoLlama3VisionConfig,
        VideoLlama3VisionModel,
    )
    from transformers.modeling_layers import GradientCheckpointingLayer
    from transformers.modeling_outputs import BaseModelOutputWithPooling
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.video_llama_3.modeling_video_llama_3 import (
        VideoLlama3Projector,
        VideoLlama3VisionAttention,
        VideoLlama3VisionEmbeddings,
        VideoLlama3VisionMLP,
        VideoLlama3VisionRotaryEmbedding,
        eager_attention_forward,
    )
    from transformers.utils.generic import ModelOutput
    from transformers.utils.generic import can_return_tuple as _can_return_tuple
    from transformers.utils.import_utils import is_flash_attn_2_available
except ImportError as error:
    if not (error.name or "").startswith("transformers"):
        raise  # something else is missing: torch, a library of transformers'
    raise unknown_version(version("transformers"), str(error).split(" (", 1)[0]) from error

CacheName = Literal["cache", "past_key_values"]


def cache_name(function: Callable[..., Any]) -> CacheName:
    """Return what an argument list calls the keys and values: "cache" (5.24 and later) or "past_key_values".

    Raises ModelError("Unsupported") when it knows neither name.
    """
    arguments = inspect.signature(function).parameters
    if "cache" in arguments:
        return "cache"
    if "past_key_values" in arguments:
        return "past_key_values"
    raise unknown_version(version("transformers"), "the keys and values have a new name")


Forward = TypeVar("Forward", bound=Callable[..., Any])
Model = TypeVar("Model", bound=VideoLlama3PreTrainedModel)


def can_return_tuple(forward: Forward) -> Forward:
    """Decorator: `return_dict=False` gives a tuple. transformers' own, with a type."""
    return cast(Forward, _can_return_tuple(forward))


def part_of(kind: type[Model], config: Any, **settings: Any) -> Model:
    """Return a model from its config, or its part of a config, with the dtype and the attention named there.

    settings: dtype or attn_implementation in place of the config's.
    """
    model: Model = kind._from_config(config, **settings)  # type: ignore[no-untyped-call]
    return model


CACHE: CacheName = cache_name(GenerationMixin.prepare_inputs_for_generation)
"""The name under which `generate` hands the keys and values to `forward` and every language model takes them."""

__all__ = [
    "ALL_ATTENTION_FUNCTIONS",
    "CACHE",
    "TESTED",
    "BaseModelOutputWithPooling",
    "Cache",
    "DynamicCache",
    "GenerationMixin",
    "GradientCheckpointingLayer",
    "ModelOutput",
    "VideoLlama3Config",
    "VideoLlama3ForConditionalGeneration",
    "VideoLlama3Model",
    "VideoLlama3PreTrainedModel",
    "VideoLlama3Projector",
    "VideoLlama3VisionAttention",
    "VideoLlama3VisionConfig",
    "VideoLlama3VisionEmbeddings",
    "VideoLlama3VisionMLP",
    "VideoLlama3VisionModel",
    "VideoLlama3VisionRotaryEmbedding",
    "cache_name",
    "can_return_tuple",
    "eager_attention_forward",
    "is_flash_attn_2_available",
    "part_of",
]
