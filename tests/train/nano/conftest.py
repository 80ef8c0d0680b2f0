"""A tiny nano over drawn pictures: encoder, projector and language model with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train.tiny import ByteTokenizer, tiny_language_model
from train.nano.data.bank import build_bank, load_bank
from train.nano.data.index import build_index
from train.nano.fit.tuning import Nano
from train.nano.parts.encoder import Student, student
from train.nano.parts.features import build_features
from train.nano.parts.words import Projector


def tiny_vit() -> Student:
    torch.manual_seed(1)
    return student(layers=1, mlp=16)


@pytest.fixture
def nano(data_folder: Path, tmp_path: Path) -> Nano:
    records = build_index(data_folder)
    build_bank(data_folder, records, tmp_path / "bank")
    bank = load_bank(tmp_path / "bank", records)
    cached = build_features(bank, tiny_vit(), tmp_path / "f.safetensors", "train", 8)
    torch.manual_seed(2)
    general = [("Hello?", "Hi."), ("Two?", "Two.")]
    return Nano(
        bank,
        tiny_vit(),
        Projector(384, 32),
        tiny_language_model(),
        ByteTokenizer(),
        cached,
        {},
        general,
        rank=2,
    )
