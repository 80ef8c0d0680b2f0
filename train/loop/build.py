"""The model and tokenizer that a recipe starts from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen2Config
from transformers.models.video_llama_3.configuration_video_llama_3 import VideoLlama3VisionConfig

from omnivmed import weights
from omnivmed.model.config import OmniVMedConfig, qwen2_5_config
from omnivmed.model.load import load_encoder, load_pretrained, read_tensors
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.model.schema import model_json
from train.data.encode import Placeholders
from train.plan.sizes import MODELS
from train.recipes.config import TrainConfig

WEIGHTS = "model.safetensors"
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>")


@dataclass(frozen=True)
class Built:
    """A model with the tokenizer it speaks with."""

    model: OmniVMedForConditionalGeneration
    tokenizer: PreTrainedTokenizerFast

    @property
    def placeholders(self) -> Placeholders:
        return Placeholders(self.model.config.image_token_id, self.model.config.video_token_id)

    @property
    def pad_id(self) -> int:
        """Fills short rows; masked, so any id would do."""
        pad = self.model.config.text_config.pad_token_id
        return 0 if pad is None else int(pad)


def build(config: TrainConfig, texts: list[str] | None = None) -> Built:
    """The model before its first step. texts: what the tokenizer of the tiny recipe is made from.

    Raises ValueError for a start that this size does not have, ModelError when weights are missing or damaged.
    """
    spec = config.model
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    if spec.start == "random":
        if spec.size != "tiny":
            raise ValueError("only the tiny model starts from random weights")
        tokenizer = tiny_tokenizer(texts or [])
        torch.manual_seed(config.seed)
        return Built(OmniVMedForConditionalGeneration(tiny_config()), tokenizer)
    if spec.start == "checkpoint":
        folder = Path(spec.checkpoint or "")
        return load(folder, dtype)
    return _from_parts(config, dtype)


def load(folder: Path, dtype: torch.dtype) -> Built:
    """A model folder of format `omnivmed/1` with its tokenizer.json. Raises ModelError."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    return Built(load_pretrained(folder, dtype).train(), tokenizer)


def save(built: Built, folder: Path, source: dict[str, str]) -> None:
    """Write a model folder of format `omnivmed/1`: config.json, model.safetensors, tokenizer.json, manifest.json.

    The app and `load` read it; nothing in it is a pickle. source: where the weights come from, for people.
    """
    save_state(built.model.config, state_of(built.model), built.tokenizer, folder, source)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters by name, a tied head left out, on the CPU and contiguous."""
    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    return {
        name: value.detach().cpu().contiguous()
        for name, value in model.named_parameters()
        if not (tied and name == "lm_head.weight")
    }


def save_state(
    config: OmniVMedConfig,
    state: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    source: dict[str, str],
) -> None:
    """As `save`, from tensors."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    values = json.dumps(model_json(config, source), indent=1)
    (folder / "config.json").write_text(values + "\n", encoding="utf-8")
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    weights.write_manifest(folder, ("config.json", WEIGHTS, "tokenizer.json"))


def load_state(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a folder written by `save`."""
    return dict(read_tensors(folder, [WEIGHTS]))


def tiny_config() -> OmniVMedConfig:
    """The model of the tiny recipe; its sizes are those the plan knows."""
    sizes = MODELS["tiny"]
    language, encoder = sizes.language, sizes.encoder
    text = Qwen2Config(
        vocab_size=language.vocab,
        hidden_size=language.hidden,
        intermediate_size=language.mlp,
        num_hidden_layers=language.layers,
        num_attention_heads=language.heads,
        num_key_value_heads=language.kv_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=language.tied,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
    )
    vision = VideoLlama3VisionConfig(
        hidden_size=encoder.hidden,
        intermediate_size=encoder.mlp,
        num_hidden_layers=encoder.layers,
        num_attention_heads=encoder.heads,
        patch_size=14,
        hidden_act="gelu_pytorch_tanh",
        rope_parameters={"rope_type": "axial", "rope_theta": 100.0},
    )
    return OmniVMedConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=CONTROL.index("<|image_pad|>"),
        video_token_id=CONTROL.index("<|video_pad|>"),
        image_merge_size=2,
        tie_word_embeddings=language.tied,
    )


def tiny_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE over the recipe's own texts, at most 512 entries; the same for the same texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MODELS["tiny"].language.vocab,
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def _from_parts(config: TrainConfig, dtype: torch.dtype) -> Built:
    """A stand-alone encoder and a Qwen2.5 folder; the projector begins at random (OmniV-Med §2.1, stage 1)."""
    spec = config.model
    if spec.size == "tiny":
        raise ValueError("the tiny model has no parts to start from")
    folder = Path(spec.llm or "")
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise ValueError(
            f"no language model in {folder.name}/: download {spec.llm} and give its folder in the recipe's `llm`"
        )
    torch.manual_seed(config.seed)
    model = OmniVMedForConditionalGeneration(qwen2_5_config(spec.size)).to(dtype)
    encoder = load_encoder(Path(spec.encoder or ""), dtype)
    model.model.vision_model.load_state_dict(encoder.state_dict())
    state = _language_state(folder)
    missing, unknown = model.load_state_dict(state, strict=False)
    left = [n for n in missing if "language_model" in n and "rotary" not in n]
    if left or unknown:
        raise ValueError(f"the language model does not fit: missing {left[:1]}, unknown {unknown[:1]}")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file))
    return Built(model.train(), tokenizer)


def _language_state(folder: Path) -> dict[str, Any]:
    names = sorted(p.name for p in folder.glob("*.safetensors"))
    out = {}
    for name, tensor in read_tensors(folder, names):
        out[
            name if name.startswith("lm_head.") else "model.language_model." + name.removeprefix("model.")
        ] = tensor
    return out
