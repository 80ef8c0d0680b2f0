"""The language model with LoRA on every linear, and the whole nano in training: projector + language model."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoraLinear(nn.Module):
    """y = W x + scale * B A x with W frozen. A (r, in) starts at random, B (out, r) at zero."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base, self.scale, self.on = base, scale, True
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        out = self.base(x)
        if self.on:
            out = out + F.linear(F.linear(x, self.lora_A.to(x.dtype)), self.lora_B.to(x.dtype)) * self.scale
        return out


def add_lora(model: nn.Module, rank: int, scale: float) -> list[str]:
    """Wraps every linear of every layer; returns their module paths."""
    paths = []
    for path, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and path.split(".")[-1] in LINEARS:
            parent = model.get_submodule(path.rsplit(".", 1)[0])
            setattr(parent, path.rsplit(".", 1)[1], LoraLinear(module, rank, scale))
            paths.append(path)
    return paths


def lora_state(model: nn.Module) -> dict[str, Tensor]:
    """``<module path>.lora_A`` and ``.lora_B``."""
    return {n: p for n, p in model.named_parameters() if n.endswith(("lora_A", "lora_B"))}


def switch_lora(model: nn.Module, on: bool) -> None:
    for module in model.modules():
        if isinstance(module, LoraLinear):
            module.on = on


def plain_attention(  # type: ignore[no-untyped-def]
    module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_
):
    """Softmax attention written out. For rows of 150 tokens in bf16 it costs a third of the fused CPU kernel.

    query (B, heads, L, d), key and value (B, kv heads, L, d), additive mask (B, 1, L, L) → (B, L, heads, d).
    """
    groups = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(groups, 1) if groups > 1 else t for t in (key, value))
    weights = torch.softmax(query @ key.transpose(-1, -2) * scaling + attention_mask, -1)
    return (weights @ value).transpose(1, 2), None


def use_plain_attention(model) -> None:  # type: ignore[no-untyped-def]
    from omnivmed.model.upstream import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register("omnivmed_plain", plain_attention)
    model.config._attn_implementation = "omnivmed_plain"


def load_language_model(folder: Path, dtype: torch.dtype = torch.bfloat16):  # type: ignore[no-untyped-def]
    """(LlamaForCausalLM frozen, tokenizer) from safetensors in a local folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    use_plain_attention(model)
    model.requires_grad_(False)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)
