"""Recipe → transformers' TrainingArguments, and the sharding settings that ship as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from train.loop.sharding import join_deepspeed_on_cpu, join_fsdp_on_cpu
from train.recipes.config import Sharding, Stage, TrainConfig

LAUNCH = Path(__file__).resolve().parents[1] / "launch"


def settings(sharding: Sharding, offload: bool = False) -> dict[str, Any]:
    """The JSON of `train/launch` for a kind of sharding; empty for none."""
    if sharding == "none":
        return {}
    name = (
        "fsdp2.json" if sharding == "fsdp2" else f"deepspeed_{sharding}{'_offload' if offload else ''}.json"
    )
    path = LAUNCH / name
    if not path.is_file():
        raise ValueError(f"there are no settings for {sharding} with offload={offload}")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def arguments(
    config: TrainConfig,
    stage: Stage,
    steps: int,
    accumulation: int,
    folder: Path,
    workers: int = 0,
    validated: bool = True,
) -> TrainingArguments:
    """Arguments of one stage. accumulation: passes of a process in one step; validated: there are held-out samples.

    Raises ShardingError when the sharding cannot come about.
    """
    half = config.precision == "bf16"
    cuda = torch.cuda.is_available()
    extra: dict[str, Any] = {}
    if config.sharding == "fsdp2":
        extra = {"fsdp": True, "fsdp_config": settings("fsdp2")}
        if not cuda:
            join_fsdp_on_cpu()
    elif config.sharding != "none":
        extra = {"deepspeed": settings(config.sharding, config.offload)}
        if not cuda:
            join_deepspeed_on_cpu()
    if extra and not cuda:  # joined already; nothing may be made anew: `use_cpu` would switch DeepSpeed off
        extra["accelerator_config"] = {"use_configured_state": True}
    tracker: list[str] = [] if config.tracker == "none" else [config.tracker]
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=accumulation,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(stage.warmup_ratio * steps),
        weight_decay=stage.weight_decay,
        max_grad_norm=stage.max_grad_norm,
        bf16=half,
        tf32=True if cuda else None,
        use_cpu=not cuda,
        gradient_checkpointing=config.activation_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if config.activation_checkpointing else None,
        average_tokens_across_devices=True,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=config.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=config.keep_checkpoints,
        eval_strategy="steps" if validated else "no",
        eval_steps=config.validate_every,
        metric_for_best_model="loss" if validated else None,
        greater_is_better=False if validated else None,
        report_to=tracker,
        run_name=f"{config.name}-{stage.name}",
        remove_unused_columns=False,
        dataloader_num_workers=workers,
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
        **extra,
    )
