"""What a training run is, as frozen values. The JSON beside a checkpoint is enough to run it again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from omnivmed.vision.budget import VisionBudget

Size = Literal["tiny", "1.5b", "7b", "any"]
Start = Literal["random", "parts", "checkpoint"]
Sharding = Literal["none", "zero1", "zero2", "zero3", "fsdp2"]
SHARDINGS: tuple[Sharding, ...] = get_args(Sharding)
PARTS = ("llm", "projector", "encoder")


@dataclass(frozen=True)
class Rates:
    """Learning rate of each part; None freezes it (the convenient rule of the public scripts)."""

    llm: float | None
    projector: float | None
    encoder: float | None

    def trained(self) -> tuple[str, ...]:
        """Names of the parts that learn."""
        return tuple(part for part in PARTS if getattr(self, part) is not None)


@dataclass(frozen=True)
class Source:
    """One data set in a mixture. reader: a name of `train.data.sources.READERS`; path: below the data folder.

    weight: how often a sample is drawn per epoch: 1 once, 0.5 every second one (another half each epoch), 2
    twice. limit: only the first so many samples, drawn by the seed.
    """

    reader: str
    path: str
    split: str = "train"
    weight: float = 1.0
    limit: int | None = None


@dataclass(frozen=True)
class Stage:
    """One training stage.

    samples: samples of one epoch as published, for planning; the run counts what it finds.
    threshold: of token pruning, on pixels in [-1, 1]; None: pruning off.
    max_length: positions of one sample in the language model after pruning; longer ones are bad samples.
    steps: overrides samples x epochs / global_batch.
    """

    name: str
    sources: tuple[Source, ...]
    samples: int
    rates: Rates
    threshold: float | None = None
    epochs: float = 1.0
    global_batch: int = 128
    warmup_ratio: float = 0.03
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    max_length: int = 16_384
    vision: VisionBudget = field(default_factory=lambda: VisionBudget(max_frames=180))
    phase_in: tuple[float, float] | None = None
    """Shares of the stage's steps at which pruning becomes soft and then hard: (0.2, 0.6) prunes nothing for a fifth
    of the steps, then each sample at a threshold drawn from 0 to the stage's, and from three fifths on at the stage's
    own. None: at the stage's from the first step, as in the paper."""
    steps: int | None = None
    mean_tokens: int = 2_048
    """Positions of a typical sample after pruning, for the estimate of time only."""
    mean_patches: int | None = None
    """Patches of a typical sample, which pruning does not lessen; None: of a still of `mean_tokens`."""

    def __post_init__(self) -> None:
        if self.phase_in is None:
            return
        soft, hard = self.phase_in
        if self.threshold is None or not 0 <= soft <= hard <= 1:
            raise ValueError(
                f"phase_in is (soft, hard), 0 to 1 and in order, of a stage that prunes; got {self.phase_in}"
            )

    def planned_steps(self, samples: int | None = None) -> int:
        """Optimizer steps of the stage."""
        if self.steps is not None:
            return self.steps
        return math.ceil((samples or self.samples) * self.epochs / self.global_batch)


@dataclass(frozen=True)
class ModelSpec:
    """Which model, and what it starts from.

    size "any": whatever the checkpoint's folder holds; the plan does not know it.
    start "random": untrained; "parts": a stand-alone encoder and language model (paths or hub ids), the
    encoder's position table dropped (OmniV-Med §2.1) unless it has none; "checkpoint": a whole public checkpoint
    of this architecture, already converted by `python -m omnivmed convert`.
    """

    size: Size
    start: Start
    encoder: str | None = None
    llm: str | None = None
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        if self.start == "parts" and not (self.encoder and self.llm):
            raise ValueError('start "parts" needs an encoder and a language model')
        if self.start == "checkpoint" and not self.checkpoint:
            raise ValueError('start "checkpoint" needs the folder of a converted checkpoint')


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters on all linear layers of the language model, in place of training it whole (peft)."""

    r: int = 64
    alpha: int = 16
    dropout: float = 0.05


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. micro_batch: samples per forward pass and card; what is missing to `global_batch` accumulates.
    fill: forward passes take as many samples as the budgets allow instead, and as few passes are accumulated as the
    fullest step of the stage needs.

    token_budget, patch_budget: padded positions and patches of one forward pass at most; the batch planner
    refuses rather than run out of memory an hour later. max_skip_rate: share of bad samples that ends the run.
    loss_chunk: supervised positions whose logits exist at one time. validate: share of samples held out.
    """

    name: str
    model: ModelSpec
    stages: tuple[Stage, ...]
    sharding: Sharding = "none"
    offload: bool = False
    micro_batch: int = 1
    fill: bool = False
    token_budget: int = 16_384
    patch_budget: int = 65_536
    precision: Literal["bf16", "fp32"] = "bf16"
    activation_checkpointing: bool = True
    loss_chunk: int = 256
    packing: Literal["auto", "off"] = "auto"
    lora: LoRA | None = None
    seed: int = 42
    max_skip_rate: float = 0.001
    validate: float = 0.005
    validate_every: int = 500
    save_every: int = 500
    keep_checkpoints: int = 2
    log_every: int = 10
    tracker: Literal["trackio", "wandb", "none"] = "trackio"

    def __post_init__(self) -> None:
        if self.offload and self.sharding != "zero3":
            raise ValueError("offload, the optimizer on the host, is there for zero3 alone")
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"stages need different names, got {names}")
        for stage in self.stages:
            if not stage.rates.trained():
                raise ValueError(f"stage {stage.name} trains no part: give at least one learning rate")

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises ValueError listing the names."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise ValueError(f"no stage {name!r}; choose from {', '.join(s.name for s in self.stages)}")

    def accumulation(self, stage: Stage, world: int) -> int:
        """Forward passes per card and optimizer step. Raises ValueError when the batch does not divide.

        With `fill` an estimate from the typical sample; the run counts its own.
        """
        if self.fill:
            return max(1, math.ceil(stage.global_batch * stage.mean_tokens / self.token_budget / world))
        per_pass = self.micro_batch * world
        if stage.global_batch % per_pass:
            raise ValueError(
                f"a global batch of {stage.global_batch} does not divide over {world} cards x {self.micro_batch}"
                f" samples; use a multiple of {per_pass}"
            )
        return stage.global_batch // per_pass

    def to_json(self) -> str:
        """The whole config, indented; `from_json` gives back an equal one."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Raises ValueError with one sentence per wrong value, and for unknown or missing fields: a config of another
        version is not half understood."""
        try:
            config = _reader().validate_json(text, strict=True)
        except ValidationError as error:
            raise ValueError(f"not a training config of this version: {_sentences(error)}") from None
        if wrong := list(_differences(json.loads(text), json.loads(config.to_json()), "")):
            raise ValueError(f"not a training config of this version: {'; '.join(wrong)}")
        return config

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read the JSON written beside a checkpoint."""
        return cls.from_json(path.read_text(encoding="utf-8"))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any field."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


@cache
def _reader() -> TypeAdapter[TrainConfig]:
    return TypeAdapter(TrainConfig)


def _sentences(error: ValidationError) -> str:
    """ "stages.0.samples: Input should be a valid integer (got 'many')" and so on."""
    told = []
    for one in error.errors(include_url=False, include_context=False):
        where, got = ".".join(str(part) for part in one["loc"]), repr(one["input"])
        if one["type"] == "missing":
            told.append(f"missing fields {where}")
            continue
        said = one["msg"].removeprefix("Value error, ")
        told.append((f"{where}: " if where else "") + said + (f" (got {got})" if len(got) <= 60 else ""))
    return "; ".join(told)


def _differences(given: Any, read: Any, where: str) -> Iterator[str]:
    """Fields of the file that were not read, and fields that it leaves out."""
    if isinstance(given, dict) and isinstance(read, dict):
        yield from (f"unknown fields {where}{name}" for name in sorted(given.keys() - read.keys()))
        yield from (f"missing fields {where}{name}" for name in sorted(read.keys() - given.keys()))
        for name in given.keys() & read.keys():
            yield from _differences(given[name], read[name], f"{where}{name}.")
    elif isinstance(given, list) and isinstance(read, list):
        for number, pair in enumerate(zip(given, read, strict=True)):
            yield from _differences(*pair, f"{where}{number}.")
