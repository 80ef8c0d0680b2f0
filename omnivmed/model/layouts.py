"""How public checkpoints name their settings and tensors, and what each becomes here. Pure functions of names.

| layout        | from                                            | encoder               | projector               |
|---------------|-------------------------------------------------|-----------------------|-------------------------|
| hub           | VideoLLaMA3, Hulu-Med: model hub                | model.vision_encoder. | model.mm_projector.     |
| hub (trainer) | the same models from their training code        | prefix doubled        | model.mm_projector.     |
| transformers  | lkhl/VideoLLaMA3-2B-Image-HF and its like       | model.vision_model.   | model.projector.        |
| navit         | SigLIP-NaViT, an encoder alone                  | (none)                | -                       |
| siglip        | google/siglip-so400m-patch14-384                | vision_model.         | -                       |

Every setting is in one of three sets: carried over, known to have no meaning here (dropped and reported), or
refused. `auto_map`, which names code to run, is always dropped.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from omnivmed.errors import ModelError
from omnivmed.model.schema import TEXT_KEYS, VISION_KEYS

Layout = Literal["hub", "transformers", "navit", "siglip"]

IMAGE_PAD, VIDEO_PAD = 151655, 151656
"""`<|image_pad|>` and `<|video_pad|>` of the Qwen2.5 and Qwen3 vocabularies, our placeholders. The hub models
use one `<image>` id for both, which cannot tell an image from a video in one prompt; what stands at a placeholder
is overwritten, so nothing is lost."""

HUB_TYPES = {
    "videollama3_qwen2": "qwen2",
    "hulumed_qwen2": "qwen2",
    "hulumed_qwen3": "qwen3",
}
NAVIT_TYPES = ("videollama3_vision_encoder", "hulumed_vision_encoder")
SIGLIP_TYPES = ("siglip", "siglip_vision_model")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Settings without a meaning for the weights: bookkeeping, training switches, and what our own code decides.
BOOKKEEPING = _names(
    "_name_or_path _attn_implementation_autoset architectures attn_implementation auto_map dtype id2label "
    "initializer_factor initializer_range label2id model_type return_dict torch_dtype transformers_version "
    "use_cache chunk_size_feed_forward is_encoder_decoder output_attentions output_hidden_states problem_type"
)
HUB_IGNORED = BOOKKEEPING | _names(
    "attention_dropout freeze_mm_mlp_adapter freeze_vision_tower image_aspect_ratio image_size "
    "image_token_index image_token_length is_alignment llm_lr load_from_vision_encoder loss_reduction_scope "
    "max_frames max_window_layers layer_types mm_attn_implementation mm_hidden_size mm_max_length "
    "mm_projector_lr mm_vision_select_feature num_frames pretrain_mm_mlp_adapter pretrain_vision_encoder "
    "rope_scaling sliding_window tokenizer_model_max_length tokenizer_padding_side tune_mm_mlp_adapter "
    "use_flash_loss use_mm_proj use_reconstruct use_sliding_window use_token_compression vision_encoder "
    "vision_encoder_lr spatial_merge_size fps "
    "mm_projector_type mm_vision_select_layer vision_encoder_config rope_theta"
)
TRANSFORMERS_IGNORED = BOOKKEEPING
VISION_IGNORED = BOOKKEEPING | frozenset(["attention_dropout", "image_size", "vision_use_head", "rope_theta"])
TEXT_IGNORED = BOOKKEEPING | _names(
    "attention_dropout layer_types max_window_layers pretraining_tp rope_scaling rope_theta sliding_window "
    "use_sliding_window"
)
SIGLIP_IGNORED = BOOKKEEPING | frozenset(["text_config", "logit_scale_init_value", "projection_dim"])

# Settings that would change the computation if they had another value.
REQUIRED: dict[str, tuple[Any, ...]] = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_vision_select_layer": (-1,),
    "mm_vision_select_feature": ("all_patches",),
    "rope_scaling": (None,),
    "use_sliding_window": (False, None),
    "hidden_act": ("silu", "gelu_pytorch_tanh", "gelu"),
    "attention_dropout": (0, 0.0),
}


def layout_of(config: dict[str, Any]) -> Layout:
    """Return the layout of a checkpoint by its config's `model_type`. Raises ModelError when it is none of ours."""
    kind = config.get("model_type")
    if kind in HUB_TYPES:
        return "hub"
    if kind == "video_llama_3":
        return "transformers"
    if kind in NAVIT_TYPES:
        return "navit"
    if kind in SIGLIP_TYPES:
        return "siglip"
    if str(config.get("format", "")).startswith("omnivmed"):
        raise ModelError(
            "Unsupported", "This folder is already in this program's format; nothing to convert."
        )
    raise ModelError(
        "Unsupported",
        f'A checkpoint of type "{kind}" is not one this program can convert. It knows VideoLLaMA3 and Hulu-Med '
        "(hub and transformers layout), their stand-alone encoders, and SigLIP.",
    )


def is_encoder(layout: Layout) -> bool:
    """Whether the checkpoint is an encoder alone."""
    return layout in ("navit", "siglip")


# ------------------------------------------------------------------------------------------------ tensor names

_DOUBLED = "model.vision_encoder.vision_encoder."
_HUB_PREFIXES = (
    ("model.vision_encoder.", "model.vision_model."),
    ("model.mm_projector.", "model.projector."),
    ("model.", "model.language_model."),
)
_TRANSFORMERS_PREFIXES = (
    ("model.vision_model.", "model.vision_model."),
    ("model.projector.", "model.projector."),
    ("model.language_model.", "model.language_model."),
)
_SIGLIP_DROPPED = re.compile(
    r"text_model\..*|logit_scale|logit_bias|"
    r"(vision_model\.)?(embeddings\.position_embedding\.weight|embeddings\.position_ids|head\..*)"
)


def map_key(layout: Layout, name: str) -> str | None:
    """Return our name of a tensor of such a checkpoint; None when it has no place here (SigLIP: positions, head).

    A stand-alone encoder keeps bare names (`encoder.layers.0...`). Raises ModelError for a name that fits no rule;
    whether the resulting name exists in the model is for the converter to check.
    """
    if layout in ("hub", "transformers"):
        if name == "lm_head.weight":
            return name
        if layout == "hub":
            name = name.replace(_DOUBLED, "model.vision_encoder.", 1) if name.startswith(_DOUBLED) else name
        prefixes = _HUB_PREFIXES if layout == "hub" else _TRANSFORMERS_PREFIXES
        for theirs, ours in prefixes:
            if name.startswith(theirs):
                return ours + name.removeprefix(theirs)
    elif layout == "siglip":
        if _SIGLIP_DROPPED.fullmatch(name):
            return None
        return _encoder_tail(name.removeprefix("vision_model."))
    else:
        return _encoder_tail(name.removeprefix("vision_encoder."))
    raise ModelError("Unsupported", f'The checkpoint holds an unknown tensor "{name}".')


def _encoder_tail(name: str) -> str:
    if not name.startswith(("embeddings.", "encoder.", "post_layernorm.")):
        raise ModelError("Unsupported", f'The checkpoint holds an unknown tensor "{name}".')
    return name


# -------------------------------------------------------------------------------------------------- settings


def translate(config: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return our settings (without `format` and `source`) and the names of the settings that were dropped.

    Raises ModelError for a setting that is not known, or whose value this architecture does not have.
    """
    layout = layout_of(config)
    dropped: list[str] = []
    if layout == "navit":
        return {"vision_config": _vision(config, dropped)}, tuple(dropped)
    if layout == "siglip":
        vision = config.get("vision_config")
        if config["model_type"] == "siglip":
            _known(config, {"vision_config"}, SIGLIP_IGNORED, "the config", dropped)
        return {"vision_config": _vision(vision if isinstance(vision, dict) else config, dropped)}, tuple(
            dropped
        )
    if layout == "transformers":
        carried = {"text_config", "vision_config", "image_token_id", "video_token_id", "tie_word_embeddings"}
        _known(config, carried, TRANSFORMERS_IGNORED, "the config", dropped)
        text = _text(dict(config.get("text_config") or {}), None, TEXT_IGNORED, dropped)
        vision_values, tied = config.get("vision_config") or {}, config.get("tie_word_embeddings")
        ids = (config.get("image_token_id", IMAGE_PAD), config.get("video_token_id", VIDEO_PAD))
    else:
        text = _text(config, HUB_TYPES[config["model_type"]], HUB_IGNORED, dropped)
        vision_values, tied = config.get("vision_encoder_config") or {}, config.get("tie_word_embeddings")
        ids = (IMAGE_PAD, VIDEO_PAD)
    tied = bool(text.get("tie_word_embeddings") if tied is None else tied)
    text["tie_word_embeddings"] = tied
    result = {
        "text_config": text,
        "vision_config": _vision(vision_values, dropped),
        "image_token_id": ids[0],
        "video_token_id": ids[1],
        "image_merge_size": 1,  # as released
        "video_merge_size": 2,
        "tie_word_embeddings": tied,
    }
    return result, tuple(sorted(set(dropped)))


def _vision(values: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    """Settings of the so400m encoder, with those that the checkpoint names."""
    _known(values, set(VISION_KEYS), VISION_IGNORED, "the encoder's config", dropped)
    theta = values.get("rope_theta", (values.get("rope_parameters") or {}).get("rope_theta", 10000.0))
    result: dict[str, Any] = {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "num_channels": 3,
        "patch_size": 14,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
    }
    result |= {name: values[name] for name in result if name in values}
    return {**result, "rope_parameters": {"rope_type": "axial", "rope_theta": float(theta)}}


def _text(
    values: dict[str, Any], kind: str | None, ignored: frozenset[str], dropped: list[str]
) -> dict[str, Any]:
    """Settings of the language model; `kind` is its type where the checkpoint does not name it."""
    _known(values, set(TEXT_KEYS), ignored, "the language model's config", dropped)
    kind = kind or values.get("model_type", "qwen2")
    result = {name: values[name] for name in TEXT_KEYS if name in values and name != "rope_parameters"}
    rope = values.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise ModelError(
            "Unsupported", f"The checkpoint asks for {rope['rope_type']} rotary positions, not known here."
        )
    theta = values.get("rope_theta", rope.get("rope_theta"))
    if theta is None:
        raise ModelError("Unsupported", "The checkpoint does not say the rotary base of its language model.")
    result["rope_parameters"] = {"rope_type": "default", "rope_theta": float(theta)}
    result.setdefault("hidden_act", "silu")
    result.setdefault("tie_word_embeddings", False)
    result.setdefault("num_key_value_heads", result.get("num_attention_heads"))
    return {"model_type": kind, **result}


def _known(
    values: dict[str, Any], carried: set[str], ignored: frozenset[str], where: str, dropped: list[str]
) -> None:
    for name, value in values.items():
        if name in REQUIRED and value not in REQUIRED[name]:
            raise ModelError(
                "Unsupported", f"{where} asks for {name} = {value!r}, which this program does not have."
            )
        if name in carried:
            continue
        if name not in ignored:
            raise ModelError("Unsupported", f'{where} has an unknown setting "{name}"; it is not guessed at.')
        dropped.append(name)
