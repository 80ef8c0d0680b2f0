"""From noise to latents, step by step: prompts are read once, every step costs the expert alone.

Shapes: B pictures; C latent channels; g cells of an edge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from omnivmed.generation import flow
from omnivmed.generation.expert import Expert
from omnivmed.generation.prefix import Prefix, stack


@dataclass(frozen=True)
class Settings:
    """How latents are drawn.

    steps: of Euler's method. cfg_text, cfg_image: guidance by the prompt and by the given picture, 1 = none.
    cfg_interval: times at which there is guidance. shift: above 1 more steps are spent near noise.
    """

    steps: int = 25
    cfg_text: float = 4.0
    cfg_image: float = 1.5
    cfg_interval: tuple[float, float] = (0.4, 1.0)
    renorm: flow.Renorm = "global"
    shift: float = 3.0


class Branches:
    """The estimates that one guided step needs, in one forward: whole, without text, without image."""

    def __init__(
        self, expert: Expert, prompt: Prefix, empty: Prefix, condition: Tensor | None, settings: Settings
    ) -> None:
        self.expert, self.settings = expert, settings
        self.count = len(prompt)
        self.text = settings.cfg_text != 1
        self.image = condition is not None and settings.cfg_image != 1
        plain, bare = expert.scaled(prompt), expert.scaled(empty)
        conditions: list[Tensor | None] = [condition] * 3
        prefixes = [plain, bare, plain]
        if condition is not None and expert.config.condition == "tokens":
            prefixes = [expert.extended(plain, condition), expert.extended(bare, condition), plain]
            conditions = [None] * 3
        wanted = [0, *([1] if self.text else []), *([2] if self.image else [])]
        self.alone = prefixes[0]
        self.prefix = stack([prefixes[i] for i in wanted])
        self.condition, self.known = conditions[0], None
        if self.condition is not None:
            self.known = torch.tensor([i != 2 for i in wanted]).repeat_interleave(self.count)
            self.condition = self.condition.repeat(len(wanted), 1, 1, 1)

    def velocity(self, x_t: Tensor, t: float) -> Tensor:
        """The guided velocity (B, C, g, g) at time t; the plain one where there is no guidance."""
        low, high = self.settings.cfg_interval
        guided = (self.text or self.image) and low <= t <= high
        prefix = self.prefix if guided else self.alone
        rows = len(prefix)
        x = x_t.repeat(rows // self.count, 1, 1, 1)
        condition = None if self.condition is None else self.condition[:rows]
        known = None if self.known is None else self.known[:rows]
        estimates: Tensor = self.expert(x, torch.full((rows,), t, device=x.device), prefix, condition, known)
        if not guided:
            return estimates
        full, *others = estimates.split(self.count)
        without_text = others.pop(0) if self.text else None
        without_image = others.pop(0) if self.image else None
        settings = self.settings
        return flow.guide(
            full, without_text, without_image, settings.cfg_text, settings.cfg_image, settings.renorm
        )


@torch.inference_mode()
def _step(branches: Branches, x: Tensor, t: float, to: float) -> tuple[Tensor, Tensor]:
    v = branches.velocity(x, t)
    return x + (to - t) * v, flow.estimate(x, v, t)


def denoise(
    expert: Expert,
    noise: Tensor,
    prompt: Prefix,
    empty: Prefix,
    settings: Settings,
    condition: Tensor | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield (steps done, estimate of the finished latents) after every step; the last estimate is the result.

    noise: (B, C, g, g), deviation 1. prompt, empty: prefixes of B prompts, and of none. condition: latents of the
    pictures to be changed. Closing the iterator ends the work. Raises ValueError for fewer than one step.
    """
    with torch.inference_mode():
        branches = Branches(expert, prompt, empty, condition, settings)
    x, times = noise, flow.schedule(settings.steps, settings.shift)
    for number, (t, to) in enumerate(itertools.pairwise(times), 1):
        x, x0 = _step(branches, x, t, to)
        yield number, x0
