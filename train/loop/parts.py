"""Which parameter belongs to which part, what learns, and at which rate."""

from __future__ import annotations

from typing import Any

from torch import nn

from train.recipes.config import PARTS, LoRA, Rates

PREFIXES = {
    "vision_model.": "encoder",
    "projector.": "projector",
    "language_model.": "llm",
    "lm_head.": "llm",
}
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def part_of(name: str) -> str:
    """ "llm", "projector" or "encoder" of a parameter name, wrappers' prefixes allowed. Raises ValueError."""
    for prefix, part in PREFIXES.items():
        if name.startswith(prefix) or f".{prefix}" in name:
            return part
    raise ValueError(f"parameter {name} belongs to no part of the model")


def freeze(model: nn.Module, rates: Rates) -> dict[str, int]:
    """Let exactly the parts with a rate learn; returns the number of learning parameters by part.

    With adapters (parameters named lora_) only these learn in the language model.
    """
    counts = dict.fromkeys(PARTS, 0)
    named = list(model.named_parameters())
    adapters = any(".lora_" in name for name, _ in named)
    for name, parameter in named:
        part = part_of(name)
        learns = getattr(rates, part) is not None
        if part == "llm" and adapters:
            learns = learns and ".lora_" in name
        parameter.requires_grad_(learns)
        counts[part] += parameter.numel() if learns else 0
    return counts


def parameter_groups(model: nn.Module, rates: Rates, weight_decay: float) -> list[dict[str, Any]]:
    """One optimizer group per learning part, in a fixed order, with its rate; weight decay on matrices only."""
    groups = []
    for part in rates.trained():
        own = [p for n, p in model.named_parameters() if p.requires_grad and part_of(n) == part]
        matrices, vectors = [p for p in own if p.ndim > 1], [p for p in own if p.ndim <= 1]
        for parameters, decay in ((matrices, weight_decay), (vectors, 0.0)):
            if parameters:
                groups.append(
                    {"params": parameters, "lr": getattr(rates, part), "weight_decay": decay, "part": part}
                )
    return groups


def add_adapters(model: nn.Module, lora: LoRA, seed: int) -> nn.Module:
    """Put LoRA on all linear layers of the language model, in place (peft); returns peft's wrapper."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    pattern = rf".*language_model\.layers\.\d+\.(self_attn|mlp)\.({'|'.join(LORA_TARGETS)})"
    config = LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=pattern)
    return get_peft_model(model, config)  # type: ignore[no-any-return,unused-ignore]
