"""A trained folder opened with transformers' own doors: Auto classes, processor, pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, pipeline

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.model import auto
from omnivmed.model.load import load_pretrained
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from train.loop.build import build, load, save_state, state_of
from train.recipes import recipe

QUESTION = "Which shape is shown?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    built = build(recipe("tiny"), [QUESTION, "A disc."])
    budget = recipe("tiny").stages[0].vision
    save_state(built.model.config, state_of(built.model)[0], built.tokenizer, out, {}, budget=budget)
    return out


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 56, 3)).astype(np.uint8))


def test_the_auto_classes_open_a_folder_as_it_was_saved(folder: Path) -> None:
    assert AutoConfig.from_pretrained(folder).image_merge_size == 2
    found: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    assert type(found) is OmniVMedForConditionalGeneration
    own = dict(load_pretrained(folder, torch.float32).named_parameters())
    assert all(torch.equal(value, own[name]) for name, value in found.named_parameters())
    again = OmniVMedForConditionalGeneration.from_pretrained(folder)
    assert next(again.parameters()).dtype == torch.bfloat16


def test_the_processor_makes_the_prompt_of_the_engine(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    assert type(processor) is auto.OmniVMedProcessor
    batch = processor(images=picture(), text=QUESTION)
    tokens = int(batch["image_grid_thw"].prod() // 4)
    assert int((batch["input_ids"] == processor.config.image_token_id).sum()) == tokens
    said = processor.tokenizer.decode(batch["input_ids"][0].tolist())
    assert said.endswith(f"{QUESTION}<|im_end|>\n<|im_start|>assistant\n")
    with pytest.raises(ValueError, match="one question at a time"):
        processor(images=picture(), text=[QUESTION, QUESTION])
    with pytest.raises(ValueError, match="the user first"):
        processor.apply_chat_template([{"role": "assistant", "content": "Hello."}])


def test_the_pipeline_answers(folder: Path) -> None:
    ask: Any = pipeline("image-text-to-text", model=str(folder), dtype=torch.float32, device="cpu")
    chat = [
        {
            "role": "user",
            "content": [{"type": "image", "image": picture()}, {"type": "text", "text": QUESTION}],
        }
    ]
    plain = ask(images=picture(), text=QUESTION, max_new_tokens=4, return_full_text=False)
    talked = ask(text=chat, max_new_tokens=4, return_full_text=False)
    assert isinstance(plain[0]["generated_text"], str)
    assert talked[0]["generated_text"] == plain[0]["generated_text"]


def test_a_placeholder_beyond_the_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    from omnivmed.inference import load_model

    shutil.copytree(folder, tmp_path / "copy")
    file = tmp_path / "copy" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_token_id": 512}))
    weights.write_manifest(file.parent, ["config.json", "model.safetensors", "tokenizer.json"])
    for open_ in (
        lambda: load_model(str(file.parent), offline=True),
        lambda: load(file.parent, torch.float32),
    ):
        with pytest.raises(ModelError, match="image_token_id is 512, but the vocabulary has 512"):
            open_()
