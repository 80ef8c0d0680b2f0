"""A recipe from data folder to model folder: stage after stage, each resumable, each with its own run folder.

RUN/config.json          the recipe, enough to run it again
RUN/<stage>/             checkpoints, metrics.jsonl, loss.svg, generations.jsonl, dropped.jsonl, skipped.jsonl, rows/, …
RUN/<stage>/final/       the model after the stage: format omnivmed/1, the app and the next stage read it
"""

from __future__ import annotations

import fcntl
import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerFast

from omnivmed.model.upstream import is_flash_attn_2_available
from omnivmed.records import Sample
from train.data.dataset import Encoder, PassDataset
from train.data.samples import held_out, manifest_hash
from train.data.skips import SkipLog
from train.data.sources import read_source
from train.loop import generations
from train.loop.arguments import arguments
from train.loop.build import Built, build, load, load_tokenizer, shard_encoder_whole, tokenizer_of
from train.loop.loader import StageData, open_stage, plan_of
from train.loop.parts import add_adapters, freeze
from train.loop.sharding import require
from train.loop.trainer import RecipeTrainer, written
from train.loop.world import rank, world_size
from train.recipes.config import Stage, TrainConfig

SHOWN = 8
"""Held-out samples whose answers are written after a stage."""


def run(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    stages: tuple[str, ...] = (),
    workers: int = 0,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Run the stages that are not finished yet; returns the last model folder.

    A stage with checkpoints is resumed from the newest one. stop_after: end after so many steps in all of the
    stage, as if interrupted (for tests). Raises ValueError when `out` holds another recipe, for a stage that the
    recipe does not have, when another process trains in `out`, and when the stage before the first one asked for is not
    finished.
    """
    for name in stages:
        config.stage(name)
    _claim(out, config)
    with _alone(out):
        return _stages(config, data, out, stages, workers, stop_after, say)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Held while the first process trains in a run folder. Raises ValueError when another one does.

    A launcher that was killed leaves its processes behind: they train on, and would write between the new ones. The
    lock is on config.json, and goes with the process that holds it.
    """
    if rank() != 0:
        yield
        return
    with (out / "config.json").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process trains in {out.name}/: wait, or end it (a killed launcher leaves its own behind)"
            ) from None
        yield


def _stages(
    config: TrainConfig,
    data: Path,
    out: Path,
    stages: tuple[str, ...],
    workers: int,
    stop_after: int | None,
    say: Callable[[str], None],
) -> Path:
    previous: Path | None = None
    missing: str | None = None
    for stage in config.stages:
        folder = out / stage.name / "final"
        if (folder / "manifest.json").is_file():
            previous, missing = folder, None
            continue
        if stages and stage.name not in stages:
            missing = stage.name
            continue
        if missing is not None:
            raise ValueError(
                f"{stage.name} starts from what {missing} leaves, and {out.name}/{missing}/final is not there: run"
                f" --stage {missing} first"
            )
        done = run_stage(config, stage, data, out / stage.name, previous, workers, stop_after, say)
        if not done:
            return out / stage.name
        previous = folder
    return previous or out


def run_stage(
    config: TrainConfig,
    stage: Stage,
    data: Path,
    folder: Path,
    start: Path | None,
    workers: int = 0,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
) -> bool:
    """One stage into `folder`; False when it was stopped before its end.

    Raises TooManyBadSamples, NotFinite, ShardingError; LayoutError when a source gives no samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in stage.sources:
        if not (data / source.path).exists():
            read_source(source, data, config.seed)  # says what to fetch, before anything large is read
    found = open_stage(config, stage, data, folder, _tokenizer(config, data, start))
    training, validation, told = found.training, found.validation, found.told
    for line in told.lines:
        say(line)
    told.check(config.max_skip_rate)
    rows = told.samples + told.bad
    skips = SkipLog(config.max_skip_rate, folder / "skipped.jsonl", rows, told.bad, first=rank() == 0)
    built = _start(config, data, start)
    built.model.loss_chunk_tokens = config.loss_chunk
    model: torch.nn.Module = built.model
    if config.lora is not None and stage.rates.llm is not None:
        model = add_adapters(built.model, config.lora, config.seed)
    learning = freeze(model, stage.rates)
    if config.sharding == "zero3":
        shard_encoder_whole(model)
    if config.sharding == "none":
        keep_learning_weights_in_fp32(model)
    packed = config.packing == "auto" and has_varlen_kernel()
    if packed:
        built.model.set_attn_implementation("flash_attention_2")
    encoder = Encoder(built.tokenizer, built.placeholders, built.pad_id, stage, packed)
    plan, steps, large = plan_of(config, stage, found, packed)
    skips.lose((training[place].id, reason) for place, reason in large.items())
    accumulation = plan.slots // world_size()
    passes = PassDataset(training, plan, encoder, steps, rank(), world_size())
    trainer = RecipeTrainer(
        model,
        arguments(config, stage, steps, accumulation, folder, workers, validated=bool(validation)),
        stage,
        passes,
        validation,
        encoder,
        built.tokenizer,
        skips,
        {"recipe": config.name, "stage": stage.name, "fingerprint": config.fingerprint},
    )
    manifest = _manifest(config, stage, found, learning, steps)

    def begin() -> None:
        sharded = require(config.sharding, trainer.model_wrapped)
        if rank() == 0:
            values = {**manifest, "sharding": sharded.told()}
            (folder / "run.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
            if config.sharding != "none":
                say(f"{stage.name}: {sharded}")

    trainer.add_callback(_AtBegin(begin))
    resume = trainer.whole_checkpoint(say)
    lost = f", {skips.skipped} bad ones left out (skipped.jsonl)" if skips.skipped else ""
    say(
        f"{stage.name}: {steps} steps of {plan.slots} passes, {len(training)} samples{lost},"
        f" {sum(learning.values()):,} parameters learn"
    )
    if resume is not None:
        say(f"{stage.name}: resuming from {resume.name}")
    if stop_after is not None and stop_after < steps:
        trainer.add_callback(_StopAt(stop_after))
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    if trainer.state.global_step < steps:
        return False
    with written(folder / "final"):
        trainer.save_model(str(folder / "final"))
    if rank() == 0 and config.sharding == "none" and config.lora is None:
        shown = [s for s in validation if len(s.media.paths) < 2 or s.media.kind != "image"][:SHOWN]
        share, unread = generations.write(built, encoder, shown, folder, steps)
        skips.note(unread)
        say(f"{stage.name}: {100 * share:.0f} % of {len(shown) - len(unread)} held-out answers word for word")
    trainer.accelerator.wait_for_everyone()  # the next stage reads what the first process has just written
    return True


@dataclass(frozen=True)
class Found:
    """What the sources of a stage hold, in memory: for sets that are small.

    training: samples of all sources end to end, `sizes` by source. hashes: by "reader:path:split".
    """

    training: list[Sample]
    validation: list[Sample]
    sizes: list[int]
    hashes: dict[str, str]


def read_data(config: TrainConfig, stage: Stage, data: Path) -> Found:
    """Read every source of a stage. Raises LayoutError for a source without a usable sample."""
    out = Found([], [], [], {})
    for source in stage.sources:
        found = read_source(source, data, config.seed)
        kept = [s for s in found.samples if not held_out(s.id, config.validate)]
        out.training.extend(kept)
        out.validation.extend(s for s in found.samples if held_out(s.id, config.validate))
        out.sizes.append(len(kept))
        out.hashes[f"{source.reader}:{source.path}:{source.split}"] = manifest_hash(found.samples)
    return out


def keep_learning_weights_in_fp32(model: torch.nn.Module) -> None:
    """Where no sharding library keeps a master copy, what learns is kept in fp32 itself; passes run in bf16.

    A step of 1e-5 on a bf16 weight would mostly be rounded away.
    """
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()


def has_varlen_kernel() -> bool:
    """Whether a flash-attention kernel with sequence borders is there; only then are samples packed."""
    return torch.cuda.is_available() and is_flash_attn_2_available()


def _start(config: TrainConfig, data: Path, start: Path | None) -> Built:
    if start is not None:
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        return load(start, dtype)
    return build(config, _texts(config, data))


def _tokenizer(config: TrainConfig, data: Path, start: Path | None) -> PreTrainedTokenizerFast:
    """The one that `_start` gives, before the weights are read."""
    return tokenizer_of(config, _texts(config, data)) if start is None else load_tokenizer(start)


def _texts(config: TrainConfig, data: Path) -> list[str]:
    """What the tokenizer of a model that starts at random is made from."""
    if config.model.start != "random":
        return []
    samples = [sample for stage in config.stages for sample in read_data(config, stage, data).training]
    return [text for sample in samples for turn in sample.turns for text in turn]


def _claim(out: Path, config: TrainConfig) -> None:
    path = out / "config.json"
    if path.is_file():
        if TrainConfig.load(path) != config:
            raise ValueError(f"{out.name}/ holds a run of another recipe; choose another folder or remove it")
        return
    if rank() == 0:
        out.mkdir(parents=True, exist_ok=True)
        draft = out / "config.part"
        draft.write_text(config.to_json(), encoding="utf-8")
        draft.replace(path)  # whole or not there: other processes look at it too


def _manifest(
    config: TrainConfig, stage: Stage, found: StageData, learning: dict[str, int], steps: int
) -> dict[str, Any]:
    return {
        "recipe": config.name,
        "stage": stage.name,
        "fingerprint": config.fingerprint,
        "data": found.hashes,
        "learning": learning,
        "steps": steps,
        "held_out": len(found.validation),
        "processes": world_size(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "revision": _revision(),
    }


def _revision() -> str:
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


class _AtBegin(transformers.TrainerCallback):
    """Calls when the model is wrapped and sharded, before the first step."""

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin

    def on_train_begin(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **kwargs: Any,
    ) -> None:
        self.begin()


class _StopAt(transformers.TrainerCallback):
    """Ends training after a step, the way a time limit does: saved, not finished."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **kwargs: object,
    ) -> None:
        if state.global_step >= self.step:
            control.should_save = True
            control.should_training_stop = True
