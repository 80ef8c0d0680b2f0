"""The mean of two legs of training: what one gained and the other had not lost.

Both legs share their start, so their weights lie in one basin, and the mean of both is a model of its own
("model soups", Wortsman et al. 2022). Projector and LoRA factors are averaged as they are.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from train.loop.store import save_atomic, write_json


def mean(first: dict[str, Tensor], second: dict[str, Tensor], share: float = 0.5) -> dict[str, Tensor]:
    """Tensor by tensor, in float32; ``share`` in [0, 1] is that of ``second``.

    Raises ValueError when the two do not name the same tensors.
    """
    if first.keys() != second.keys():
        raise ValueError("these two do not belong to one model: " + ", ".join(first.keys() ^ second.keys()))
    return {k: (1 - share) * v.float() + share * second[k].float() for k, v in first.items()}


def blend(first: Path, second: Path, folder: Path, share: float = 0.5) -> None:
    """``final.safetensors`` in ``folder`` from those of the two legs; ``share`` is that of the second."""
    folder.mkdir(parents=True, exist_ok=True)
    save_atomic(mean(load_file(first), load_file(second), share), folder / "final.safetensors")
    write_json(
        {"mean_of": [first.parent.name, second.parent.name], "share_of_second": share}, folder / "done.json"
    )
