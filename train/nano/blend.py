"""The mean of two legs of training: what one gained and the other had not lost.

Both legs share their start, so their weights lie in one basin, and the mean of both is a model of its own
("model soups", Wortsman et al. 2022). Projector and LoRA factors are averaged as they are.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from train.nano.store import save_atomic, write_json


def mean(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensor by tensor, in float32. Raises ValueError when the two do not name the same tensors."""
    if first.keys() != second.keys():
        raise ValueError("these two do not belong to one model: " + ", ".join(first.keys() ^ second.keys()))
    return {k: (v.float() + second[k].float()) / 2 for k, v in first.items()}


def blend(first: Path, second: Path, folder: Path) -> None:
    """``final.safetensors`` in ``folder`` from those of the two legs."""
    folder.mkdir(parents=True, exist_ok=True)
    save_atomic(mean(load_file(first), load_file(second)), folder / "final.safetensors")
    write_json({"mean_of": [first.parent.name, second.parent.name]}, folder / "done.json")
