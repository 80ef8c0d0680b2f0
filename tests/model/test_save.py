"""What training leaves behind loads again, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnivmed.model.load import load_pretrained
from omnivmed.model.save import save_model
from omnivmed.model.schema import model_config, model_json
from tests.model.tiny import KINDS, tiny_model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_saved_models_load_again(tmp_path: Path, kind: str, tied: bool) -> None:
    model = tiny_model(kind, tied)
    (tmp_path / "t.json").write_text("{}")
    save_model(model, tmp_path / "run/best", tokenizer_json=tmp_path / "t.json", source={"recipe": "tiny"})
    loaded = load_pretrained(tmp_path / "run/best", torch.float32)
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter), name
    ids = torch.arange(20, 40)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["best"]
    with pytest.raises(FileExistsError):
        save_model(model, tmp_path / "run/best")


@pytest.mark.parametrize("kind", KINDS)
def test_configurations_survive_json(kind: str) -> None:
    config = tiny_model(kind).config
    values = model_json(config, {})
    assert model_json(model_config(values), {}) == values


def test_stored_precision_can_be_chosen(tmp_path: Path) -> None:
    model = tiny_model("llama")
    save_model(model, tmp_path / "half", dtype=torch.bfloat16)
    loaded = load_pretrained(tmp_path / "half", torch.float32)
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter.bfloat16().float()), name


def test_a_budget_is_read_back_and_bounded() -> None:
    from omnivmed.errors import ModelError
    from omnivmed.model.schema import vision_budget
    from omnivmed.vision import VisionBudget

    config = tiny_model("llama").config
    budget = VisionBudget(
        max_tokens=64,
        image_merge_size=config.image_merge_size,
        video_merge_size=config.video_merge_size,
        frame_max_tokens=16,
    )
    values = model_json(config, {}, budget)
    model_config(values)
    assert vision_budget(values) == budget
    assert vision_budget(model_json(config, {})) is None
    for change, word in (
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"fps": True}, "fps"),
        ({"code": "x"}, "unknown"),
        ({"video_merge_size": 4}, "merges"),
    ):
        with pytest.raises(ModelError, match=word):
            model_config({**values, "budget": {**values["budget"], **change}})
