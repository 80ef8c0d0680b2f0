"""The shared start of the training claims: healed encoder, projector after the word warm start, untouched LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from train.claims.setting import Setting
from train.nano.fit.tuning import Nano
from train.nano.fit.warm_start import WarmConfig, warm_up
from train.nano.parts.encoder import Student, student
from train.nano.parts.features import build_features
from train.nano.parts.language_model import load_language_model
from train.nano.parts.words import Projector, word_table

VIEWS = 2000
"""Cached views for the warm start and the auxiliary word loss: a minute."""
WARM_STEPS = 600
ENCODER_PREFIX = "model.vision_model."


@dataclass(frozen=True)
class Parts:
    """nano: the parts in training. start: the weights that every arm begins with."""

    nano: Nano
    start: dict[str, Tensor]


def healed_encoder(model: str) -> Student:
    """The encoder of an exported nano folder ("nano": the one that ships)."""
    from omnivmed.weights.names import resolve

    file = resolve(model).folder / "encoder_projector.safetensors"
    if not file.is_file():
        raise ValueError(f"{model} is not a nano folder: no {file.name}")
    vit = student()
    state = {
        k.removeprefix(ENCODER_PREFIX): v.float()
        for k, v in load_file(file).items()
        if k.startswith(ENCODER_PREFIX)
    }
    vit.load_state_dict(state)
    return vit


def backbone_folder(setting: Setting) -> Path:
    """The converted language model: as given, else from the cache. Raises ModelError when it is not there."""
    from omnivmed import weights

    return setting.language_model or weights.fetch_backbone(offline=True)


def make(setting: Setting) -> Parts:
    """Minutes at the first call; read from ``OUT/shared`` afterwards."""
    bank, shared = setting.load_bank(), setting.out / "shared"
    vit = healed_encoder(setting.model)
    language_model, tokenizer = load_language_model(backbone_folder(setting))
    train = build_features(bank, vit, shared / "train.safetensors", "train", VIEWS)
    dev = build_features(bank, vit, shared / "dev.safetensors", "dev", None)
    table = word_table(tokenizer, language_model.get_input_embeddings().weight)
    words = warm_up(train, dev, table, shared / "words", WarmConfig(steps=WARM_STEPS, seed=setting.seed))
    nano = Nano(bank, vit, Projector(), language_model, tokenizer, train, {}, [], seed=setting.seed)
    return Parts(nano, {k: v.clone() for k, v in nano.state().items()} | words)
