"""Recipes: functions that return a complete, frozen `TrainConfig`. The stages are data.

Learning rates, batch size and schedule are those of the nearest public scripts (VideoLLaMA3); OmniV-Med
(arXiv 2504.14692) states the data, the order of stages and which parts train, and no learning rate.
"""

from train.recipes.catalogue import RECIPES, recipe
from train.recipes.config import LoRA, ModelSpec, Rates, Source, Stage, TrainConfig

__all__ = ["RECIPES", "LoRA", "ModelSpec", "Rates", "Source", "Stage", "TrainConfig", "recipe"]
