"""A tiny nano over the made-up data folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.tiny import ByteTokenizer, tiny_language_model
from train.claims import steps
from train.claims.parts import Parts
from train.claims.setting import Setting
from train.nano.fit.tuning import Nano
from train.nano.parts.encoder import student
from train.nano.parts.features import build_features
from train.nano.parts.words import Projector


@pytest.fixture
def setting(data_folder: Path, tmp_path: Path) -> Setting:
    return Setting(data_folder, tmp_path, minutes=4 / steps.STEPS_PER_MINUTE, small=True)


@pytest.fixture
def parts(setting: Setting) -> Parts:
    bank = setting.load_bank()
    # the one volume of the made-up folder is for training; a copy of it stands in for an unseen patient's
    volume = next(e for e in bank.values() if e.record.kind == "volume")
    bank["other"] = replace(volume, record=replace(volume.record, id="other", patient="other", split="test"))
    torch.manual_seed(1)
    vit = student(layers=1, mlp=16)
    cached = build_features(bank, vit, setting.out / "f.safetensors", "train", 8)
    language_model, tokenizer = tiny_language_model(), ByteTokenizer()
    nano = Nano(bank, vit, Projector(384, 32), language_model, tokenizer, cached, {}, [], rank=2)
    return Parts(nano, {k: v.detach().clone() for k, v in nano.state().items()})
