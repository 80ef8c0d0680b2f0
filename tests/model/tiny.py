"""Tiny random models and inputs, with equal weights in ours and in stock transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
    VideoLlama3VisionConfig,
)

from omnivmed.model.config import OmniVMedConfig
from omnivmed.model.modeling import OmniVMedForConditionalGeneration

IMAGE, VIDEO, VOCABULARY = 1, 2, 320
KINDS = ("llama", "qwen2", "qwen3")


def tiny_vision(**changes: Any) -> VideoLlama3VisionConfig:
    """Head size 24: six frequencies per axis; the activation and theta of the large encoder."""
    values: dict[str, Any] = {
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    rope = {"rope_type": "axial", "rope_theta": 10000.0}
    return VideoLlama3VisionConfig(**{**values, "patch_size": 14, "rope_parameters": rope, **changes})


def tiny_text(kind: str, tied: bool = True) -> LlamaConfig | Qwen2Config | Qwen3Config:
    """Grouped heads (4 on 2); Qwen2 has biases on q, k, v; Qwen3 norms of q and k and a wider head."""
    classes: dict[str, type[LlamaConfig | Qwen2Config | Qwen3Config]] = {
        "llama": LlamaConfig,
        "qwen2": Qwen2Config,
        "qwen3": Qwen3Config,
    }
    extra: dict[str, Any] = {"head_dim": 24} if kind == "qwen3" else {}
    return classes[kind](
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        **extra,
    )


def randomise(model: torch.nn.Module, seed: int = 0) -> None:
    """Weights large enough that greedy answers wander instead of repeating one token."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
            elif "embed_tokens" in name or "lm_head" in name:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(
                    noise * (2.0 if "language_model" in name else 0.7) / parameter[0].numel() ** 0.5
                )


def tiny_model(kind: str = "qwen2", tied: bool = True) -> OmniVMedForConditionalGeneration:
    config = OmniVMedConfig(
        text_config=tiny_text(kind, tied),
        vision_config=tiny_vision(),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        tie_word_embeddings=tied,
    )
    model = OmniVMedForConditionalGeneration(config)
    model.train(False)
    randomise(model)
    return model


def stock_twin(model: OmniVMedForConditionalGeneration) -> VideoLlama3ForConditionalGeneration:
    """Stock transformers model with the same weights."""
    config = VideoLlama3Config(
        text_config=model.config.text_config,
        vision_config=model.config.vision_config,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        tie_word_embeddings=model.config.tie_word_embeddings,
    )
    stock = VideoLlama3ForConditionalGeneration(config)
    stock.train(False)
    stock.load_state_dict(model.state_dict(), strict=True)
    return stock


@dataclass
class Sample:
    """One prompt with one study: `video` says which placeholder; `keep` is one bool per merged token."""

    ids: list[int]
    patches: torch.Tensor
    grid: tuple[int, int, int]
    merge: int
    video: bool
    keep: torch.Tensor


def sample(grid: tuple[int, int, int], merge: int, video: bool, pruned: bool, seed: int) -> Sample:
    """A random study with its prompt; when pruned, the first frame is whole and each other keeps some."""
    generator = torch.Generator().manual_seed(seed)
    frames, rows, columns = grid
    per_frame = rows * columns // merge**2
    keep = torch.ones(frames, per_frame, dtype=torch.bool)
    if pruned and frames > 1:
        keep[1:] = torch.rand(frames - 1, per_frame, generator=generator) < 0.5
        keep[1:, 0] = True
    patches = torch.rand(frames * rows * columns, 588, generator=generator) * 2 - 1
    question = torch.randint(10, VOCABULARY, (7,), generator=generator).tolist()
    ids = question[:2]
    for kept in keep.sum(1).tolist():
        ids += [VIDEO if video else IMAGE] * kept + [5]
    return Sample(ids + question[2:], patches, grid, merge, video, keep.flatten())


def inputs(samples: list[Sample], masks: bool = True) -> dict[str, torch.Tensor]:
    """Model inputs of a left-padded batch."""
    length = max(len(s.ids) for s in samples)
    pad = [length - len(s.ids) for s in samples]
    batch: dict[str, torch.Tensor] = {
        "input_ids": torch.tensor([[0] * p + s.ids for p, s in zip(pad, samples, strict=True)]),
        "attention_mask": torch.tensor(
            [[0] * p + [1] * len(s.ids) for p, s in zip(pad, samples, strict=True)]
        ),
    }
    for video, pixels, prefix in ((False, "pixel_values", "image"), (True, "pixel_values_videos", "video")):
        chosen = [s for s in samples if s.video == video]
        if not chosen:
            continue
        batch[pixels] = torch.cat([s.patches for s in chosen])
        batch[f"{prefix}_grid_thw"] = torch.tensor([s.grid for s in chosen])
        batch[f"{prefix}_merge_sizes"] = torch.tensor([s.merge for s in chosen])
        if masks and video:
            batch["video_compression_mask"] = torch.cat([s.keep for s in chosen])
    return batch
