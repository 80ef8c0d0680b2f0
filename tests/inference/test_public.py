"""Folders in this program's format: closed schema, safetensors only, answers as transformers would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnivmed import weights
from omnivmed.cli import main
from omnivmed.errors import ModelError
from omnivmed.inference import load_model
from omnivmed.weights.names import resolve
from tests.inference.tiny import Package
from tests.phantoms import ct_study


@pytest.fixture
def folder(tiny: tuple[Package, Path], tmp_path: Path) -> Path:
    """The random nano, saved the way transformers saves models, then converted."""
    model: Any = load_model(str(tiny[1]), device="cpu", dtype="float32", offline=True).runtime
    saved, target = tmp_path / "saved", tmp_path / "checkpoint"
    model.model.save_pretrained(saved)
    config = json.loads((saved / "config.json").read_text())
    config["model_type"] = "video_llama_3"
    merges = {"image_merge_size", "video_merge_size"}
    (saved / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in merges}))
    tokenizer = weights.backbone_dir(tiny[0].spec) / "tokenizer.json"
    (saved / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    assert main(["convert", str(saved), str(target)]) == 0
    return target


def test_a_folder_answers_like_the_model_it_was_saved_from(tiny: tuple[Package, Path], folder: Path) -> None:
    nano = load_model(str(tiny[1]), device="cpu", dtype="float32", offline=True)
    saved = load_model(str(folder), device="cpu", dtype="float32", offline=True)
    saved.budget = nano.budget
    asked = (ct_study(), "What is this?")
    assert (
        saved.answer(*asked, max_new_tokens=8, alone=True).text
        == nano.answer(*asked, max_new_tokens=8, alone=True).text
    )
    assert saved.name == "checkpoint"
    assert "Nothing is known" in saved.trust


def change(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))
    weights.write_manifest(folder, [p.name for p in folder.iterdir() if p.name != "manifest.json"])


@pytest.mark.parametrize(
    "entries",
    [
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"_attn_implementation_internal": "owner/kernel"},
        {"format": "omnivmed-encoder/1"},
        {"format": "other"},
        {"text_config": {"model_type": "gpt2"}},
        {"vision_config": {"auto_map": {}}},
    ],
)
def test_odd_configurations_are_refused(folder: Path, entries: dict[str, Any]) -> None:
    change(folder, **entries)
    with pytest.raises(ModelError) as failure:
        load_model(str(folder), offline=True)
    assert failure.value.code == "Unsupported"


def test_a_published_folder_says_to_convert_it_first(folder: Path) -> None:
    with pytest.raises(ModelError, match="omnivmed convert"):
        load_model(str(folder.parent / "saved"), offline=True)


def test_manifest_is_checked_where_there_is_one(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError) as failure:
        load_model(str(folder), offline=True)
    assert failure.value.code == "ChecksumMismatch"


def test_hub_model_offline_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIVMED_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="offline") as failure:
        load_model("DAMO-NLP-SG/VideoLLaMA3-2B", offline=True)
    assert failure.value.code == "WeightsMissing"


@pytest.mark.parametrize("name", ["", "nan o", "../../etc", "a/b/c", "http://x/y", "owner/na me"])
def test_impossible_names(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as failure:
        resolve(name)
    assert failure.value.code == "Unsupported"
