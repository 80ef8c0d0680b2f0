"""The plan as a torch dataset: element k is the k-th forward pass of this rank, encoded and collated.

Workers may prepare passes in parallel: nothing in here depends on state or on random generators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset, Sampler

from omnivmed.model.prompts import Tokenizer
from omnivmed.records import Sample
from train.data.batches import BatchPlan
from train.data.collate import collate
from train.data.encode import BadSample, Encoded, Placeholders, encode
from train.recipes.config import Stage


@dataclass(frozen=True)
class Encoder:
    """Everything that turns a sample into arrays, fixed for a stage."""

    tokenizer: Tokenizer
    placeholders: Placeholders
    pad_id: int
    stage: Stage
    packed: bool = False

    def batch(self, samples: Sequence[Sample], progress: float = 1.0) -> dict[str, Any]:
        """Encode and collate; `sample_ids` and `bad` ((id, reason) pairs) tell what is in it.

        progress: share of the stage's steps that are done, for its phase-in; 1 asks as after training.
        """
        good: list[Encoded] = []
        bad: list[tuple[str, str]] = []
        for sample in samples:
            try:
                good.append(
                    encode(
                        sample,
                        self.tokenizer,
                        self.placeholders,
                        self.stage.vision,
                        threshold=threshold_at(self.stage, progress, sample.id),
                        max_length=self.stage.max_length,
                    )
                )
            except BadSample as error:
                bad.append((error.sample_id, error.reason))
        merge = self.stage.vision.image_merge_size
        out = collate(good, self.pad_id, packed=self.packed, dummy_merge=merge)
        return out | {"sample_ids": [s.id for s in good], "bad": bad}


def threshold_at(stage: Stage, progress: float, sample_id: str) -> float | None:
    """The pruning threshold of a sample when `progress` (0..1) of the stage's steps are done; None: nothing pruned.

    In the soft part it is drawn evenly from 0 to the stage's own, by a hash of sample and progress: the same after a
    resume, and on any number of cards.
    """
    if stage.phase_in is None or stage.threshold is None:
        return stage.threshold
    soft, hard = stage.phase_in
    if progress < soft:
        return None
    if progress >= hard:
        return stage.threshold
    digest = hashlib.sha256(f"{sample_id}/{progress:.9f}".encode()).digest()
    return stage.threshold * int.from_bytes(digest[:8], "big") / 2**64


class PassDataset(Dataset[dict[str, Any]]):
    """Passes of one rank over `steps` optimizer steps: index = step x accumulation + pass within the step."""

    def __init__(
        self, samples: Sequence[Sample], plan: BatchPlan, encoder: Encoder, steps: int, rank: int, world: int
    ) -> None:
        if plan.slots % world:
            raise ValueError(f"{plan.slots} passes a step do not divide over {world} processes")
        self.samples = samples
        self.plan = plan
        self.encoder = encoder
        self.steps = steps
        self.rank = rank
        self.world = world
        self.accumulation = plan.slots // world

    def __len__(self) -> int:
        return self.steps * self.accumulation

    def members(self, index: int) -> list[int]:
        """Places of the samples of a pass."""
        step, within = divmod(index, self.accumulation)
        # Neighbouring passes are of like length: deal them round so that ranks work on equals at a time.
        return self.plan.passes(step)[within * self.world + self.rank]

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        progress = index // self.accumulation / self.steps
        return self.encoder.batch([self.samples[i] for i in self.members(index)], progress)


class InOrder(Sampler[list[int]]):
    """Batches of one index each, in order; resuming skips indices, it loads nothing."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[list[int]]:
        return ([i] for i in range(self.length))
