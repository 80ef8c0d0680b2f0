"""An editing expert learns its task: from the given picture to the wanted one, in one step.

Where all of a picture changes the loss is the logarithm of its mean squared error, which is what PSNR measures: a
picture that is nearly right counts as much as one that is far off. Where one place in a hundred changes, doing nothing
is nearly right, and so an editor never leaves it (docs/log.md); there the changed place has a share of the loss of its
own, half at first and less later, when it has been found and its edge matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnivmed.generation.config import EditorConfig
from omnivmed.generation.editor import Editor
from train.draw.data.pictures import Pictures
from train.draw.data.prompts import PromptBook
from train.draw.data.teaching import Teacher
from train.draw.fit.decoder import to_tensor
from train.loop.fit import Every, Learner, Loss, Schedule, fit

LOG_EVERY, SAVE_EVERY = 20, 50
FLOOR = 1e-5
"""Mean squared error, in units of [-1, 1], below which better hardly counts."""
LEAST = 3 / 127.5
"""Of a wanted change that belongs to the changed place."""


@dataclass(frozen=True)
class EditorLegConfig:
    """One leg of one editor. drop_text: share of examples without a prompt; ema: largest decay of the average.

    share: of the changed place in a counterfactual's loss: at first, at least, and steps in which it halves.
    """

    task: str = "super_resolution"
    editor: EditorConfig = field(default_factory=EditorConfig)
    seconds: float | None = 600.0
    steps: int | None = None
    batch: int = 24
    lr: float = 1e-3
    floor: float = 0.02
    warmup: int = 30
    drop_text: float = 0.02
    ema: float = 0.995
    share: tuple[float, float, float] = (0.5, 0.1, 250.0)
    seed: int = 21
    bfloat16: bool = True


def batch_loss(
    editor: Editor, teacher: Teacher, book: PromptBook, config: EditorLegConfig, step: int
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a step, and for the log the mean of PSNR gained over `given` where there is something to change."""
    rng = np.random.default_rng((config.seed, step))
    lesson = teacher.lesson(rng, config.batch)
    rows = np.array([book.place[text] for text in lesson.texts])
    rows[rng.random(len(rows)) < config.drop_text] = book.place[""]
    given, wanted = to_tensor(lesson.given), to_tensor(lesson.wanted)
    given = given.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
        added = editor(given, book.batch(rows))
    errors = (given + added.float() - wanted).square()
    whole = errors.flatten(1).mean(1) + FLOOR
    before = (given - wanted).square().flatten(1).mean(1) + FLOOR
    gain = (10 / np.log(10)) * (before.log() - whole.detach().log())
    if config.task == "counterfactual":
        first, last, half = config.share
        loss = placed_loss(errors, (given - wanted).abs() > LEAST, max(last, first * 0.5 ** (step / half)))
        moved = before > 2 * FLOOR
        told = {"gain": float(gain[moved].mean())} if bool(moved.any()) else {}
    else:
        loss, told = whole.log().mean(), {"gain": float(gain.mean())}
    return loss, {"loss": float(loss.detach()), **told}


def placed_loss(errors: Tensor, changed: Tensor, share: float) -> Tensor:
    """Mean of squared errors (B, 3, S, S) in which the changed place (bool) of every picture has this share."""
    inside = changed.float()
    some = inside.flatten(1).mean(1)
    of_inside = (errors * inside).flatten(1).mean(1) / some.clamp_min(1e-6)
    outside = (errors * (1 - inside)).flatten(1).mean(1) / (1 - some).clamp_min(1e-6)
    held = torch.where(some > 0, share, 0.0)
    return (held * of_inside + (1 - held) * outside).mean() * 10


def train_editor(
    pictures: Pictures,
    book: PromptBook,
    folder: Path,
    config: EditorLegConfig,
    begin: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """One leg, run or resumed; returns weights and their average (``ema.``). begin: what an earlier leg returned."""
    torch.manual_seed(config.seed)
    editor = Editor(config.editor).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    teacher = Teacher(pictures, config.task)
    editor.fit_prefix(book.batch(np.arange(0, len(book.texts), max(1, len(book.texts) // 512))))
    average = {name: p.detach().clone() for name, p in editor.named_parameters()}

    def state() -> dict[str, Tensor]:
        return {**editor.state_dict(), **{f"ema.{name}": value for name, value in average.items()}}

    def load(tensors: dict[str, Tensor]) -> None:
        editor.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("ema.")})
        for name in average:
            average[name].copy_(tensors[f"ema.{name}"])

    if begin is not None:
        load(begin)

    def losses(step: int) -> Iterator[Loss]:
        decay = min(config.ema, (1 + step) / (10 + step))
        for name, p in editor.named_parameters():
            average[name].lerp_(p.detach(), 1 - decay)
        yield batch_loss(editor, teacher, book, config, step)

    learner = Learner([{"params": list(editor.parameters()), "base": config.lr}], state, load, losses)
    schedule = Schedule(config.steps, config.seconds, config.warmup, config.floor)
    return fit(
        learner,
        schedule,
        folder,
        asdict(config),
        betas=(0.9, 0.99),
        every=Every(log=LOG_EVERY, save=SAVE_EVERY),
    )
