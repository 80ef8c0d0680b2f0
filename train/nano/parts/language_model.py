"""The language model with LoRA on every linear, and the whole nano in training: projector + language model."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivmed.model.decode import Decoder

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
        """(…, in) → (…, out): the frozen linear, and the adapter where it is on."""
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
    """Turn every adapter of a model on or off."""
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
    """Let a model attend by two matrix products: on short rows of a CPU faster than the fused kernel."""
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


def decoder_of(model: Any) -> Decoder:
    """The product's decoder over this model with its adapter merged into copies of the weights."""
    text = SimpleNamespace(
        embed_tokens=model.model.embed_tokens,
        layers=[merged(layer) for layer in model.model.layers],
        norm=model.model.norm,
        rotary_emb=model.model.rotary_emb,
        parameters=model.model.parameters,
    )
    config = SimpleNamespace(text_config=model.config)
    return Decoder(
        SimpleNamespace(model=SimpleNamespace(language_model=text), lm_head=model.lm_head, config=config)
    )


def merged(layer: Any) -> SimpleNamespace:
    """A decoder layer of transformers with W + scale * B A in place of every adapted linear."""

    def plain(linear: nn.Module) -> nn.Linear:
        if not isinstance(linear, LoraLinear):
            assert isinstance(linear, nn.Linear)
            return linear
        weight = linear.base.weight.float() + linear.scale * (linear.lora_B.float() @ linear.lora_A.float())
        out = nn.Linear(linear.base.in_features, linear.base.out_features, bias=False, device="meta")
        out.weight = nn.Parameter(weight.detach().to(linear.base.weight.dtype), requires_grad=False)
        assert linear.base.bias is None
        return out

    attention, mlp = layer.self_attn, layer.mlp
    return SimpleNamespace(
        self_attn=SimpleNamespace(
            head_dim=attention.head_dim,
            **{n: plain(getattr(attention, n)) for n in ("q_proj", "k_proj", "v_proj", "o_proj")},
        ),
        mlp=SimpleNamespace(**{n: plain(getattr(mlp, n)) for n in ("gate_proj", "up_proj", "down_proj")}),
        input_layernorm=layer.input_layernorm,
        post_attention_layernorm=layer.post_attention_layernorm,
    )
