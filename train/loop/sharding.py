"""Whether a run is really sharded: counted on the prepared model before the first step, which is refused otherwise.

Sharding that was asked for and is not there trains all the same, to equal losses, until a card runs out of memory an
hour later or the optimizer states of eight cards turn out to be eight copies. So every run counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from train.loop.world import ShardingError, world_size
from train.recipes.config import Sharding


@dataclass(frozen=True)
class Engaged:
    """What was found on the model that is about to train.

    stage: of ZeRO, 0 without DeepSpeed. parameters: tensors whose weights are divided over the processes (ZeRO-3,
    FSDP2). states: values whose master copy and moments this process holds; learning: values that learn in all.
    """

    kind: Sharding
    processes: int
    stage: int
    parameters: int
    states: int
    learning: int

    def told(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)

    def __str__(self) -> str:
        divided = f"{self.parameters} sharded parameters, " if self.parameters else ""
        return (
            f"{self.kind} over {self.processes} processes: {divided}optimizer states of {self.states:,} of"
            f" {self.learning:,} values in this one"
        )


def engaged(kind: Sharding, model: nn.Module) -> Engaged:
    """Count on a prepared model: DeepSpeed's engine, what `fully_shard` made, or a plain or DDP model."""
    engine: Any = model  # DeepSpeed's engine is a module with methods of its own
    stage = int(engine.zero_optimization_stage()) if hasattr(model, "zero_optimization_stage") else 0
    learning = [p for p in model.parameters() if p.requires_grad]
    whole = sum(_whole(p) for p in learning)
    if stage:
        divided = [p for p in model.parameters() if hasattr(p, "ds_tensor")]
        held = sum(t.numel() for t in _masters(model.optimizer))
        return Engaged(kind, world_size(), stage, len(divided), held, whole)
    divided = [
        p for p in model.parameters() if isinstance(p, DTensor) and any(x.is_shard() for x in p.placements)
    ]
    held = sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in learning)
    return Engaged(kind, world_size(), 0, len(divided), held, whole)


def require(kind: Sharding, model: nn.Module) -> Engaged:
    """Count, and raise ShardingError unless the model is sharded as the recipe says.

    One process alone has nothing to divide with: a sharded recipe is refused there too.
    """
    found = engaged(kind, model)
    wanted = int(kind[-1]) if kind.startswith("zero") else 0
    wrong = ""
    if found.stage != wanted:
        wrong = f"DeepSpeed runs at ZeRO stage {found.stage}" if found.stage else "DeepSpeed is not on"
    elif kind in ("zero3", "fsdp2") and not found.parameters:
        wrong = "0 sharded parameters"
    elif kind != "none" and found.processes < 2:
        wrong = "one process alone"
    elif kind != "none" and found.states > 1.5 * found.learning / found.processes + 4096:
        wrong = f"optimizer states of {found.states:,} of {found.learning:,} values in one process"
    if wrong:
        raise ShardingError(
            f"the recipe asks for {kind} and it did not come about: {wrong}. Start it through torchrun with several"
            " processes (train/launch/torchrun.sh), or give --sharding none"
        )
    return found


def join_deepspeed_on_cpu() -> None:
    """Process group of a DeepSpeed run without cards: gloo, which accelerate does not choose by itself.

    Left alone, accelerate believes that there is one process and shards nothing. Raises ShardingError when it still
    does not see DeepSpeed and every process.
    """
    from accelerate import PartialState  # type: ignore[import-untyped]
    from accelerate.utils import DistributedType  # type: ignore[import-untyped]

    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    os.environ["ACCELERATE_TORCH_DEVICE"] = os.environ["DS_ACCELERATOR"] = "cpu"
    state = PartialState(backend="gloo")
    if state.distributed_type != DistributedType.DEEPSPEED or state.num_processes != world_size():
        raise ShardingError(f"DeepSpeed did not start over {world_size()} processes: {state!r}")


def join_fsdp_on_cpu() -> None:
    """Process group of an FSDP2 run without cards: gloo. accelerate shards over cards alone, on CPUs it is plain DDP.

    Told that the group is one of cards it goes its way of cards: torch's `fully_shard` over this group. `require`
    counts whether it did. Raises ShardingError when there is only one process.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    state = PartialState(cpu=True, backend="gloo")
    if state.num_processes != world_size() or world_size() < 2:
        raise ShardingError(
            f"FSDP2 needs several processes; {state.num_processes} of {world_size()} are there"
        )
    state._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def _whole(parameter: nn.Parameter) -> int:
    """Values of a parameter over all processes."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def _masters(optimizer: Any) -> Iterator[torch.Tensor]:
    """This process's part of DeepSpeed's fp32 master weights, whatever the stage calls it."""
    for name in (
        "single_partition_of_fp32_groups",
        "fp32_partitioned_groups_flat",
        "fp32_groups_flat_partition",
    ):
        if parts := getattr(optimizer, name, None):
            yield from parts
            return
