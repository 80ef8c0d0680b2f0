"""A byte tokenizer and a random two-layer Llama: the whole tuning path in a second, with no weights."""

from __future__ import annotations

import torch
from torch import nn


class ByteTokenizer:
    """Ids 0-7 are control tokens, byte b is 8 + b."""

    def get_added_vocab(self) -> dict[str, int]:
        return {"<|im_start|>": 1, "<|im_end|>": 2, "<file_sep>": 5, "<filename>": 6}

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [8 + b for b in text.encode()]

    def decode(self, ids: list[int]) -> str:
        return bytes(i - 8 for i in ids if i >= 8).decode(errors="replace")


def tiny_language_model(seed: int = 0) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    model = LlamaForCausalLM(config)
    model.train(False).requires_grad_(False)
    return model
