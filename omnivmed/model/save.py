"""A model in memory → a folder that `load.load_pretrained` reads: what training leaves behind.

Safetensors and JSON only, with a manifest of sha256 sums; the same format as a converted checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from omnivmed import weights
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.model.schema import model_json

SHARD_BYTES = 2_000_000_000
"""Tensors gathered before a file is written: the memory that writing takes."""


def save_model(
    model: OmniVMedForConditionalGeneration,
    folder: Path | str,
    *,
    tokenizer_json: Path | None = None,
    source: dict[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write the model to a new folder, which appears only when complete; return it.

    tokenizer_json: copied as `tokenizer.json`; without it the folder can be loaded but not talked to. source:
    free text for people (recipe, data hashes). dtype: stored precision, by default that of each parameter.
    Raises FileExistsError when the folder exists.
    """
    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"{target.name} exists already; name a new folder")
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # an interrupted attempt
    partial.mkdir(parents=True)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    tensors = (
        (name, p.detach().to("cpu", dtype or p.dtype))
        for name, p in model.named_parameters()
        if name not in tied
    )
    write_shards(partial, tensors)
    write_config(partial, model_json(model.config, source or {}))
    if tokenizer_json is not None:
        shutil.copyfile(tokenizer_json, partial / "tokenizer.json")
    weights.write_manifest(partial, sorted(p.name for p in partial.iterdir()), source=source or {})
    partial.rename(target)
    return target


def write_config(folder: Path, values: dict[str, Any]) -> None:
    """Write `config.json`."""
    (folder / "config.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def write_shards(
    folder: Path, tensors: Iterable[tuple[str, torch.Tensor]], shard_bytes: int | None = None
) -> int:
    """Write (name, tensor) pairs to `model-00001.safetensors` and on; return the bytes of all tensors."""
    limit = SHARD_BYTES if shard_bytes is None else shard_bytes
    held: dict[str, torch.Tensor] = {}
    held_bytes = total = number = 0

    def write() -> None:
        nonlocal held, held_bytes, number
        number += 1
        save_file(held, folder / f"model-{number:05d}.safetensors", metadata={"format": "pt"})
        held, held_bytes = {}, 0

    for name, tensor in tensors:
        if held and held_bytes + tensor.nbytes > limit:
            write()
        held[name] = tensor.contiguous()
        held_bytes += tensor.nbytes
        total += tensor.nbytes
    write()
    return total
