"""One weight of this process becomes NaN before a step, once: what a fault of memory or of a kernel leaves behind.

Read through `sitecustomize` by the one start of a rehearsal that asks for it (`faults.poisoned`), by no other.
"""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from torch.distributed.tensor import DTensor


def put() -> None:
    """Have the trainer's next stage of that name poisoned at its step."""
    from train.loop.trainer import RecipeTrainer

    stage, step = json.loads(os.environ["REHEARSAL_POISON"])
    whole = RecipeTrainer.training_step

    def training_step(self: RecipeTrainer, model: torch.nn.Module, *rest: Any, **named: Any) -> torch.Tensor:
        if self.stage.name == stage and self.state.global_step == step:
            parameter = next(p for p in model.parameters() if p.requires_grad)
            local = parameter.to_local() if isinstance(parameter, DTensor) else parameter
            local.detach().view(-1)[0] = float("nan")
        return whole(self, model, *rest, **named)

    RecipeTrainer.training_step = training_step  # type: ignore[method-assign]
