"""A tokenizer from its one file, without the model folder's code or settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """A tokenizer from its `tokenizer.json` alone; no code and no settings of the model folder are used."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_file=path, clean_up_tokenization_spaces=False)
