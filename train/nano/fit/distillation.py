"""Stage 0: position table out, 2D RoPE in, healed by distillation from the encoder's former self.

Loss per patch: (1 - cos) + 0.1 smooth-L1 at the end, 0.5 (1 - cos) after blocks 4 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.loop.fit import Every, Learner, Loss, Schedule, fit
from train.nano.data.bank import Entry
from train.nano.data.sampling import Pool
from train.nano.data.views import FACTOR, augment, picture, resize, to_pixels
from train.nano.parts.encoder import Student, Vit, merge2, patch_features
from train.nano.parts.teacher import build_student, build_teacher

# merged tokens high x wide: 12 to 64 tokens, aspects 2:3 to 3:2
GRIDS = (
    (4, 4),
    (4, 4),
    (4, 5),
    (5, 4),
    (4, 3),
    (3, 4),
    (6, 6),
    (6, 6),
    (6, 6),
    (5, 6),
    (6, 5),
    (7, 5),
    (5, 7),
    (4, 6),
    (6, 4),
    (8, 8),
    (8, 6),
    (6, 8),
)
MIXTURE = {
    "mednist": 0.2,
    "cxr_nih": 0.22,
    "mr_slices": 0.2,
    "ct_slices": 0.1,
    "vqa_rad": 0.12,
    "us_pocus": 0.08,
    "bccd": 0.05,
    "endo_lap": 0.02,
    "fundus_berens": 0.01,
}


@dataclass(frozen=True)
class HealConfig:
    """How the encoder is taught to see without its position table."""

    seconds: float = 1500.0  # wall time of the cosine schedule: the run ends when it is used up
    tokens_per_batch: int = 576  # merged tokens: 16 pictures of 36
    lr: float = 2e-4
    warmup_steps: int = 20
    weight_decay: float = 0.02
    theta: float = 100.0
    seed: int = 42
    mixture: dict[str, float] = field(default_factory=lambda: dict(MIXTURE))


def batch(pool: Pool, config: HealConfig, step: int) -> Tensor:
    """Pixels (B,3,H,W) in [-1,1]: all of one grid, a pure function of (seed, step)."""
    rng = np.random.default_rng((config.seed, step))
    gh, gw = GRIDS[rng.integers(len(GRIDS))]
    size = (gh * FACTOR, gw * FACTOR)
    views = []
    for _ in range(max(4, config.tokens_per_batch // (gh * gw))):
        item = pool.draw(config.mixture, rng)
        image = augment(picture(pool.bank[item.record_id], item, rng), rng, flip=0.5)
        views.append(to_pixels(resize(image, size)))
    return torch.stack(views)


def distill_loss(student: Vit, teacher: Vit, pixels: Tensor) -> Tensor:
    """Distance of a student's features (B, P, C) and two inner taps from its teacher's; a scalar."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        target, target_taps = patch_features(teacher, pixels, taps=(4, 8))
    with torch.autocast("cpu", torch.bfloat16):
        out, taps = patch_features(student, pixels, taps=(4, 8))
    loss = (1 - F.cosine_similarity(out.float(), target.float(), dim=-1)).mean()
    loss = loss + 0.1 * F.smooth_l1_loss(out.float(), target.float())
    for ours, theirs in zip(taps, target_taps, strict=True):
        loss = loss + 0.5 * (1 - F.cosine_similarity(ours.float(), theirs.float(), dim=-1)).mean()
    return loss


def probe_pictures(bank: dict[str, Entry], count: int = 96) -> list[np.ndarray]:
    """Clean pictures of unseen patients, the same ones at every call."""
    pool = Pool(bank, "test")
    rng = np.random.default_rng(7)
    items = [pool.draw(MIXTURE, rng) for _ in range(count)]
    return [picture(bank[i.record_id], i) for i in items]


@torch.no_grad()
def cosine(student: Vit, teacher: Vit, pictures: list[np.ndarray], side: int) -> float:
    """Mean cosine of merged features at side x side merged tokens."""
    size = (side * FACTOR, side * FACTOR)
    total = 0.0
    for start in range(0, len(pictures), 16):
        pixels = torch.stack([to_pixels(resize(p, size)) for p in pictures[start : start + 16]])
        a, b = (merge2(patch_features(m, pixels)[0], 2 * side, 2 * side) for m in (student, teacher))
        total += float(F.cosine_similarity(a, b, dim=-1).mean(1).sum())
    return total / len(pictures)


def heal(bank: dict[str, Entry], onnx_path: Path, folder: Path, config: HealConfig) -> Student:
    """Runs or resumes; returns the healed encoder. Final weights in ``folder/final.safetensors``."""
    cv2.setNumThreads(1)
    torch.manual_seed(config.seed)
    teacher = build_teacher(onnx_path)
    student = build_student(teacher, config.theta)
    pool, pictures = Pool(bank, "train"), probe_pictures(bank)

    def losses(step: int) -> Iterator[Loss]:
        loss = distill_loss(student.train(), teacher, batch(pool, config, step))
        yield loss, {"loss": float(loss.detach())}

    def check() -> dict[str, float]:
        return {f"cosine{n * n}": cosine(student.eval(), teacher, pictures, n) for n in (4, 6, 8)}

    fit(
        Learner(
            [{"params": student.ordered(), "base": config.lr}],
            student.state_dict,
            student.load_state_dict,
            losses,
            check=check,
        ),
        Schedule(seconds=config.seconds, warmup=config.warmup_steps, floor=0.02),
        folder,
        asdict(config),
        betas=(0.9, 0.999),
        weight_decay=config.weight_decay,
        every=Every(check_s=240),
    )
    return student.eval()
