"""The model and tokenizer that a recipe starts from."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen2Config

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.model.config import OmniVMedConfig, qwen2_5_config
from omnivmed.model.encoder import OmniVMedVisionModel
from omnivmed.model.load import LORA_FILE, load_encoder, load_pretrained, read_tensors
from omnivmed.model.load import build as assemble
from omnivmed.model.modeling import OmniVMedForConditionalGeneration, OmniVMedModel
from omnivmed.model.schema import check_placeholders, model_json
from omnivmed.model.upstream import VideoLlama3Projector, VideoLlama3VisionConfig
from omnivmed.vision.budget import VisionBudget
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
        """The token ids that stand for an image and for a volume or clip."""
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
        tokenizer = tokenizer_of(config, texts)
        torch.manual_seed(config.seed)
        return Built(OmniVMedForConditionalGeneration(tiny_config()), tokenizer)
    if spec.start == "checkpoint":
        folder = Path(spec.checkpoint or "")
        return load(folder, dtype)
    return _from_parts(config, dtype)


def tokenizer_of(config: TrainConfig, texts: list[str] | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer of `build`, without its model. Raises ValueError when there is none."""
    spec = config.model
    if spec.start == "random":
        return tiny_tokenizer(texts or [])
    if spec.start == "checkpoint":
        return load_tokenizer(Path(spec.checkpoint or ""))
    folder = Path(spec.llm or "")
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(
            f"no language model in {folder.name}/: download {spec.llm} and give its folder in the recipe's `llm`"
        )
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer.json of a model folder. Raises ModelError when it is not there."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError("WeightsMissing", f"There is no tokenizer.json in {folder.name}/.")
    return PreTrainedTokenizerFast(tokenizer_file=str(file))


def load(folder: Path, dtype: torch.dtype) -> Built:
    """A model folder of format `omnivmed/1` with its tokenizer.json. Raises ModelError."""
    tokenizer = load_tokenizer(folder)
    model = load_pretrained(folder, dtype).train()
    check_placeholders(model.config)
    return Built(model, tokenizer)


def shard_encoder_whole(model: nn.Module) -> None:
    """ZeRO-3 gathers the encoder in one piece.

    How often its layers run depends on the shapes in a rank's batch. Gathered layer by layer, ranks with other
    shapes would wait for each other for ever; FSDP2's settings wrap it whole for the same reason.
    """
    from deepspeed.utils import set_z3_leaf_modules

    set_z3_leaf_modules(model, [OmniVMedVisionModel])
    for module in model.modules():
        if isinstance(module, OmniVMedModel):
            module.pixels_need_grad = True


def state_of(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(parameters by our names, adapters by theirs), on the CPU and contiguous; a tied head is left out.

    peft's wrapper is seen through: "base_model.model.X.base_layer.weight" is X.weight, and adapters are named as in
    `omnivmed.model.load`.
    """
    return sort_state(dict(model.named_parameters()), model)


def sort_state(
    tensors: dict[str, torch.Tensor], model: nn.Module
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """As `state_of`, of tensors gathered elsewhere (ZeRO-3, FSDP)."""
    own = set(dict(model.named_parameters()))
    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    state, adapters = {}, {}
    for name, value in tensors.items():
        ours = plain_name(name)
        if name not in own or (tied and ours == "lm_head.weight"):
            continue
        kept = value.detach().cpu().contiguous()
        if ".lora_" in ours:
            adapters[ours.removeprefix("model.language_model.")] = kept
        else:
            state[ours] = kept
    return state, adapters


def plain_name(name: str) -> str:
    """A parameter's name without what peft puts into it."""
    name = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
    return re.sub(r"\.lora_([AB])\.default\.weight$", r".lora_\1", name)


def save_state(
    config: OmniVMedConfig,
    state: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    source: dict[str, str],
    adapters: dict[str, torch.Tensor] | None = None,
    scale: float = 1.0,
    budget: VisionBudget | None = None,
) -> None:
    """Write a model folder of format `omnivmed/1`: config.json, weights, tokenizer.json, manifest.json.

    The app, `load` and the next stage read it; nothing in it is a pickle. source: where the weights come from, for
    people. adapters: LoRA matrices, kept apart and merged when the folder is loaded; scale: alpha / r. budget: of the
    stage, so that the folder answers as it was trained; its merge sizes are the model's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ["config.json", WEIGHTS, "tokenizer.json"]
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    if adapters:
        save_file(adapters, folder / LORA_FILE, metadata={"scale": repr(scale)})
        names.append(LORA_FILE)
    if budget is not None:
        budget = dataclasses.replace(
            budget, image_merge_size=config.image_merge_size, video_merge_size=config.video_merge_size
        )
    values = json.dumps(model_json(config, source, budget), indent=1)
    (folder / "config.json").write_text(values + "\n", encoding="utf-8")
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    weights.write_manifest(folder, names)


def restore(model: nn.Module, folder: Path) -> None:
    """Copy a folder's tensors back into the model they were saved from, adapters apart. Raises ModelError."""
    saved = dict(read_tensors(folder, [WEIGHTS]))
    if (folder / LORA_FILE).is_file():
        saved |= {f"model.language_model.{n}": v for n, v in read_tensors(folder, [LORA_FILE])}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if plain_name(name) in saved:
                parameter.copy_(saved[plain_name(name)])


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
    """A stand-alone encoder and a Qwen2.5 folder; the projector begins at random (OmniV-Med §2.1, stage 1).

    The model takes the tensors as they are read: memory holds the weights once.
    """
    spec = config.model
    folder = Path(spec.llm or "")
    tokenizer = tokenizer_of(config)
    if spec.size == "any":
        raise ValueError('start "parts" needs a size: tiny, 1.5b or 7b')
    shape = tiny_config() if spec.size == "tiny" else qwen2_5_config(spec.size)
    encoder = load_encoder(Path(spec.encoder or ""), dtype)
    torch.manual_seed(config.seed)
    projector = VideoLlama3Projector(shape)
    tensors = {f"model.vision_model.{name}": value for name, value in encoder.named_parameters()}
    tensors |= {f"model.projector.{name}": value for name, value in projector.named_parameters()}
    tensors |= _language_state(folder)
    if shape.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    named = ((name, value.detach()) for name, value in tensors.items())
    model = assemble(shape, named, dtype, torch.device("cpu"))
    return Built(model.train(), tokenizer)


def _language_state(folder: Path) -> dict[str, Any]:
    names = sorted(p.name for p in folder.glob("*.safetensors"))
    out = {}
    for name, tensor in read_tensors(folder, names):
        out[
            name if name.startswith("lm_head.") else "model.language_model." + name.removeprefix("model.")
        ] = tensor
    return out
