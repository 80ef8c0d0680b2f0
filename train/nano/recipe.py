"""The nano recipe: which stage runs with which numbers, in the paper's order. Version 1 continues from here."""

from __future__ import annotations

from dataclasses import replace

from train.nano.heal import HealConfig
from train.nano.tune import TuneConfig
from train.nano.warm import WarmConfig

TRAIN_VIEWS = 6000  # augmented views cached for the warm start and the auxiliary loss


# what instruct had learnt (thumbnails) makes room for what it had not (MR sequence and plane, chest findings)
MIXED_MIXTURE = {
    "mednist": 0.09,
    "cxr_nih": 0.27,
    "mr_slices": 0.28,
    "ct_slices": 0.13,
    "vqa_rad": 0.10,
    "us_pocus": 0.07,
    "bccd": 0.03,
    "endo_lap": 0.02,
    "fundus_berens": 0.01,
}


def heal_config(seconds: float | None = None) -> HealConfig:
    return HealConfig(seconds=seconds or HealConfig.seconds)


def warm_config() -> WarmConfig:
    return WarmConfig()


def align_config(seconds: float | None = None) -> TuneConfig:
    """Stage 1: language model frozen, captions."""
    return TuneConfig("align", seconds or 150.0, 1e-3, None, captions_only=True, general=0)


def instruct_config(seconds: float | None = None) -> TuneConfig:
    """Stage 2: projector and LoRA on 2D questions."""
    return TuneConfig("instruct", seconds or 1800.0, 5e-4, 4e-4, floor=0.3)


def mixed_config(seconds: float | None = None) -> TuneConfig:
    """Stage 3: volumes and clips join, pruning on at 0 / 0.1 / 0.3."""
    first = instruct_config()
    return replace(
        first,
        name="mixed",
        seconds=seconds or 2450.0,
        lr_projector=2.5e-4,
        lr_lora=2.5e-4,
        stills=6,
        sequences=2,
        floor=0.03,
        refusals=0.06,
        mixture=MIXED_MIXTURE,
    )
