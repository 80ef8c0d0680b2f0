"""The mean of two legs of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from train.nano.fit.average import blend, mean


def test_it_is_the_mean_of_both(tmp_path: Path) -> None:
    for name, value in (("polish", 1.0), ("refine", 3.0)):
        (tmp_path / name).mkdir()
        save_file({"lora.a": torch.full((2, 3), value)}, tmp_path / name / "final.safetensors")
    blend(tmp_path / "polish/final.safetensors", tmp_path / "refine/final.safetensors", tmp_path / "blend")
    assert torch.equal(load_file(tmp_path / "blend/final.safetensors")["lora.a"], torch.full((2, 3), 2.0))


def test_a_share_leans_to_the_second() -> None:
    made = mean({"a": torch.zeros(2)}, {"a": torch.full((2,), 10.0)}, 0.8)
    assert torch.equal(made["a"], torch.full((2,), 8.0))


def test_two_models_do_not_mix() -> None:
    with pytest.raises(ValueError, match=r"lora\.b"):
        mean({"lora.a": torch.ones(1)}, {"lora.a": torch.ones(1), "lora.b": torch.ones(1)})
