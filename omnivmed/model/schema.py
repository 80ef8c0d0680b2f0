"""The closed schema of our `config.json`: what a model folder may say, and nothing else.

    {"format": "omnivmed/1",
     "model_type": "omnivmed", "architectures": [...],                  optional: for transformers' Auto classes
     "text_config": {"model_type": "llama" | "qwen2" | "qwen3", ...},   keys: TEXT_KEYS
     "vision_config": {...},                                            keys: VISION_KEYS
     "image_token_id": int, "video_token_id": int,
     "image_merge_size": int, "video_merge_size": int,
     "tie_word_embeddings": bool,
     "budget": {...},                                                   optional: VisionBudget it was trained under
     "source": {...}}                                                   free text for people, never interpreted

An encoder alone (the start of stage 1) has `"format": "omnivmed-encoder/1"` with `vision_config` and `source`.
A config is data: no key names code, a class or a file, and an unknown key is an error, so a downloaded file can
neither run something nor silently mean something else than here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from omnivmed.errors import ModelError
from omnivmed.model.config import OmniVMedConfig
from omnivmed.model.upstream import VideoLlama3VisionConfig
from omnivmed.vision.budget import VisionBudget

MODEL_FORMAT = "omnivmed/1"
ENCODER_FORMAT = "omnivmed-encoder/1"

TEXT_CLASSES: dict[str, type] = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
"""Language models that a folder may name; the value is the class that reads the settings."""

TEXT_KEYS: dict[str, type | tuple[type, ...]] = {
    "vocab_size": int,
    "hidden_size": int,
    "intermediate_size": int,
    "num_hidden_layers": int,
    "num_attention_heads": int,
    "num_key_value_heads": int,
    "head_dim": int,
    "hidden_act": str,
    "max_position_embeddings": int,
    "rms_norm_eps": float,
    "rope_parameters": dict,
    "attention_bias": bool,
    "mlp_bias": bool,
    "tie_word_embeddings": bool,
    "bos_token_id": (int, type(None)),
    "eos_token_id": (int, list, type(None)),
    "pad_token_id": (int, type(None)),
}
VISION_KEYS: dict[str, type | tuple[type, ...]] = {
    "hidden_size": int,
    "intermediate_size": int,
    "num_hidden_layers": int,
    "num_attention_heads": int,
    "num_channels": int,
    "patch_size": int,
    "hidden_act": str,
    "layer_norm_eps": float,
    "rope_parameters": dict,
}
MODEL_KEYS: dict[str, type | tuple[type, ...]] = {
    "model_type": str,
    "architectures": list,
    "format": str,
    "text_config": dict,
    "vision_config": dict,
    "image_token_id": int,
    "video_token_id": int,
    "image_merge_size": int,
    "video_merge_size": int,
    "tie_word_embeddings": bool,
    "budget": dict,
    "source": dict,
}
OPTIONAL = {"budget", "source", "model_type", "architectures"}
BUDGET_LIMITS: dict[str, tuple[float, float]] = {
    "max_tokens": (1, 65_536),
    "max_frames": (1, 4_096),
    "min_tokens": (1, 16_384),
    "image_merge_size": (1, 8),
    "video_merge_size": (1, 8),
    "patch_size": (1, 64),
    "fps": (0.001, 1_000),
    "min_frames": (1, 4_096),
    "slice_step_mm": (0, 1_000),
    "image_max_tokens": (1, 65_536),
    "frame_max_tokens": (1, 65_536),
}
"""What a downloaded file may ask for: a budget is also what memory a study may take."""
ACTIVATIONS = frozenset({"gelu", "gelu_pytorch_tanh", "silu"})
ROPE_KEYS = frozenset({"rope_type", "rope_theta"})


def check(values: dict[str, Any], keys: dict[str, type | tuple[type, ...]], where: str) -> None:
    """Raise ModelError("Unsupported") for an unknown key or a value of another type; an int may stand for a float."""
    for name, value in values.items():
        if name not in keys:
            raise ModelError(
                "Unsupported", f'The model\'s config.json has an unknown setting "{name}" in {where}.'
            )
        wanted = keys[name]
        if wanted is float:
            wanted = (float, int)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ModelError(
                "Unsupported", f'The setting "{name}" in {where} of config.json has the wrong type.'
            )
    if values.get("hidden_act", "silu") not in ACTIVATIONS:
        raise ModelError(
            "Unsupported", f'The activation "{values["hidden_act"]}" is not one this program knows.'
        )
    rope = values.get("rope_parameters", {})
    if set(rope) - ROPE_KEYS or rope.get("rope_type", "default") not in ("default", "axial"):
        raise ModelError("Unsupported", f"The rotary settings in {where} of config.json are not known.")


def vision_config(values: dict[str, Any]) -> VideoLlama3VisionConfig:
    """Return the encoder's configuration. Raises ModelError when a key is unknown, missing or of another type."""
    check(values, VISION_KEYS, "vision_config")
    _complete(values, VISION_KEYS, "vision_config", optional=set())
    return VideoLlama3VisionConfig(**values)


def text_config(values: dict[str, Any]) -> LlamaConfig | Qwen2Config | Qwen3Config:
    """Return the language model's configuration. Raises ModelError as above."""
    rest = dict(values)
    kind = rest.pop("model_type", None)
    if kind not in TEXT_CLASSES:
        raise ModelError(
            "Unsupported", f'"{kind}" is no language model this program knows ({", ".join(TEXT_CLASSES)}).'
        )
    check(rest, TEXT_KEYS, "text_config")
    fields = ("bos_token_id", "eos_token_id", "pad_token_id", "head_dim", "attention_bias", "mlp_bias")
    _complete(rest, TEXT_KEYS, "text_config", optional=set(fields))
    if kind == "qwen2":  # Qwen2 has no such settings: biases on q, k, v and a head size of width / heads
        rest = {
            name: value
            for name, value in rest.items()
            if name not in ("head_dim", "attention_bias", "mlp_bias")
        }
    config: LlamaConfig | Qwen2Config | Qwen3Config = TEXT_CLASSES[kind](**rest)
    return config


def model_config(values: dict[str, Any]) -> OmniVMedConfig:
    """Return the configuration that a `config.json` of format `omnivmed/1` describes. Raises ModelError."""
    check(values, MODEL_KEYS, "the file")
    _complete(values, MODEL_KEYS, "the file", optional=OPTIONAL)
    vision_budget(values)
    if values["format"] != MODEL_FORMAT:
        raise ModelError(
            "Unsupported", "This folder is of another version than this program; convert it again."
        )
    return OmniVMedConfig(
        text_config=text_config(values["text_config"]),
        vision_config=vision_config(values["vision_config"]),
        **{
            name: values[name]
            for name in MODEL_KEYS
            if name not in ("format", "text_config", "vision_config", *OPTIONAL)
        },
    )


def check_placeholders(config: OmniVMedConfig) -> None:
    """Raise ModelError when an id that stands for visual tokens is no word of the vocabulary."""
    size = config.text_config.vocab_size
    for name, place in (("image", config.image_token_id), ("video", config.video_token_id)):
        if not 0 <= place < size:
            raise ModelError(
                "Unsupported",
                f"The placeholder {name}_token_id is {place}, but the vocabulary has {size} entries. Give the model "
                "one with the placeholder in it, or correct the number in config.json.",
            )


def vision_budget(values: dict[str, Any]) -> VisionBudget | None:
    """Return the budget that a `config.json` names, None when it names none. Raises ModelError.

    A trained folder answers under the budget it was trained with, not under the public checkpoints'.
    """
    given = values.get("budget")
    if given is None:
        return None
    names = {field.name: field.default for field in dataclasses.fields(VisionBudget)}
    for name, value in given.items():
        if name not in names:
            raise ModelError(
                "Unsupported", f'The model\'s config.json has an unknown setting "{name}" in budget.'
            )
        if value is None and names[name] is None:
            continue
        if name == "ct_windows":
            _three_windows(value)
            continue
        low, high = BUDGET_LIMITS[name]
        wanted = (int, float) if isinstance(names[name], float) else int
        if isinstance(value, bool) or not isinstance(value, wanted) or not low <= value <= high:
            raise ModelError(
                "Unsupported",
                f'The setting "{name}" in budget of config.json is not from {low:g} to {high:g}.',
            )
    budget = VisionBudget(**given)
    merges = (budget.image_merge_size, budget.video_merge_size)
    if merges != (values.get("image_merge_size"), values.get("video_merge_size")):
        raise ModelError("Unsupported", "The budget in config.json merges patches otherwise than the model.")
    return budget


def _three_windows(value: Any) -> None:
    try:
        VisionBudget(ct_windows=value)
    except (TypeError, ValueError):
        raise ModelError(
            "Unsupported",
            'The setting "ct_windows" in budget of config.json is not three (level, width) in HU.',
        ) from None


def encoder_config(values: dict[str, Any]) -> VideoLlama3VisionConfig:
    """Return the configuration that a `config.json` of format `omnivmed-encoder/1` describes. Raises ModelError."""
    keys = {name: MODEL_KEYS[name] for name in ("format", "vision_config", "source")}
    check(values, keys, "the file")
    _complete(values, keys, "the file", optional={"source"})
    if values["format"] != ENCODER_FORMAT:
        raise ModelError("Unsupported", "This folder holds no encoder of this program's format.")
    return vision_config(values["vision_config"])


def model_json(
    config: OmniVMedConfig, source: dict[str, str], budget: VisionBudget | None = None
) -> dict[str, Any]:
    """Return what `model_config` and `vision_budget` read back."""
    text = config.text_config
    named = {} if budget is None else {"budget": dataclasses.asdict(budget)}
    return {
        "format": MODEL_FORMAT,
        "model_type": config.model_type,
        "architectures": ["OmniVMedForConditionalGeneration"],
        "text_config": {"model_type": text.model_type, **_pick(text, TEXT_KEYS)},
        "vision_config": _pick(config.vision_config, VISION_KEYS),
        "image_token_id": config.image_token_id,
        "video_token_id": config.video_token_id,
        "image_merge_size": config.image_merge_size,
        "video_merge_size": config.video_merge_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        **named,
        "source": source,
    }


def encoder_json(config: VideoLlama3VisionConfig, source: dict[str, str]) -> dict[str, Any]:
    """Return what `encoder_config` reads back."""
    return {"format": ENCODER_FORMAT, "vision_config": _pick(config, VISION_KEYS), "source": source}


def _pick(config: Any, keys: dict[str, type | tuple[type, ...]]) -> dict[str, Any]:
    return {name: getattr(config, name) for name in keys if hasattr(config, name)}


def _complete(values: dict[str, Any], keys: dict[str, Any], where: str, optional: set[str]) -> None:
    if missing := sorted(set(keys) - set(values) - optional):
        raise ModelError("Unsupported", f'The setting "{missing[0]}" is missing in {where} of config.json.')
