"""Adapting the last encoder blocks: only they move, the LoRA does not, and an interrupted run equals a whole one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from train.loop import fit as fit_module
from train.nano.data.bank import Entry, build_bank, load_bank
from train.nano.data.index import build_index
from train.nano.fit import adaptation as module
from train.nano.fit.adaptation import AdaptConfig, adapt
from train.nano.parts.encoder import Student, student
from train.nano.parts.words import ATTRIBUTES, Projector

CONFIG = AdaptConfig(steps=4, batch=3, blocks=1, warmup_steps=1, mixture={"mednist": 0.5, "cxr_nih": 0.5})
WIDTH = 576


@pytest.fixture
def bank(data_folder: Path, tmp_path: Path) -> dict[str, Entry]:
    records = build_index(data_folder)
    build_bank(data_folder, records, tmp_path / "bank")
    return load_bank(tmp_path / "bank", records)


def encoder() -> Student:
    torch.manual_seed(1)
    return student(layers=2, mlp=16)


def start() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    own = {f"projector.{k}": v.clone() for k, v in Projector().state_dict().items()}
    return own | {"lora.a.lora_A": torch.randn(2, 3)}


def table() -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return {name: torch.randn(len(values), WIDTH) for name, values in ATTRIBUTES.items()}


def test_only_the_last_blocks_and_the_projector_move(bank: dict[str, Entry], tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in encoder().state_dict().items()}
    adapt(bank, encoder(), start(), table(), tmp_path / "a", CONFIG)
    after, final = load_file(tmp_path / "a/encoder.safetensors"), load_file(tmp_path / "a/final.safetensors")
    moved = {k.split(".")[2] if "layers" in k else k for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"1", "post_layernorm.weight", "post_layernorm.bias"}
    assert torch.equal(final["lora.a.lora_A"], start()["lora.a.lora_A"])
    assert not torch.equal(final["projector.fc2.weight"], start()["projector.fc2.weight"])


def test_interrupted_equals_uninterrupted(
    bank: dict[str, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapt(bank, encoder(), start(), table(), tmp_path / "whole", CONFIG)
    real, left = module.word_batch, iter(range(2))

    def killed(*args: object) -> object:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(fit_module, "SAVE_EVERY_S", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "word_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            adapt(bank, encoder(), start(), table(), tmp_path / "pieces", CONFIG)
    adapt(bank, encoder(), start(), table(), tmp_path / "pieces", CONFIG)
    for file in ("encoder.safetensors", "final.safetensors"):
        whole, pieces = load_file(tmp_path / "whole" / file), load_file(tmp_path / "pieces" / file)
        assert all(torch.equal(whole[k], pieces[k]) for k in whole), file
