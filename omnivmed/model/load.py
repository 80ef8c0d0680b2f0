"""Model folders: `config.json` (closed schema), `*.safetensors`, `manifest.json` (sha256 of every file).

Two kinds are read here.

- Converted or trained checkpoints, format `omnivmed/1` (`schema.py`): all tensors under our parameter names in any
  number of `*.safetensors`; `lm_head.weight` is absent when tied. Optionally `lora.safetensors`, merged on loading.
- Encoders alone, format `omnivmed-encoder/1`: bare encoder names (`embeddings.`, `encoder.`, `post_layernorm.`).

LoRA: for a linear layer of the language model, `layers.N.self_attn.q_proj.lora_A` (r, in) and `.lora_B` (out, r);
W becomes W + scale * B @ A. The scale is in `lora.safetensors`' own metadata as "scale".

Checksums are verified before a tensor is read; nothing is unpickled and no code of the folder is run. The model is
built on the meta device and takes the tensors as they come, so memory holds the weights once and never random ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.model.config import OmniVMedConfig
from omnivmed.model.encoder import OmniVMedVisionModel
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.model.schema import encoder_config, model_config

LORA_FILE = "lora.safetensors"
ADVICE = "Convert or download it again."
_LORA = re.compile(r"(?P<linear>layers\.\d+\.(?:self_attn|mlp)\.\w+_proj)\.lora_(?P<part>[AB])")


def load_pretrained(
    folder: Path | str, dtype: torch.dtype = torch.bfloat16, device: torch.device | str = "cpu"
) -> OmniVMedForConditionalGeneration:
    """Load a folder of format `omnivmed/1`, ready for answering (eval mode).

    Raises ModelError: WeightsMissing, ChecksumMismatch, Unsupported (unknown setting, tensor or shape).
    """
    path = Path(folder)
    values = read_verified(path)
    config = model_config(values)
    device = torch.device(device)
    tensors: Iterable[tuple[str, torch.Tensor]]
    tensors = read_tensors(path, (n for n in weight_files(path) if n != LORA_FILE))
    if (path / LORA_FILE).is_file():
        with safe_open(path / LORA_FILE, framework="pt") as reader:
            scale = (reader.metadata() or {}).get("scale")
        if scale is None:
            raise ModelError("Unsupported", f"The adapter does not say its scale. {ADVICE}")
        held = dict(tensors)
        merge_lora(held, dict(read_tensors(path, [LORA_FILE])), float(scale))
        tensors = held.items()
    return build(config, tensors, dtype, device)


def says_format(folder: Path) -> bool:
    """Whether a folder's config.json says that it is of our format, in any version."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and str(values.get("format", "")).startswith("omnivmed/")


def load_encoder(
    folder: Path | str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> OmniVMedVisionModel:
    """Load a folder of format `omnivmed-encoder/1`: the start of stage 1. Raises ModelError as above."""
    path = Path(folder)
    config = encoder_config(read_verified(path))
    with torch.device("meta"):
        encoder = OmniVMedVisionModel(config)
    assign(encoder, read_tensors(path, weight_files(path)), dtype, torch.device(device))
    reset_rotary(encoder, torch.device(device))
    encoder.train(False)
    return encoder


def read_verified(folder: Path) -> dict[str, Any]:
    """Verify every file of the manifest, and return config.json. Raises ModelError."""
    weights.verify_folder(folder, ("config.json",), ADVICE)
    listed = set(json.loads((folder / weights.MANIFEST).read_text(encoding="utf-8"))["files"])
    if stray := sorted({p.name for p in folder.glob("*.safetensors")} - listed):
        raise ModelError(
            "ChecksumMismatch", f"The weight file {stray[0]} has no checksum in the manifest. {ADVICE}"
        )
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ModelError("Unsupported", "The config.json of this model cannot be read; it is no JSON object.")
    return values


def weight_files(folder: Path) -> list[str]:
    """Return the names of the safetensors files, sorted. Raises ModelError when there is none."""
    names = sorted(p.name for p in folder.glob("*.safetensors"))
    if not names:
        raise ModelError("WeightsMissing", f"There are no weights of this model here. {ADVICE}")
    return names


def read_tensors(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, tensor) of the files one by one. Raises ModelError when a file is no safetensors file."""
    for file in names:
        try:
            with safe_open(folder / file, framework="pt") as reader:
                for name in reader.keys():  # noqa: SIM118 - not a dict
                    yield name, reader.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                "ChecksumMismatch", f"The weight file {file} cannot be read. {ADVICE}"
            ) from error


def build(
    config: OmniVMedConfig,
    tensors: Iterable[tuple[str, torch.Tensor]],
    dtype: torch.dtype,
    device: torch.device,
) -> OmniVMedForConditionalGeneration:
    """Return the model with these tensors as its parameters, in eval mode.

    Raises ModelError when a tensor is missing, unknown, named twice or of another shape.
    """
    with torch.device("meta"):
        model = OmniVMedForConditionalGeneration(config)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    assign(model, tensors, dtype, device, tied)
    if tied:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight
    reset_rotary(model, device)
    model.train(False)
    return model


def assign(
    model: torch.nn.Module,
    tensors: Iterable[tuple[str, torch.Tensor]],
    dtype: torch.dtype,
    device: torch.device,
    tied: set[str] | frozenset[str] = frozenset(),
) -> None:
    """Give each tensor to the parameter of its name, and refuse all that does not fit. Raises ModelError."""
    wanted = {name: tuple(p.shape) for name, p in model.named_parameters() if name not in tied}
    for name, tensor in tensors:
        if name not in wanted:
            raise ModelError(
                "Unsupported", f'The weights hold an unknown or repeated tensor "{name}". {ADVICE}'
            )
        if tuple(tensor.shape) != wanted.pop(name):
            raise ModelError(
                "Unsupported", f'The tensor "{name}" does not have the shape its configuration asks for.'
            )
        module_name, _, leaf = name.rpartition(".")
        parameter = torch.nn.Parameter(tensor.to(device, dtype), requires_grad=True)
        setattr(model.get_submodule(module_name), leaf, parameter)
    if wanted:
        raise ModelError("Unsupported", f'The weights lack the tensor "{next(iter(wanted))}". {ADVICE}')


def reset_rotary(model: torch.nn.Module, device: torch.device) -> None:
    """Compute the rotary frequencies anew: they are in no file, and must stay float32 in a half-precision model."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if name in ("rotary_emb", "rotary_pos_emb"):
                setattr(parent, name, type(child)(child.config).to(device))


def merge_lora(tensors: dict[str, torch.Tensor], lora: dict[str, torch.Tensor], scale: float) -> None:
    """Replace W by W + scale * B @ A, in float32, for every pair in `lora` (names: see the module's first lines).

    Raises ModelError for a name or shape that fits no linear layer of the language model.
    """
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in lora.items():
        match = _LORA.fullmatch(name)
        if match is None:
            raise ModelError("Unsupported", f'The adapter holds an unknown tensor "{name}". {ADVICE}')
        pairs.setdefault(match["linear"], {})[match["part"]] = tensor
    for linear, pair in pairs.items():
        key = f"model.language_model.{linear}.weight"
        try:
            delta = pair["B"].float() @ pair["A"].float()
            if tensors[key].shape != delta.shape:
                raise KeyError(key)
        except (KeyError, RuntimeError):
            raise ModelError("Unsupported", f"The adapter does not fit {linear}. {ADVICE}") from None
        tensors[key] = tensors[key].float().add_(delta, alpha=scale)


def expected_shapes(
    model_values: OmniVMedConfig | None, encoder_values: Any = None
) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor that a folder with this configuration holds; a tied head is none."""
    with torch.device("meta"):
        if model_values is None:
            return {n: tuple(p.shape) for n, p in OmniVMedVisionModel(encoder_values).named_parameters()}
        model = OmniVMedForConditionalGeneration(model_values)
    shapes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    if model_values.tie_word_embeddings:
        shapes.pop("lm_head.weight", None)
    return shapes
