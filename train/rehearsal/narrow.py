"""The same recipe at shrunk widths: phantoms in the paper's mixture, the tiny model, everything else as it stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from train.data import phantoms
from train.recipes import recipe
from train.recipes.config import ModelSpec, Sharding, Stage, TrainConfig

STILLS, VOLUMES, CLIPS = 480, 200, 80
"""Of 760 rows 57 % are stills, 6 % text, 26 % volumes, 11 % clips: `wide.SHARES` at this size."""
SHARE_OF_STEPS = {"align": 0.3, "instruct": 0.35, "mixed": 0.35}
BATCH = 8
DAMAGED = "images/0007.png"
"""A picture that is cut off from the beginning, so that both runs have to leave it out."""


def narrow(name: str, steps: int, sharding: Sharding) -> TrainConfig:
    """The recipe `name` with the tiny model on phantoms, over so many steps in all stages together.

    What stays: precision, activation checkpointing, filled passes, chunks of the loss, stages and what each trains.
    """
    whole, small = recipe(name), recipe("tiny")
    stages = tuple(_stage(stage, small.stage(stage.name), steps) for stage in whole.stages)
    return replace(
        whole,
        name=f"{name}_narrow",
        model=ModelSpec("tiny", "random"),
        stages=stages,
        sharding=sharding,
        token_budget=768,
        patch_budget=4_096,
        max_skip_rate=0.01,
        validate=0.05,
        validate_every=max(10, steps // 10),
        save_every=max(3, steps // 40),
        log_every=1,
        tracker="none",
    )


def _stage(stage: Stage, small: Stage, steps: int) -> Stage:
    return replace(
        stage,
        sources=tuple(replace(source, weight=1.0) for source in small.sources),
        samples=STILLS + VOLUMES + CLIPS,
        rates=small.rates,
        global_batch=BATCH,
        max_length=small.max_length,
        vision=small.vision,
        steps=max(6, round(SHARE_OF_STEPS[stage.name] * steps)),
        mean_tokens=small.mean_tokens,
    )


def write(folder: Path) -> None:
    """The phantoms of `narrow`, once."""
    if (folder / "phantoms" / "clips.jsonl").is_file():
        return
    phantoms.write(folder / "phantoms", 7, STILLS, VOLUMES, CLIPS)
    picture = folder / "phantoms" / DAMAGED
    picture.write_bytes(picture.read_bytes()[:200])
