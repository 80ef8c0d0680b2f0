"""A GGUF file of a Llama-type language model → a folder of safetensors, config and tokenizer, in one pass.

Tensor by tensor, without building a model or importing transformers; every tensor equals what transformers'
own GGUF loader makes of the file (checked bit for bit in `tests/weights/test_fetch.py`, slow).
Runs once per machine; the app never reads GGUF afterwards.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnivmed.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader


_CONTROL = 3  # gguf token type of control tokens
#: ChatML without the system sentence that the source file's own template puts in by default.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def llama_name(gguf_name: str) -> str:
    """`blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; KeyError for anything unknown."""
    if gguf_name in _TOP:
        return _TOP[gguf_name]
    block, layer, part, kind = gguf_name.split(".")
    if block != "blk" or kind != "weight":
        raise KeyError(gguf_name)
    return f"model.layers.{int(layer)}.{_LAYER[part]}.weight"


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k (out, in) from GGUF's interleaved rotary pairs to transformers' two halves per head."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, half, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def convert(gguf_path: Path, folder: Path, progress: Progress | None = None) -> None:
    """Write `config.json`, `model.safetensors` (bf16), `tokenizer.json`, `tokenizer_config.json` to `folder`.

    Raises ValueError when the file is not a Llama-type model with a GPT-2 style tokenizer.
    """
    from gguf import GGUFReader

    reader = GGUFReader(gguf_path)
    config = _config(reader)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    _write_tokenizer(reader, folder, int(config["max_position_embeddings"]))
    _write_tensors(reader, folder, config, progress)


def _field(reader: GGUFReader, name: str) -> Any:
    entry = reader.get_field(name)
    if entry is None:
        raise ValueError(f"the GGUF file has no field {name}")
    return entry.contents()


def _config(reader: GGUFReader) -> dict[str, Any]:
    if (kind := _field(reader, "general.architecture")) != "llama":
        raise ValueError(f"expected a GGUF file of architecture llama, got {kind}")
    hidden, heads = _field(reader, "llama.embedding_length"), _field(reader, "llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "hidden_size": hidden,
        "intermediate_size": _field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": _field(reader, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _field(reader, "llama.attention.head_count_kv"),
        "head_dim": hidden // heads,
        "vocab_size": len(_field(reader, "tokenizer.ggml.tokens")),
        "max_position_embeddings": _field(reader, "llama.context_length"),
        # Stored as float32 there: 9.99999975e-06 is meant to be 1e-05.
        "rms_norm_eps": float(f"{_field(reader, 'llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_parameters": {"rope_type": "default", "rope_theta": _field(reader, "llama.rope.freq_base")},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": not any(tensor.name == "output.weight" for tensor in reader.tensors),
        "bos_token_id": _field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _field(reader, "tokenizer.ggml.padding_token_id"),
    }


def _write_tokenizer(reader: GGUFReader, folder: Path, max_length: int) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    style = (_field(reader, "tokenizer.ggml.model"), _field(reader, "tokenizer.ggml.pre"))
    if style != ("gpt2", "smollm"):
        raise ValueError(f"expected a gpt2/smollm tokenizer, got {'/'.join(style)}")
    tokens = _field(reader, "tokenizer.ggml.tokens")
    types = _field(reader, "tokenizer.ggml.token_type")
    pairs = [merge.split(" ") for merge in _field(reader, "tokenizer.ggml.merges")]
    merges = [(left, right) for left, right in pairs]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    names = {
        f"{role}_token": tokens[_field(reader, f"tokenizer.ggml.{field}_token_id")]
        for role, field in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "chat_template": CHAT_TEMPLATE,
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _write_tensors(
    reader: GGUFReader, folder: Path, config: dict[str, Any], progress: Progress | None
) -> None:
    import torch
    from gguf.quants import dequantize
    from safetensors.torch import save_file

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    state: dict[str, torch.Tensor] = {}
    for done, tensor in enumerate(reader.tensors):
        values = dequantize(tensor.data, tensor.tensor_type)  # float32, rows = outputs
        part = tensor.name.split(".")[-2]
        if part in heads:
            values = unpermute(values, heads[part])
        try:
            name = llama_name(tensor.name)
        except (KeyError, ValueError):
            raise ValueError(f"unexpected tensor {tensor.name} in the GGUF file") from None
        state[name] = torch.from_numpy(values.copy()).to(torch.bfloat16)
        if progress is not None:
            progress("converting", done + 1, len(reader.tensors))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
