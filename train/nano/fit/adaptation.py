"""Between two legs of the mixed stage: the last blocks of the encoder learn, with the projector, by word targets.

The word loss of the warm start (``train/nano/parts/words.py``) on fresh random views, gradients through the last
``blocks`` encoder blocks. No pass through the language model: fifteen pictures a second on two cores. The language
model keeps its LoRA: the words that visual tokens must lie near to stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from train.loop.fit import Every, Learner, Loss, Schedule, fit
from train.loop.store import save_atomic
from train.nano.data.bank import Entry
from train.nano.data.sampling import Pool
from train.nano.data.views import STILL_TOKENS, Item, labels_of, thin, to_pixels, view
from train.nano.parts.encoder import PATCH, Student, merge2, patch_features
from train.nano.parts.words import Projector, WordBatch, targets, word_loss

DEV_EVERY = 100


@dataclass(frozen=True)
class AdaptConfig:
    """How the last encoder blocks and the projector are trained by word targets."""

    steps: int = 400
    batch: int = 32
    blocks: int = 4
    lr_encoder: float = 4e-5
    lr_projector: float = 4e-4
    warmup_steps: int = 20
    weight_decay: float = 0.02
    seed: int = 42
    mixture: dict[str, float] = field(default_factory=dict)


def trainable(vit: Student, blocks: int) -> list[torch.nn.Parameter]:
    """Parameters of the last ``blocks`` blocks and of the last norm; all others are frozen."""
    vit.requires_grad_(False)
    parts = [*vit.encoder.layers[-blocks:], vit.post_layernorm]
    out = [p for part in parts for p in part.parameters()]
    for parameter in out:
        parameter.requires_grad_(True)
    return out


def encode_with_gradient(vit: Student, images: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """uint8 (h,w,3) pictures -> merged features (B, 36, C) zero-padded and their counts (B,)."""
    counts = torch.tensor([i.shape[0] * i.shape[1] // (2 * PATCH) ** 2 for i in images])
    rows: list[Tensor | None] = [None] * len(images)
    sizes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        sizes.setdefault(image.shape[:2], []).append(i)
    for (h, w), members in sizes.items():
        with torch.autocast("cpu", torch.bfloat16):
            features, _ = patch_features(vit, torch.stack([to_pixels(images[i]) for i in members]))
        for i, merged in zip(members, merge2(features.float(), h // PATCH, w // PATCH), strict=True):
            rows[i] = torch.nn.functional.pad(merged, (0, 0, 0, STILL_TOKENS - len(merged)))
    return torch.stack([r for r in rows if r is not None]), counts


def word_batch(bank: dict[str, Entry], vit: Student, pool: Pool, config: AdaptConfig, step: int) -> WordBatch:
    """Augmented views and their words: a pure function of (seed, step)."""
    rng = np.random.default_rng((config.seed, 17, step))
    items = [pool.draw(config.mixture, rng) for _ in range(config.batch)]
    images = [view(bank[i.record_id], i, rng) for i in items]
    features, counts = encode_with_gradient(vit, images)
    return WordBatch(features, counts, [targets(labels_of(bank[i.record_id], i)) for i in items])


@torch.no_grad()
def nearest(
    bank: dict[str, Entry], vit: Student, projector: Projector, table: dict[str, Tensor]
) -> dict[str, str]:
    """Nearest word on at most 48 clean development pictures per source: "right/asked" per attribute and source."""
    cells: dict[str, list[int]] = {}
    by_source: dict[str, list[Item]] = {}
    for item in thin(Pool(bank, "dev").all_items(), 12):
        by_source.setdefault(bank[item.record_id].record.source, []).append(item)
    for source, items in sorted(by_source.items()):
        chosen = items[:: max(1, len(items) // 48)]
        for start in range(0, len(chosen), 24):
            part = chosen[start : start + 24]
            features, counts = encode_with_gradient(vit, [view(bank[i.record_id], i, None) for i in part])
            wanted = [targets(labels_of(bank[i.record_id], i)) for i in part]
            right = word_loss(projector, WordBatch(features, counts, wanted), table)[1]
            for name, (good, asked) in right.items():
                for key in (name, f"{name}@{source}"):
                    cell = cells.setdefault(key, [0, 0])
                    cell[0] += good
                    cell[1] += asked
    return {k: f"{a}/{b}" for k, (a, b) in sorted(cells.items())}


def parameters_of(vit: Student, projector: Projector) -> dict[str, Tensor]:
    """Weights of encoder and projector under one name each."""
    own = {f"encoder.{k}": v for k, v in vit.state_dict().items()}
    return own | {f"projector.{k}": v for k, v in projector.state_dict().items()}


def restore(vit: Student, projector: Projector, tensors: dict[str, Tensor]) -> None:
    """Put back what `parameters_of` took out."""
    vit.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("encoder.")})
    projector.load_state_dict({k[10:]: v for k, v in tensors.items() if k.startswith("projector.")})


def adapt(
    bank: dict[str, Entry],
    vit: Student,
    start: dict[str, Tensor],
    table: dict[str, Tensor],
    folder: Path,
    config: AdaptConfig,
) -> None:
    """Runs or resumes. ``start``: weights of the first mixed leg; its LoRA goes unchanged into
    ``final.safetensors`` beside the new projector and encoder, the encoder alone into ``encoder.safetensors``."""
    cv2.setNumThreads(1)
    torch.manual_seed(config.seed)
    projector, pool = Projector(), Pool(bank, "train")
    projector.load_state_dict({k[10:]: v for k, v in start.items() if k.startswith("projector.")})
    lora = {k: v for k, v in start.items() if k.startswith("lora.")}
    vit.eval()

    def losses(step: int) -> Iterator[Loss]:
        loss, right = word_loss(projector, word_batch(bank, vit, pool, config, step), table)
        yield loss, {"loss": float(loss.detach())} | {k: good / n for k, (good, n) in right.items() if n}

    state = fit(
        Learner(
            [
                {"params": trainable(vit, config.blocks), "base": config.lr_encoder},
                {"params": list(projector.parameters()), "base": config.lr_projector},
            ],
            lambda: parameters_of(vit, projector) | lora,
            lambda tensors: restore(vit, projector, tensors),
            losses,
            check=lambda: {"dev": nearest(bank, vit, projector, table)},
        ),
        Schedule(steps=config.steps, warmup=config.warmup_steps, floor=0.02),
        folder,
        asdict(config),
        weight_decay=config.weight_decay,
        every=Every(check=DEV_EVERY),
    )
    save_atomic(
        {k[8:]: v for k, v in state.items() if k.startswith("encoder.")}, folder / "encoder.safetensors"
    )
