"""Prompts of examples, and the prefix of every prompt, read once by the understanding model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from omnivmed.generation.prefix import Prefix, stack
from train.draw.data.latents import Example
from train.draw.data.pictures import Pictures
from train.draw.text import instructions
from train.draw.text.wordings import key_of, wordings
from train.loop.store import save_atomic, write_json


def prompts_of(example: Example, pictures: Pictures, held_out: bool = False) -> list[str]:
    """Every wording that asks for this example; empty where none is written for it."""
    if example.task == "draw":
        key = key_of(pictures.rows[example.place].labels)
        return wordings(key, held_out) if key else []
    if example.task == "sharpen":
        return instructions.sharpen(held_out)
    if example.task == "translate":
        return instructions.translate(example.words[0], held_out)
    if example.task == "insert":
        return instructions.insert(example.words[0], example.words[1], held_out)
    return instructions.remove(held_out)


class PromptBook:
    """All prompts with their prefixes, in bfloat16; "" is the first."""

    def __init__(self, texts: Sequence[str], prefix: Prefix) -> None:
        self.texts, self.prefix = list(texts), prefix
        self.place = {text: i for i, text in enumerate(self.texts)}

    @staticmethod
    def build(texts: Sequence[str], read: Callable[[str], Prefix], folder: Path) -> PromptBook:
        """Read what is not yet on disk."""
        texts = ["", *sorted(set(texts) - {""})]
        if not (folder / "prompts.json").exists():
            prefix = stack([read(text) for text in texts])
            tensors = {"keys": prefix.keys, "values": prefix.values}
            tensors = {k: v.bfloat16() for k, v in tensors.items()}
            save_atomic(
                tensors | {"lengths": prefix.lengths, "index": prefix.index}, folder / "prompts.safetensors"
            )
            write_json(texts, folder / "prompts.json")
        return PromptBook.open(folder)

    @staticmethod
    def open(folder: Path) -> PromptBook:
        """What `build` has written."""
        import json

        held = load_file(folder / "prompts.safetensors")
        texts = json.loads((folder / "prompts.json").read_text())
        return PromptBook(texts, Prefix(held["keys"], held["values"], held["lengths"], held["index"]))

    def batch(self, rows: np.ndarray | Tensor) -> Prefix:
        """Prefixes of these rows, cut to the longest."""
        index = torch.as_tensor(rows)
        lengths = self.prefix.lengths[index]
        most = int(lengths.max())
        return Prefix(
            self.prefix.keys[index][..., :most, :],
            self.prefix.values[index][..., :most, :],
            lengths,
            self.prefix.index[index],
        )
