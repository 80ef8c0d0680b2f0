"""A recipe at its real widths on torch's meta device: every parameter has its shape and none has memory.

What is walked is the recipe's own code: configuration, model, freezing, groups of the optimizer, its states after a
step, torch's `fully_shard` with the layers of `train/launch/fsdp2.json` over a group of as many processes as there are
cards (torch's fake one: every process believes that the others are there), and the planner of batches over the paper's
numbers of samples. What is found is held against the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from omnivmed.model.config import qwen2_5_config
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from train.data.batches import BatchPlan, fewest_slots
from train.data.costs import Costs
from train.data.mixture import epoch_order
from train.loop.arguments import settings
from train.loop.parts import freeze, parameter_groups
from train.plan.memory import states, trainable
from train.plan.sizes import MODELS
from train.recipes.config import Stage, TrainConfig

SHARES = {"still": 0.62, "volume": 0.25, "clip": 0.10, "text": 0.03}
"""Of the mixed stage, ours: the paper gives 75K of 252K for volumes and no number for video. The two
stages before are stills."""


@dataclass(frozen=True)
class Walked:
    """One stage. parameters, learning, sharded: values counted, in all, that learn, of this process after sharding.
    states: bytes of weights, gradients and moments of the unsharded model; planned: by the plan. groups: learning rate
    -> values. slots: passes of a step over all cards."""

    stage: str
    parameters: int
    learning: int
    sharded: int
    states: int
    planned: float
    groups: dict[float, int]
    steps: int
    slots: int

    def wrong(self, cards: int) -> list[str]:
        """What does not agree with the plan or with itself; nothing when all is well."""
        out = []
        if abs(self.states - self.planned) > 1e-3 * self.planned:
            out.append(f"states of {self.states:,} bytes, planned {self.planned:,.0f}")
        if sum(self.groups.values()) != self.learning:
            out.append(f"groups of {sum(self.groups.values()):,} values, {self.learning:,} learn")
        if not self.parameters / cards <= self.sharded <= 1.01 * self.parameters / cards:
            out.append(f"{self.sharded:,} values in one of {cards} processes of {self.parameters:,}")
        return out


def walk(config: TrainConfig, cards: int) -> list[Walked]:
    """Every stage of a recipe of size 1.5b or 7b. Raises ValueError for another one, BudgetError as a run would."""
    size = config.model.size
    if size not in ("1.5b", "7b"):
        raise ValueError(f"only 1.5b and 7b have real widths, not {size}")
    with _believed(cards):
        return [_stage(config, stage, cards) for stage in config.stages]


def build(config: TrainConfig) -> OmniVMedForConditionalGeneration:
    """The recipe's model on the meta device, in its precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if config.precision == "bf16" else torch.float32)
    try:
        with torch.device("meta"):
            return OmniVMedForConditionalGeneration(qwen2_5_config(config.model.size)).train()  # type: ignore[arg-type]
    finally:
        torch.set_default_dtype(before)


def _stage(config: TrainConfig, stage: Stage, cards: int) -> Walked:
    model = build(config)
    learning = sum(freeze(model, stage.rates).values())
    groups = parameter_groups(model, stage.rates, stage.weight_decay)
    rates: dict[float, int] = {}
    for group in groups:
        rate = float(group["lr"])
        rates[rate] = rates.get(rate, 0) + sum(p.numel() for p in group["params"])
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    # The master copy that a sharding library keeps in fp32 and its two moments.
    masters = [nn.Parameter(p.detach().float()) for g in groups for p in g["params"]]
    for master in masters:
        master.grad = torch.zeros_like(master)
    optimizer = torch.optim.AdamW(masters, lr=1e-5, foreach=False)
    optimizer.step()
    held = [*model.parameters(), *(p.grad for p in model.parameters() if p.grad is not None), *masters]
    held += [value for entries in optimizer.state.values() for value in entries.values() if value.dim()]
    counted = sum(t.numel() * t.element_size() for t in held)
    shape = MODELS[config.model.size]
    planned = states(shape.parameters, trainable(shape, stage.rates, config.lora), "none", 1)
    parameters = sum(p.numel() for p in model.parameters())
    model.zero_grad()
    steps, slots = passes(config, stage, cards)
    return Walked(
        stage.name, parameters, learning, _shard(model, cards), counted, planned.states, rates, steps, slots
    )


def _shard(model: nn.Module, cards: int) -> int:
    """Values of this process after `fully_shard` of the layers that the settings name."""
    mesh = init_device_mesh("cpu", (cards,))
    names = set(settings("fsdp2")["transformer_layer_cls_to_wrap"])
    for module in reversed(list(model.modules())):
        if type(module).__name__ in names:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    whole = [name for name, p in model.named_parameters() if not isinstance(p, DTensor)]
    if whole:
        raise ValueError(f"not sharded: {', '.join(whole[:3])}")
    return sum(p.to_local().numel() for p in model.parameters() if isinstance(p, DTensor))


def passes(config: TrainConfig, stage: Stage, cards: int, seed: int = 0) -> tuple[int, int]:
    """(steps, passes of a step) of the planner for as many samples as the paper has, of drawn sizes."""
    rng = np.random.default_rng(seed)
    count, vision = stage.samples, stage.vision
    shares = SHARES if stage.threshold is not None else {"still": 1.0}
    kinds = rng.choice(list(shares), count, p=list(shares.values()))
    words = rng.integers(40, 400, count)
    merge = {
        "still": vision.image_merge_size,
        "volume": vision.video_merge_size,
        "clip": vision.video_merge_size,
    }
    visual = np.zeros(count, np.int64)
    patches = np.zeros(count, np.int64)
    for kind, side in merge.items():
        mine = kinds == kind
        if kind == "still":
            drawn = rng.integers(200, 2_500, mine.sum())
        else:  # as `costs`: a volume or clip may take the whole budget
            drawn = np.full(mine.sum(), vision.study_tokens("video", 32 if kind == "volume" else 8))
        visual[mine], patches[mine] = drawn, drawn * side**2
    plan = BatchPlan(
        order=lambda epoch: epoch_order([count], [1.0], config.seed, epoch),
        costs=Costs((words + visual).astype(np.int32), patches.astype(np.int32)),
        global_batch=stage.global_batch,
        slots=cards,
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
    )
    steps = stage.planned_steps(count)
    return steps, fewest_slots(plan, steps, cards)


@contextmanager
def _believed(cards: int) -> Iterator[None]:
    """A process group of so many processes of which this one is the first; nothing is sent."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=0, world_size=cards, store=FakeStore())
    try:
        yield
    finally:
        distributed.destroy_process_group()
