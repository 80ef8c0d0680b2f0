"""The expert learns to draw and to change pictures: rectified flow on cached latents and cached prefixes.

Everything a step sees is a pure function of its number, so a run goes on as if it had not been stopped, for any number
of legs. The average of the weights (EMA) is part of what is saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnivmed.generation import flow
from omnivmed.generation.config import ExpertConfig
from omnivmed.generation.expert import Expert
from train.draw.data.balance import Balance
from train.draw.data.latents import Latents
from train.draw.data.pictures import Pictures
from train.draw.data.prompts import PromptBook, prompts_of
from train.loop.fit import Every, Learner, Loss, Schedule, fit

NANO_LAYERS = (1, 5, 9, 13, 17, 21, 25, 29)
LOG_EVERY, SAVE_EVERY = 20, 100
SHARES = {"draw": 0.62, "sharpen": 0.12, "translate": 0.09, "insert": 0.07, "remove": 0.08, "keep": 0.02}
"""Of the examples of a step."""


@dataclass(frozen=True)
class ExpertLegConfig:
    """One leg. drop_text, drop_image: share of examples without prompt, without condition, for guidance.

    mean, spread: of the normal behind the times. start: share of edits that begin at t = 1, where the estimate is the
    mean of all answers and few steps are enough. ema: largest decay of the average of the weights.
    """

    expert: ExpertConfig = field(default_factory=lambda: ExpertConfig(NANO_LAYERS))
    seconds: float | None = 3600.0
    steps: int | None = None
    batch: int = 48
    lr: float = 8e-4
    floor: float = 0.1
    warmup: int = 100
    drop_text: float = 0.1
    drop_image: float = 0.05
    mean: float = 0.3
    spread: float = 1.1
    start: float = 0.25
    ema: float = 0.999
    seed: int = 7
    bfloat16: bool = True


class Teaching:
    """Pictures, prompts and their balance, ready to be drawn from."""

    def __init__(self, pictures: Pictures, latents: Latents, book: PromptBook) -> None:
        self.latents, self.book = latents, book
        by_task: dict[str, list[int]] = {}
        self.prompts: list[np.ndarray] = []
        known: dict[tuple[str, ...], np.ndarray] = {}
        keys: dict[int, tuple[str, ...]] = {}
        for i, example in enumerate(latents.examples):
            texts = tuple(prompts_of(example, pictures))
            if texts not in known:
                known[texts] = np.array([book.place[text] for text in texts], dtype=int)
            self.prompts.append(known[texts])
            if len(texts):
                by_task.setdefault(example.task, []).append(i)
                row = pictures.rows[example.place]
                keys[i] = (
                    row.subject,
                    row.source,
                    row.plane,
                    row.labels.get("sequence", ""),
                    row.labels.get("window", ""),
                    *example.words,
                )
        self.balances = {
            task: Balance(np.array(members), [keys[i] for i in members])
            for task, members in sorted(by_task.items())
        }
        shares = np.array([SHARES[task] for task in self.balances])
        self.tasks, self.shares = list(self.balances), shares / shares.sum()

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Numbers of ``count`` examples."""
        tasks = rng.choice(len(self.tasks), size=count, p=self.shares)
        return np.array([int(self.balances[self.tasks[t]].draw(rng, 1)[0]) for t in tasks])


def batch_loss(
    expert: Expert, teaching: Teaching, config: ExpertLegConfig, step: int
) -> tuple[Tensor, dict[str, float]]:
    """Mean squared error of the velocity over one step's examples, and it by kind for the log."""
    rng = np.random.default_rng((config.seed, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    numbers = teaching.draw(rng, config.batch)
    chosen = [teaching.latents.examples[i] for i in numbers]
    x0 = torch.from_numpy(teaching.latents.values[[e.target for e in chosen]]).float()
    condition = torch.from_numpy(teaching.latents.values[[e.condition for e in chosen]]).float()
    edits = torch.tensor([e.condition >= 0 for e in chosen])
    known = edits & (torch.rand(len(edits), generator=generator) >= config.drop_image)
    texts = np.array([rng.choice(teaching.prompts[i]) for i in numbers])
    texts[rng.random(len(texts)) < config.drop_text] = teaching.book.place[""]
    t = flow.sample_times(len(x0), generator, config.mean, config.spread)
    t = torch.where(edits & (torch.rand(len(t), generator=generator) < config.start), torch.ones_like(t), t)
    noise = torch.randn(x0.shape, generator=generator)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        prefix = expert.scaled(teaching.book.batch(texts))
        v = expert(flow.mix(x0, noise, t), t, prefix, condition, known)
    errors = (v - flow.velocity(x0, noise)).square().flatten(1).mean(1)
    held = errors.detach()
    numbers_out = {"loss": float(held.mean())}
    for name, rows in (("draw", ~edits), ("edit", edits)):
        if bool(rows.any()):
            numbers_out[name] = float(held[rows].mean())
    return errors.mean(), numbers_out


def train_expert(
    pictures: Pictures,
    latents: Latents,
    book: PromptBook,
    folder: Path,
    config: ExpertLegConfig,
    begin: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """One leg, run or resumed; returns weights and their average (``ema.``). begin: what an earlier leg returned."""
    torch.manual_seed(config.seed)
    expert = Expert(config.expert)
    expert.fit_prefix(book.batch(np.arange(0, len(book.texts), max(1, len(book.texts) // 256))))
    average = {name: p.detach().clone() for name, p in expert.named_parameters()}
    teaching = Teaching(pictures, latents, book)

    def state() -> dict[str, Tensor]:
        return {**expert.state_dict(), **{f"ema.{name}": value for name, value in average.items()}}

    def load(tensors: dict[str, Tensor]) -> None:
        expert.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("ema.")})
        for name in average:
            average[name].copy_(tensors[f"ema.{name}"])

    if begin is not None:
        load(begin)

    def losses(step: int) -> Iterator[Loss]:
        decay = min(config.ema, (1 + step) / (10 + step))
        for name, p in expert.named_parameters():
            average[name].lerp_(p.detach(), 1 - decay)
        yield batch_loss(expert, teaching, config, step)

    learner = Learner([{"params": list(expert.parameters()), "base": config.lr}], state, load, losses)
    schedule = Schedule(config.steps, config.seconds, config.warmup, config.floor)
    return fit(
        learner,
        schedule,
        folder,
        asdict(config),
        betas=(0.9, 0.99),
        every=Every(log=LOG_EVERY, save=SAVE_EVERY),
    )
