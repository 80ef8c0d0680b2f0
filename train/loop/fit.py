"""The one training loop of everything that is not a sharded recipe: nano's stages, the claims, what comes after them.

(Recipes over several cards go through transformers' Trainer, `train.loop.trainer`, whose loop is not ours.)

A step: the step's losses, one backward pass for each; gradients averaged over processes; clipped; AdamW at the rates
of the schedule. A batch is a pure function of the step, so a run that was stopped goes on as if it had not been:
weights, moments, step and time used are all there is to keep.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from train.loop.processes import Group
from train.loop.store import Run, finish, restore_optimizer
from train.loop.world import NotFinite

SAVE_EVERY_S = 90.0
SMOOTHING = 0.95
"""Of what is logged: share of the running mean that stays at every step."""

Loss = tuple[Tensor, dict[str, float]]
"""A scalar to go back from, and numbers to log: "loss" and "asked" add up over a step, all others are the last seen."""


@dataclass(frozen=True)
class Schedule:
    """Warm-up over ``warmup`` steps, then cosine down to ``floor`` (a share of the rate), over steps or wall time.

    Exactly one of ``steps`` and ``seconds`` is given. With seconds the run ends when they are used up, time of checks
    and of saving left out.
    """

    steps: int | None = None
    seconds: float | None = None
    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.seconds is None):
            raise ValueError("a schedule runs over steps or over seconds: give one of them")

    def done(self, step: int, used_s: float) -> float:
        """Share of the run that is over, 1 at its end."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self.seconds is not None
        return min(1.0, used_s / self.seconds)

    def rate(self, step: int, used_s: float) -> float:
        """Factor on every learning rate, 0..1."""
        shape = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * self.done(step, used_s)))
        return shape * min(1.0, (step + 1) / self.warmup) if self.warmup else shape


@dataclass(frozen=True)
class Learner:
    """What is trained, and how one step's losses come about.

    groups: learning parameters with their rate ("params", "base"). losses(step): each is gone back from as soon as it
    is there, so that only one pass is in memory. frozen(step): parameters that this step leaves alone. check: scores
    on what is not trained on.
    """

    groups: Sequence[dict[str, Any]]
    state: Callable[[], dict[str, Tensor]]
    load: Callable[[dict[str, Tensor]], object]
    losses: Callable[[int], Iterable[Loss]]
    frozen: Callable[[int], Iterable[Tensor]] = lambda step: ()
    check: Callable[[], dict[str, Any]] = dict

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Every parameter that is trained, of all groups."""
        return [p for group in self.groups for p in group["params"]]


@dataclass(frozen=True)
class Every:
    """How often something happens, in steps or seconds. ``early``: further steps that are logged.

    Without ``save`` (steps) a checkpoint is written every `SAVE_EVERY_S`; without both checks, only the end is checked.
    """

    log: int = 20
    early: tuple[int, ...] = ()
    save: int | None = None
    check: int | None = None
    check_s: float | None = None


def fit(
    learner: Learner,
    schedule: Schedule,
    folder: Path,
    config: Any,
    *,
    betas: tuple[float, float] = (0.9, 0.98),
    weight_decay: float = 0.0,
    clip: float | None = 1.0,
    every: Every | None = None,
    group: Group | None = None,
) -> dict[str, Tensor]:
    """Runs or resumes; returns the weights, which are in ``folder/final.safetensors`` then, and in the learner.

    config: written beside them as JSON. clip: largest norm of the gradient. group: this process among others; each
    makes its own share of the losses, only the first writes.

    Raises NotFinite.
    """
    every, group = every or Every(), group or Group()
    if (folder / "done.json").exists():
        state = load_file(folder / "final.safetensors")
        learner.load(state)
        return state
    run, parameters = Run(folder, config, writes=group.first), learner.parameters
    optimizer = torch.optim.AdamW(list(learner.groups), lr=1e-3, betas=betas, weight_decay=weight_decay)
    step, used, asked = 0, 0.0, 0
    if (saved := run.load()) is not None:
        facts, weights, moments = saved
        step, used, asked = facts["step"], facts["used_s"], facts["asked"]
        learner.load(weights)
        restore_optimizer(optimizer, moments)
    clock = last_save = last_check = time.monotonic()
    average: dict[str, float] = {}
    while schedule.done(step, used) < 1.0:
        for part in optimizer.param_groups:
            part["lr"] = part["base"] * schedule.rate(step, used)
        optimizer.zero_grad(set_to_none=True)
        values = {"loss": 0.0, "asked": 0.0}
        for loss, numbers in learner.losses(step):
            loss.backward()
            values |= {k: v + values[k] if k in ("loss", "asked") else v for k, v in numbers.items()}
        for parameter in learner.frozen(step):
            parameter.grad = None
        values["loss"], counted = group.average(parameters, [values["loss"], values.pop("asked")])
        if not math.isfinite(values["loss"]):
            raise NotFinite(f"the loss is {values['loss']} at step {step}; the last checkpoint is before it")
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        step, asked = step + 1, asked + round(counted * group.size)
        average |= {k: SMOOTHING * average.get(k, v) + (1 - SMOOTHING) * v for k, v in values.items()}
        now = time.monotonic()
        used, clock = group.same(used + now - clock), now
        if not group.first:
            continue
        told = {"step": step, "used_s": round(used), "asked": asked}
        if step % every.log == 0 or step in every.early:
            run.log(**told, **{k: round(v, 4) for k, v in average.items()})
        if _due(every.check, every.check_s, step, now - last_check):
            run.log(**told, **learner.check())
            last_check = clock = time.monotonic()
        if (
            _due(every.save, None if every.save else SAVE_EVERY_S, step, now - last_save)
            and schedule.done(step, used) < 1.0
        ):
            run.save(step, learner.state(), optimizer, used_s=used, asked=asked)
            last_save = clock = time.monotonic()
    if group.first:
        result = learner.check()
        run.log(step=step, used_s=round(used), asked=asked, **result)
        finish(folder, learner.state(), step=step, used_s=used, asked=asked, **result)
    return {k: v.detach().clone() for k, v in learner.state().items()}


def _due(steps: int | None, seconds: float | None, step: int, passed_s: float) -> bool:
    return (steps is not None and step % steps == 0) or (seconds is not None and passed_s > seconds)
