"""Configurations: the paper's two sizes, the embedded nano model, and the class that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from omnivmed.model.upstream import VideoLlama3Config, VideoLlama3VisionConfig


@strict
class OmniVMedConfig(VideoLlama3Config):
    """VideoLLaMA3-type configuration plus the merge sizes the weights were trained with.

    `text_config` is a `LlamaConfig`, `Qwen2Config` or `Qwen3Config`; any decoder that transformers can build
    works for training, the three are what the checkpoint format and the fast decoder know.

    image_merge_size, video_merge_size: side of the block of patches that becomes one token in stills, and in
    volumes and videos. image_token_id, video_token_id: placeholders in `input_ids`; their own embeddings are
    never used. They must differ when images and videos stand in one prompt.
    """

    model_type = "omnivmed"

    image_merge_size: int = 1
    video_merge_size: int = 2

    if TYPE_CHECKING:  # given as settings or as objects, always objects once the config is made
        text_config: LlamaConfig | Qwen2Config | Qwen3Config
        vision_config: VideoLlama3VisionConfig


def so400m_vision_config() -> VideoLlama3VisionConfig:
    """Return the SigLIP so400m/14 encoder with 2D RoPE: 412,147,440 parameters."""
    return VideoLlama3VisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        patch_size=14,
        hidden_act="gelu_pytorch_tanh",
        layer_norm_eps=1e-6,
        rope_parameters={"rope_type": "axial", "rope_theta": 10000.0},
    )


def nano_vision_config() -> VideoLlama3VisionConfig:
    """Return the encoder of the embedded model: ViT-S/14 with 2D RoPE (theta 100), input in [-1, 1]."""
    return VideoLlama3VisionConfig(
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=12,
        num_attention_heads=6,
        patch_size=14,
        hidden_act="gelu",
        layer_norm_eps=1e-6,
        rope_parameters={"rope_type": "axial", "rope_theta": 100.0},
    )


def qwen2_5_config(size: Literal["1.5b", "7b"]) -> OmniVMedConfig:
    """Return OmniV-Med with Qwen2.5 1.5B (1,959,993,584 parameters) or 7B (8,044,744,944)."""
    shapes = {  # width, MLP width, heads, key-value heads
        "1.5b": (1536, 8960, 12, 2),
        "7b": (3584, 18944, 28, 4),
    }
    if size not in shapes:
        raise ValueError(f'no Qwen2.5 configuration "{size}"; choose "1.5b" or "7b"')
    hidden_size, intermediate_size, heads, kv_heads = shapes[size]
    tied = size == "1.5b"
    text = Qwen2Config(
        vocab_size=151936 if tied else 152064,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        num_hidden_layers=28,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        bos_token_id=151643,
        eos_token_id=151645,
        pad_token_id=151643,
    )
    return OmniVMedConfig(text_config=text, vision_config=so400m_vision_config(), tie_word_embeddings=tied)


def smollm2_135m_config() -> LlamaConfig:
    """Return the language model of nano: SmolLM2-135M (134,515,008 parameters, tied embeddings)."""
    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )


def nano_config(image_token_id: int = 6, video_token_id: int = 5) -> OmniVMedConfig:
    """Return nano: ViT-S/14 with 2D RoPE, merge 2 for stills too, SmolLM2-135M.

    The defaults are `<filename>` and `<file_sep>` of the SmolLM2 vocabulary, which serve as placeholders.
    """
    return OmniVMedConfig(
        text_config=smollm2_135m_config(),
        vision_config=nano_vision_config(),
        image_token_id=image_token_id,
        video_token_id=video_token_id,
        image_merge_size=2,
        tie_word_embeddings=True,
    )
