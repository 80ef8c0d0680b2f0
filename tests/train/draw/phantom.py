"""Pictures drawn by code, as the recipe keeps them: discs and bars in grey, one of each kind in every split."""

from __future__ import annotations

import numpy as np

from omnivmed.generation.prefix import Prefix
from train.draw.data.pictures import SIDE, Pictures, Row
from train.draw.data.prompts import PromptBook

KINDS = {
    "disc": {"modality": "X-ray", "organ": "hand"},
    "bar": {"modality": "CT", "organ": "head", "plane": "axial"},
}


def pictures(count: int = 8) -> Pictures:
    """``count`` pictures of each kind, three of four for training."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:SIDE, :SIDE]
    pixels, rows = [], []
    for name, labels in KINDS.items():
        for i in range(count):
            y, x = rng.integers(40, 88, size=2)
            shape = np.hypot(ys - y, xs - x) < 24 if name == "disc" else np.abs(ys - y) < 10
            grey = np.where(shape, 200, 20).astype(np.uint8)
            pixels.append(np.repeat(grey[..., None], 3, -1))
            rows.append(Row(f"{name}/{i}", name, f"{name}/{i}", "test" if i % 4 == 3 else "train", labels))
    return Pictures(np.stack(pixels), rows)


def book(texts: list[str], groups: int = 2, size: int = 16, layers: int = 2) -> PromptBook:
    """Random keys and values for prompts, the same for the same text."""
    import torch

    texts = ["", *sorted(set(texts) - {""})]
    generator = torch.Generator().manual_seed(0)
    shape = (len(texts), layers, groups, 5, size)
    lengths = torch.tensor([2 + i % 4 for i in range(len(texts))])
    return PromptBook(
        texts,
        Prefix(
            torch.randn(shape, generator=generator), torch.randn(shape, generator=generator), lengths, lengths
        ),
    )
