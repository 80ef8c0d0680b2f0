"""The folder that ships: averaged expert and autoencoder in bfloat16, configuration with its card, checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from omnivmed import weights
from omnivmed.generation.config import DrawConfig
from omnivmed.generation.loading import EDITORS_FILE, FILES
from train.draw import recipe

VERSION = "nano-draw/2"
CARD = Path(__file__).with_name("card.json")
README = Path(__file__).with_name("card.md")


def averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The averaged weights, with the buffers, which have no average."""
    average = {k.removeprefix("ema."): v for k, v in tensors.items() if k.startswith("ema.")}
    return {k: average.get(k, v) for k, v in tensors.items() if not k.startswith("ema.")}


def export(expert: Path, autoencoder: Path, out: Path, editors: Mapping[str, Path] | None = None) -> None:
    """Write the folder. The encoder stays float32: latents must be those the expert was trained on.

    editors: what the legs of each task's own expert left.
    """
    out.mkdir(parents=True, exist_ok=True)
    editors = editors or {}
    config = DrawConfig(
        VERSION,
        "nano",
        recipe.AUTOENCODER,
        recipe.EXPERT,
        json.loads(CARD.read_text()),
        {task: recipe.EDITORS[task] for task in editors},
    )
    values = config.as_json()
    (out / FILES[0]).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    decoder = {
        k: (v.to(torch.bfloat16) if k.startswith("refinement.") else v).contiguous()
        for k, v in load_file(autoencoder).items()
    }
    save_file(decoder, out / FILES[1])
    save_file(
        {k: v.to(torch.bfloat16).contiguous() for k, v in averaged(load_file(expert)).items()}, out / FILES[2]
    )
    files: tuple[str, ...] = FILES
    if editors:
        save_file(
            {
                f"{task}.{k}": (v if k.startswith("pooled_") else v.to(torch.bfloat16)).contiguous()
                for task, path in editors.items()
                for k, v in averaged(load_file(path)).items()
            },
            out / EDITORS_FILE,
        )
        files = (*FILES, EDITORS_FILE)
    weights.write_manifest(out, files)


def write_card(out: Path, report: Path) -> None:
    """`README.md` of the folder: the words of `card.md`, the scores of a report."""
    from train.draw.measure.report import tables

    scores = json.loads((report / "scores.json").read_text())
    (out / "README.md").write_text(README.read_text().replace("{{scores}}", tables(scores).strip()))
