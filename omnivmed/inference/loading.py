"""Name → `Assistant`: find the weights, verify them, build the model without initialising it twice.

A model that has not been trained is never loaded as an assistant: what it would say is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.inference.engine import Assistant
from omnivmed.limits import LOCAL, Limits
from omnivmed.registry import Source, read_config, resolve
from omnivmed.vision import VisionBudget

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

    from omnivmed.inference.hardware import Hardware
    from omnivmed.model.config import OmniVMedConfig
    from omnivmed.model.modeling import OmniVMedForConditionalGeneration

Progress = Callable[[str, int, int], None]

NANO_ADVICE = "The folder assets/nano is incomplete; get the repository again."
NANO_FILES = ("config.json", "encoder_projector.safetensors", "lora.safetensors")
#: Closed schema of nano's config.json: any other key is refused.
NANO_KEYS = frozenset(
    {
        "format",
        "trained",
        "version",
        "image_token_id",
        "video_token_id",
        "vision_config",
        "backbone",
        "lora",
        "budget",
        "card",
    }
)
VISION_KEYS = frozenset(
    {
        "model_type",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_channels",
        "patch_size",
        "hidden_act",
        "layer_norm_eps",
        "attention_dropout",
        "initializer_range",
        "rope_parameters",
    }
)
TEXT_KEYS = frozenset(
    {
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_parameters",
        "hidden_act",
        "attention_bias",
        "mlp_bias",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    }
)
_LORA = re.compile(r"(?P<linear>layers\.\d+\.(?:self_attn|mlp)\.\w+_proj)\.lora_(?P<part>[AB])")


def load_model(
    name: str = "nano",
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
    limits: Limits = LOCAL,
) -> Assistant:
    """Load a model to talk to.

    name: "nano", a folder, or a hub id of a public checkpoint. device: auto, cpu, cuda. dtype: auto, float32,
    bfloat16, float16. offline: no network at all; what is missing is an error. progress: called with
    (stage, done, total), stages "downloading", "converting", "checking", "loading". limits: bounds of every
    answer.

    Raises ModelError: WeightsMissing, ChecksumMismatch, Unsupported.
    """
    source = resolve(name)
    if source.kind == "nano":
        return _load_nano(source, device, dtype, offline, progress, limits)
    from omnivmed.inference.public import load_public

    return load_public(source, device, dtype, offline, progress, limits)


# -------------------------------------------------------------------------------------------------- nano


def _load_nano(
    source: Source, device: str, dtype: str, offline: bool, progress: Progress | None, limits: Limits
) -> Assistant:
    config = read_nano_config(source)
    weights.verify_folder(source.folder, NANO_FILES, NANO_ADVICE)
    backbone = weights.fetch_backbone(weights.SMOLLM2, offline=offline, progress=progress)
    if config["backbone"].get("gguf_sha256") != weights.SMOLLM2.gguf_sha256:
        raise ModelError(
            "ChecksumMismatch", f"This nano was trained on another language model. {NANO_ADVICE}"
        )
    if progress is not None:
        progress("loading", 0, 1)
    from safetensors.torch import load_file

    from omnivmed.inference.hardware import choose, use_physical_cores
    from omnivmed.inference.torch_runtime import TorchRuntime

    use_physical_cores()
    hardware = choose(device, dtype)
    state = {f"model.language_model.{k[6:]}": v for k, v in load_file(backbone / "model.safetensors").items()}
    merge_lora(state, load_file(source.folder / "lora.safetensors"), float(config["lora"]["scale"]))
    state |= load_file(source.folder / "encoder_projector.safetensors")
    model = build(nano_model_config(config, read_config(backbone)), state, hardware)
    runtime = TorchRuntime(model, load_tokenizer(str(backbone / "tokenizer.json")), hardware.device)
    if progress is not None:
        progress("loading", 1, 1)
    card = config["card"]
    return Assistant(
        runtime,
        name="nano" if source.name == "nano" else f"nano ({source.name})",
        description=card["description"],
        trust=card["trust"],
        budget=VisionBudget(**config["budget"]),
        answers=card.get("answers"),
        questions=card.get("questions"),
        limits=limits,
    )


def read_nano_config(source: Source) -> dict[str, Any]:
    """nano's config.json, checked against its closed schema. Raises ModelError when there is no trained nano."""
    config = read_config(source.folder)
    if not config:
        raise ModelError(
            "WeightsMissing",
            "The embedded model nano has no trained weights here (assets/nano is empty), and an untrained model "
            "gives no answers. Pruning and viewing work without it.",
        )
    if unknown := sorted(set(config) - NANO_KEYS):
        raise ModelError(
            "Unsupported", f"nano's config.json has an unknown entry: {unknown[0]}. {NANO_ADVICE}"
        )
    if config.get("format") != "omnivmed-nano/1":
        raise ModelError(
            "Unsupported", f"nano's config.json is of another version than this program. {NANO_ADVICE}"
        )
    if config.get("trained") is not True:
        raise ModelError(
            "WeightsMissing", "This nano has not been trained, and an untrained model gives no answers."
        )
    try:
        parts = (
            config["vision_config"],
            config["backbone"],
            config["lora"],
            config["budget"],
            config["card"],
        )
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError
        card = config["card"]
        if not (isinstance(card["description"], str) and isinstance(card["trust"], str)):
            raise TypeError
        float(config["lora"]["scale"])
        VisionBudget(**config["budget"])
        if unknown := sorted(set(config["vision_config"]) - VISION_KEYS):
            raise ModelError(
                "Unsupported", f"nano's encoder has an unknown setting: {unknown[0]}. {NANO_ADVICE}"
            )
    except (KeyError, TypeError, ValueError):
        raise ModelError("Unsupported", f"nano's config.json is incomplete. {NANO_ADVICE}") from None
    return config


def nano_model_config(config: dict[str, Any], backbone: dict[str, Any]) -> OmniVMedConfig:
    """The model's configuration from nano's config.json and the backbone's."""
    from transformers import LlamaConfig
    from transformers.models.video_llama_3.configuration_video_llama_3 import VideoLlama3VisionConfig

    from omnivmed.model.config import OmniVMedConfig

    budget = VisionBudget(**config["budget"])
    return OmniVMedConfig(
        text_config=LlamaConfig(**{k: v for k, v in backbone.items() if k in TEXT_KEYS}),
        vision_config=VideoLlama3VisionConfig(**config["vision_config"]),
        image_token_id=int(config["image_token_id"]),
        video_token_id=int(config["video_token_id"]),
        image_merge_size=budget.image_merge_size,
        video_merge_size=budget.video_merge_size,
        tie_word_embeddings=bool(backbone.get("tie_word_embeddings")),
    )


def merge_lora(state: dict[str, torch.Tensor], lora: dict[str, torch.Tensor], scale: float) -> None:
    """W ← W + scale · B A, in float32, for every pair `<linear>.lora_A` (r, in), `<linear>.lora_B` (out, r).

    Raises ModelError for a name or shape that fits no linear layer of the language model.
    """
    linears: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in lora.items():
        match = _LORA.fullmatch(name)
        if match is None:
            raise ModelError("Unsupported", f"nano's adapter has an unknown tensor: {name}. {NANO_ADVICE}")
        linears.setdefault(match["linear"], {})[match["part"]] = tensor
    for linear, pair in linears.items():
        key = f"model.language_model.{linear}.weight"
        try:
            delta = pair["B"].float() @ pair["A"].float()
            if state[key].shape != delta.shape:
                raise KeyError(key)
        except (KeyError, RuntimeError):
            raise ModelError("Unsupported", f"nano's adapter does not fit {linear}. {NANO_ADVICE}") from None
        state[key] = state[key].float().add_(delta, alpha=scale)


# ------------------------------------------------------------------------------------------ any model


def build(
    config: OmniVMedConfig, state: dict[str, torch.Tensor], hardware: Hardware
) -> OmniVMedForConditionalGeneration:
    """The model with these tensors as its parameters: allocated once, never randomly initialised.

    Raises ModelError when a tensor is missing, unknown or of another shape.
    """
    import torch

    from omnivmed.model.modeling import OmniVMedForConditionalGeneration

    with torch.device("meta"):
        model = OmniVMedForConditionalGeneration(config)
    state = {name: tensor.to(hardware.device, hardware.dtype) for name, tensor in state.items()}
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
    try:
        result = model.load_state_dict(state, strict=False, assign=True)
    except RuntimeError:
        raise ModelError(
            "Unsupported", "The weights do not have the shapes their configuration asks for."
        ) from None
    if odd := [*result.missing_keys, *result.unexpected_keys]:
        raise ModelError("Unsupported", f"The weights do not fit their configuration (first: {odd[0]}).")
    # Rotary tables are computed, not stored, so they are still on the meta device.
    language, vision = model.model.language_model, model.model.vision_model
    language.rotary_emb = type(language.rotary_emb)(config.text_config).to(hardware.device)
    vision.rotary_pos_emb = type(vision.rotary_pos_emb)(config.vision_config).to(hardware.device)
    return model.eval()


def load_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """A tokenizer from its `tokenizer.json` alone; no code and no settings of the model folder are used."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_file=path, clean_up_tokenization_spaces=False)
