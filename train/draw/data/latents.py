"""All that the expert learns from, as latents, made once: pictures, and pairs for edits.

The encoder is one matrix product that never changes, so these stay valid however long the decoder is trained.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from omnivmed.generation.autoencoder import Autoencoder
from train.draw.data.edits import coarse, draw_opacity, opacity_places, sequence_pairs
from train.draw.data.pictures import Pictures

NOT_DRAWN = ("vqa_rad", "pydicom_data", "endo_lap", "fundus_berens")
"""Sources whose pictures no prompt is to draw: labels and arrows burnt in, one of a kind, one operation, two eyes."""
OPACITIES_PER_PICTURE = 3
MOST_CHESTS = 1400
TASKS = ("draw", "sharpen", "translate", "insert", "remove", "keep")


@dataclass(frozen=True)
class Example:
    """One thing to learn. task: of TASKS; target, condition: places among the latents (-1: no condition).

    place: the picture it comes from. words: what an instruction names ("left lower", a sequence).
    """

    task: str
    target: int
    condition: int
    place: int
    words: tuple[str, ...] = ()


@torch.no_grad()
def _encode(model: Autoencoder, images: np.ndarray) -> np.ndarray:
    from train.draw.fit.decoder import to_tensor

    return model.encode(to_tensor(images)).half().numpy()


def build_latents(pictures: Pictures, model: Autoencoder, folder: Path, seed: int = 3) -> None:
    """Write `latents.npy` (M, C, g, g) float16 and `examples.json` of the training part."""
    if (folder / "examples.json").exists():
        return
    rng = np.random.default_rng(seed)
    places = pictures.of("train")
    at = {int(place): i for i, place in enumerate(places)}
    blocks, coarse_blocks = [], []
    for start in range(0, len(places), 256):
        images = np.asarray(pictures.pixels[places[start : start + 256]])
        blocks.append(_encode(model, images))
        coarse_blocks.append(_encode(model, np.stack([coarse(one) for one in images])))
    count = len(places)
    examples: list[Example] = []
    for place, i in at.items():
        if pictures.rows[place].source not in NOT_DRAWN:
            examples.append(Example("draw", i, -1, place))
        examples.append(Example("sharpen", i, count + i, place))
    for a, b in sequence_pairs(pictures, "train"):
        examples.append(Example("translate", at[b], at[a], a, (pictures.rows[b].labels["sequence"],)))
    chests = np.array(opacity_places(pictures, "train"))
    chests = rng.permutation(chests)[:MOST_CHESTS]
    drawn, held = [], []
    for place in chests:
        for _ in range(OPACITIES_PER_PICTURE):
            one = draw_opacity(np.asarray(pictures.pixels[place]), rng)
            if one is not None:
                held.append((int(place), (one.side, one.zone)))
                drawn.append(one.picture)
    for start in range(0, len(drawn), 256):
        blocks_of = _encode(model, np.stack(drawn[start : start + 256]))
        coarse_blocks.append(blocks_of)
    for number, (place, words) in enumerate(held):
        with_it = 2 * count + number
        examples.append(Example("insert", with_it, at[place], place, words))
        examples.append(Example("remove", at[place], with_it, place, words))
        if number % OPACITIES_PER_PICTURE == 0:
            examples.append(Example("keep", at[place], at[place], place))
    np.save(folder / "latents.npy", np.concatenate(blocks + coarse_blocks))
    part = folder / "examples.part"
    part.write_text(json.dumps([asdict(e) for e in examples]))
    part.replace(folder / "examples.json")


@dataclass(frozen=True)
class Latents:
    """values: float16 (M, C, g, g), mapped; examples: what is learnt from them."""

    values: np.ndarray
    examples: list[Example]

    @staticmethod
    def open(folder: Path) -> Latents:
        """Map what `build_latents` wrote."""
        rows = json.loads((folder / "examples.json").read_text())
        examples = [Example(**(row | {"words": tuple(row["words"])})) for row in rows]
        return Latents(np.load(folder / "latents.npy", mmap_mode="r"), examples)
