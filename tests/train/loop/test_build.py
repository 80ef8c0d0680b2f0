"""What a recipe starts from: random weights, parts, a checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.model.schema import encoder_json
from omnivmed.vision import DEFAULT_BUDGET
from train.loop.build import Built, build, load, plain_name, save_state, state_of
from train.recipes import ModelSpec, recipe

TEXTS = ["Which shape is shown?", "A disc."]


@pytest.fixture(scope="module")
def tiny() -> Built:
    return build(recipe("tiny"), TEXTS)


def test_the_same_seed_gives_the_same_model_and_tokenizer(tiny: Built) -> None:
    again = build(recipe("tiny"), TEXTS)
    assert all(
        torch.equal(a, b) for a, b in zip(tiny.model.parameters(), again.model.parameters(), strict=True)
    )
    assert again.tokenizer.get_vocab() == tiny.tokenizer.get_vocab()
    assert tiny.tokenizer.decode(tiny.tokenizer.encode("A disc: 3 µm")) == "A disc: 3 µm"
    assert max(tiny.tokenizer.get_vocab().values()) < tiny.model.config.text_config.vocab_size


def test_parts_are_put_together(tiny: Built, tmp_path: Path) -> None:
    """A stand-alone encoder and a Qwen2 folder, as published, the head tied."""
    state = state_of(tiny.model)[0]
    encoder, language = tmp_path / "encoder", tmp_path / "language"
    for folder in (encoder, language):
        folder.mkdir()
    prefix = "model.vision_model."
    own = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    save_file(own, encoder / "model.safetensors")
    (encoder / "config.json").write_text(json.dumps(encoder_json(tiny.model.config.vision_config, {})))
    weights.write_manifest(encoder, ["config.json", "model.safetensors"])
    words = {
        "model." + n.removeprefix("model.language_model."): v
        for n, v in state.items()
        if n.startswith("model.language_model.")
    }
    save_file(words, language / "model.safetensors")
    tiny.tokenizer.backend_tokenizer.save(str(language / "tokenizer.json"))
    spec = ModelSpec("tiny", "parts", encoder=str(encoder), llm=str(language))
    built = build(replace(recipe("tiny"), model=spec))
    new = state_of(built.model)[0]
    assert new.keys() == state.keys()
    same = {n for n in new if torch.equal(new[n], state[n])}
    assert {n for n in new if n not in same and not n.startswith("model.projector.")} == set()
    assert built.tokenizer.get_vocab() == tiny.tokenizer.get_vocab()
    with pytest.raises(ValueError, match="no language model"):
        build(replace(recipe("tiny"), model=replace(spec, llm=str(tmp_path))))


def test_a_saved_folder_is_verified_when_it_is_loaded(tiny: Built, tmp_path: Path) -> None:
    save_state(tiny.model.config, state_of(tiny.model)[0], tiny.tokenizer, tmp_path, {"recipe": "tiny"})
    spec = ModelSpec("tiny", "checkpoint", checkpoint=str(tmp_path))
    built = build(replace(recipe("tiny"), model=spec))
    assert built.model.training
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError):
        load(tmp_path, torch.float32)


def test_starts_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="random weights"):
        build(replace(recipe("tiny"), model=ModelSpec("7b", "random")))
    with pytest.raises(ValueError, match="encoder and a language model"):
        ModelSpec("7b", "parts")
    with pytest.raises(ValueError, match="converted checkpoint"):
        ModelSpec("7b", "checkpoint")


def test_names_lose_what_peft_puts_into_them() -> None:
    name = "base_model.model.model.language_model.layers.0.mlp.up_proj.base_layer.weight"
    assert plain_name(name) == "model.language_model.layers.0.mlp.up_proj.weight"
    lora = "base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.default.weight"
    assert plain_name(lora) == "model.language_model.layers.0.mlp.up_proj.lora_A"


def test_a_trained_folder_answers_under_its_own_budget(tiny: Built, tmp_path: Path) -> None:
    from omnivmed.inference import load_model

    vision = recipe("tiny").stages[-1].vision
    state = state_of(tiny.model)[0]
    save_state(tiny.model.config, state, tiny.tokenizer, tmp_path, {}, budget=vision)
    assert load_model(str(tmp_path), offline=True).budget == vision
    # a folder without one (converted, or saved before) answers under the public checkpoints'
    save_state(tiny.model.config, state, tiny.tokenizer, tmp_path, {})
    assert load_model(str(tmp_path), offline=True).budget == replace(DEFAULT_BUDGET, image_merge_size=2)
