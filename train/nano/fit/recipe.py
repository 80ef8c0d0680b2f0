"""The nano recipe: which stage runs with which numbers, in the paper's order.

Version 1: the mixed stage in three legs (``mixed``, ``polish``, ``refine``) with ``adapt`` after the first, where the
last encoder blocks learn; the mean of the last two legs (``blend``) goes through two more (``forms``, ``texts``), and
a fifth of what it was is kept in what ships (``settle``). ``gate`` (tried, not shipped): types of answer that failed
the ship rule are declined.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from train.nano.fit.adaptation import AdaptConfig
from train.nano.fit.distillation import HealConfig
from train.nano.fit.tuning import TuneConfig
from train.nano.fit.warm_start import WarmConfig

TRAIN_VIEWS = 6000  # augmented views cached for the warm start and the auxiliary loss
SETTLE_SHARE = 0.8  # of ``texts``, the rest of ``blend``: chosen on development pictures (docs/log.md)

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
    """The encoder: distillation, for so many seconds."""
    return HealConfig(seconds=seconds or HealConfig.seconds)


def warm_config() -> WarmConfig:
    """The projector's start."""
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


# every ultrasound is not a lung, nor every CT a trunk: the few other stills come often enough to be noticed
POLISH_MIXTURE = {
    "mednist": 0.08,
    "cxr_nih": 0.25,
    "mr_slices": 0.27,
    "ct_slices": 0.13,
    "vqa_rad": 0.10,
    "us_pocus": 0.07,
    "pydicom_data": 0.04,
    "bccd": 0.03,
    "endo_lap": 0.02,
    "fundus_berens": 0.01,
}


def adapt_config() -> AdaptConfig:
    """The last encoder blocks, between the legs of stage 3."""
    return AdaptConfig(mixture=POLISH_MIXTURE)


def polish_config(seconds: float | None = None) -> TuneConfig:
    """Stage 3, second leg: the adapted encoder, follow-up questions, plain questions with a picture open."""
    return replace(
        mixed_config(),
        name="polish",
        seconds=seconds or 3300.0,
        lr_projector=3e-4,
        lr_lora=3e-4,
        word_batch=0,
        follow_ups=0.12,
        general_on_studies=0.25,
        refusals=0.05,
        mixture=POLISH_MIXTURE,
    )


# chest X-rays and MR once more: view, state and plane were the weakest in unseen wordings
REFINE_MIXTURE = POLISH_MIXTURE | {"cxr_nih": 0.27, "mr_slices": 0.26, "bccd": 0.04}


def refine_config(seconds: float | None = None) -> TuneConfig:
    """Stage 3, third leg: short and careless wordings; volumes and clips in every second step."""
    return replace(
        polish_config(),
        name="refine",
        seconds=seconds or 3600.0,
        stills=8,
        sequences_every=2,
        loose=0.35,
        lr_projector=2e-4,
        lr_lora=3e-4,
        mixture=REFINE_MIXTURE,
    )


# plane and view: the MR of every patient and the one CT with three planes come more often
FORMS_MIXTURE = REFINE_MIXTURE | {
    "mr_slices": 0.34,
    "ct_slices": 0.16,
    "cxr_nih": 0.24,
    "mednist": 0.06,
    "us_pocus": 0.06,
}


def forms_config(seconds: float | None = None) -> TuneConfig:
    """Stage 3, fourth leg: plane and view in every form of answer side by side."""
    return replace(
        refine_config(),
        name="forms",
        seconds=seconds or 3000.0,
        lr_projector=1e-4,
        lr_lora=2.5e-4,
        every_form=("plane", "view"),
        mixture=FORMS_MIXTURE,
    )


def texts_config(seconds: float | None = None) -> TuneConfig:
    """Stage 3, fifth leg: questions in other people's words, captions to read."""
    return replace(
        forms_config(),
        name="texts",
        seconds=seconds or 1200.0,
        lr_projector=5e-5,
        lr_lora=1.2e-4,
        reworded=0.4,
        captions=4,
    )


def gate_config(scores: Path, seconds: float | None = None) -> TuneConfig:
    """What failed the ship rule in ``scores`` (scores.json of the evaluation before) is declined from now on."""
    return replace(
        polish_config(),
        name="gate",
        seconds=seconds or 420.0,
        lr_projector=1e-4,
        lr_lora=1.5e-4,
        silent={kind: tuple(tasks) for kind, tasks in json.loads(scores.read_text())["silent"].items()},
    )
