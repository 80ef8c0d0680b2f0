"""Folders in this program's format: closed schema, safetensors only, answers as transformers would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from omnivmed import weights  # noqa: E402
from omnivmed.errors import ModelError  # noqa: E402
from omnivmed.inference import load_model  # noqa: E402
from omnivmed.registry import resolve  # noqa: E402
from tests.inference.tiny import Package  # noqa: E402
from tests.phantoms import ct_study  # noqa: E402


@pytest.fixture
def folder(tiny: tuple[Package, Path], tmp_path: Path) -> Path:
    """The random nano, saved as one folder the way transformers saves models."""
    model: Any = load_model(str(tiny[1]), device="cpu", dtype="float32", offline=True)._runtime
    target = tmp_path / "checkpoint"
    model.model.save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    tokenizer = weights.backbone_dir(tiny[0].spec) / "tokenizer.json"
    (target / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return target


def test_a_folder_answers_like_the_model_it_was_saved_from(tiny: tuple[Package, Path], folder: Path):
    nano = load_model(str(tiny[1]), device="cpu", dtype="float32", offline=True)
    saved = load_model(str(folder), device="cpu", dtype="float32", offline=True)
    saved.budget = nano.budget
    asked = (ct_study(), "What is this?")
    assert saved.answer(*asked, max_new_tokens=8).text == nano.answer(*asked, max_new_tokens=8).text
    assert saved.name == "checkpoint"
    assert "Nothing is known" in saved.trust


def change(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))


@pytest.mark.parametrize(
    "entries",
    [
        {"auto_map": {"AutoModel": "evil.Model"}},
        {"_attn_implementation_internal": "owner/kernel"},
        {"model_type": "bert"},
        {"model_type": "videollama3_qwen2"},
        {"text_config": {"model_type": "gpt2"}},
        {"text_config": {"model_type": "llama", "_attn_implementation_internal": "x"}},
        {"vision_config": {"auto_map": {}}},
        {"vision_config": 3},
    ],
)
def test_odd_configurations_are_refused(folder: Path, entries: dict[str, Any]):
    change(folder, **entries)
    with pytest.raises(ModelError) as failure:
        load_model(str(folder), offline=True)
    assert failure.value.code == "Unsupported"


def test_other_weight_formats_are_not_read(folder: Path):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(folder), offline=True)


def test_an_index_cannot_point_elsewhere(folder: Path):
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError):
        load_model(str(folder), offline=True)


def test_manifest_is_checked_where_there_is_one(folder: Path):
    weights.write_manifest(folder, [path.name for path in folder.iterdir()])
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError) as failure:
        load_model(str(folder), offline=True)
    assert failure.value.code == "ChecksumMismatch"


def test_hub_model_offline_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMNIVMED_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="offline") as failure:
        load_model("DAMO-NLP-SG/VideoLLaMA3-2B", offline=True)
    assert failure.value.code == "WeightsMissing"


@pytest.mark.parametrize("name", ["", "nan o", "../../etc", "a/b/c", "http://x/y", "owner/na me"])
def test_impossible_names(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as failure:
        resolve(name)
    assert failure.value.code == "Unsupported"
