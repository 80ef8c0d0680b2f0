"""Public checkpoints, made up in small, converted and loaded again bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import SiglipVisionConfig, SiglipVisionModel

from omnivmed.errors import ModelError
from omnivmed.model import save
from omnivmed.model.convert import convert
from omnivmed.model.layouts import layout_of, map_key, translate
from omnivmed.model.load import LORA_FILE, load_encoder, load_pretrained
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.weights import write_manifest
from tests.model.tiny import inputs, sample, tiny_model

Tensors = dict[str, torch.Tensor]


def stored(model: OmniVMedForConditionalGeneration) -> Tensors:
    """All tensors of the model under our names; a tied head is not stored."""
    tensors = {name: p.detach().clone() for name, p in model.named_parameters()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    return tensors


def hub_names(tensors: Tensors, doubled: bool = False) -> Tensors:
    encoder = "model.vision_encoder." + ("vision_encoder." if doubled else "")
    rules = {
        "model.vision_model.": encoder,
        "model.projector.": "model.mm_projector.",
        "model.language_model.": "model.",
    }
    result = {}
    for name, tensor in tensors.items():
        for ours, theirs in rules.items():
            if name.startswith(ours):
                name = theirs + name.removeprefix(ours)
                break
        result[name] = tensor
    return result


def hub_config(model: OmniVMedForConditionalGeneration, kind: str) -> dict[str, Any]:
    """The flat config of the hub models, with bookkeeping, training switches and remote code as published."""
    text, vision = model.config.text_config, model.config.vision_config
    fields = [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_act",
        "max_position_embeddings",
        "rms_norm_eps",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id",
    ]
    config = {name: getattr(text, name) for name in fields}
    if kind.endswith("qwen3"):
        config["head_dim"] = text.head_dim
    encoder_fields = [
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "patch_size",
        "hidden_act",
    ]
    encoder = {name: getattr(vision, name) for name in encoder_fields}
    return {
        **config,
        "model_type": kind,
        "architectures": ["Videollama3Qwen2ForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_videollama3.Videollama3Qwen2ForCausalLM"},
        "rope_theta": (text.rope_parameters or {})["rope_theta"],
        "rope_scaling": None,
        "use_sliding_window": False,
        "image_token_index": 151665,
        "mm_projector_type": "mlp2x_gelu",
        "use_token_compression": True,
        "torch_dtype": "bfloat16",
        "vision_encoder_config": {
            **encoder,
            "model_type": "videollama3_vision_encoder",
            "layer_norm_eps": 1e-6,
        },
    }


def write(folder: Path, config: dict[str, Any], tensors: Tensors, shards: int = 1) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    names = sorted(tensors)
    index: dict[str, str] = {}
    for i in range(shards):
        file = "model.safetensors" if shards == 1 else f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        save_file({n: tensors[n] for n in names[i::shards]}, folder / file)
        index |= dict.fromkeys(names[i::shards], file)
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


def hub(folder: Path, edit: Callable[[dict[str, Any], Tensors], None] | None = None) -> Path:
    model = tiny_model("qwen2")
    config, tensors = hub_config(model, "videollama3_qwen2"), hub_names(stored(model))
    if edit is not None:
        edit(config, tensors)
    return write(folder, config, tensors)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("kind", "text", "doubled", "shards"),
    [
        ("videollama3_qwen2", "qwen2", False, 3),
        ("hulumed_qwen2", "qwen2", True, 1),
        ("hulumed_qwen3", "qwen3", False, 1),
    ],
)
def test_hub_round_trip(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    text: str,
    doubled: bool,
    shards: int,
    tied: bool,
) -> None:
    monkeypatch.setattr(save, "SHARD_BYTES", 100_000)  # several files
    model = tiny_model(text, tied)
    source = write(tmp_path / "src", hub_config(model, kind), hub_names(stored(model), doubled), shards)
    steps: list[int] = []
    report = convert(source, tmp_path / "dst", lambda stage, done, total: steps.append(done))
    assert report.tensors == len(stored(model)) == steps[-1]
    assert len(list((tmp_path / "dst").glob("model-*.safetensors"))) > 2
    assert "auto_map" in report.dropped_settings
    assert "auto_map" not in (tmp_path / "dst/config.json").read_text()
    assert report.has_tokenizer

    loaded = load_pretrained(tmp_path / "dst", torch.float32)
    for name, tensor in stored(model).items():
        assert torch.equal(loaded.get_parameter(name), tensor), name
    assert (loaded.config.image_token_id, loaded.config.video_token_id) == (151655, 151656)
    ids = torch.arange(20, 40)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert (loaded.lm_head.weight is loaded.model.language_model.embed_tokens.weight) == tied


def test_transformers_layout_round_trip(tmp_path: Path) -> None:
    model = tiny_model("qwen2")
    config = {**model.config.to_dict(), "model_type": "video_llama_3"}
    for extra in ("image_merge_size", "video_merge_size", "per_layer_config", "tie_last_hidden_states"):
        config.pop(extra, None)
    tensors = stored(model)
    tensors["lm_head.weight"] = tensors[
        "model.language_model.embed_tokens.weight"
    ].clone()  # stored though tied
    report = convert(write(tmp_path / "src", config, tensors), tmp_path / "dst")
    assert report.dropped_tensors == ("lm_head.weight",)
    loaded = load_pretrained(tmp_path / "dst", torch.float32)
    batch = inputs([sample((3, 4, 4), 2, video=True, pruned=True, seed=1)])
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)


def test_stand_alone_encoder(tmp_path: Path) -> None:
    encoder = tiny_model().model.vision_model
    config = {"model_type": "videollama3_vision_encoder", "attention_dropout": 0.0, "layer_norm_eps": 1e-6}
    fields = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "patch_size"]
    config |= {name: getattr(encoder.config, name) for name in fields}
    source = write(tmp_path / "src", config, {n: p.detach() for n, p in encoder.named_parameters()})
    assert convert(source, tmp_path / "dst").format == "omnivmed-encoder/1"
    grid, merge = torch.tensor([[2, 4, 4]]), torch.tensor([2])
    x = torch.rand(32, 588)
    with torch.no_grad():
        got = load_encoder(tmp_path / "dst")(x, grid, merge).last_hidden_state
        assert torch.equal(got, encoder(x, grid, merge).last_hidden_state)
    with pytest.raises(ModelError, match=r"unknown setting|missing"):
        load_pretrained(tmp_path / "dst")


def test_siglip_starts_stage_one_without_its_positions_and_head(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 2}
    siglip = SiglipVisionModel(SiglipVisionConfig(**sizes, num_hidden_layers=2, patch_size=14, image_size=56))
    siglip.train(False)
    tensors = {
        n if n.startswith("vision_model.") else f"vision_model.{n}": p.detach()
        for n, p in siglip.named_parameters()
    }
    tensors |= {"logit_scale": torch.zeros(1), "text_model.final_layer_norm.weight": torch.ones(3)}
    vision = {
        **sizes,
        "num_hidden_layers": 2,
        "patch_size": 14,
        "image_size": 56,
        "model_type": "siglip_vision_model",
    }
    source = write(
        tmp_path / "src", {"model_type": "siglip", "vision_config": vision, "text_config": {}}, tensors
    )
    report = convert(source, tmp_path / "dst")
    assert any("position_embedding" in name for name in report.dropped_tensors)
    encoder = load_encoder(tmp_path / "dst")
    kept = dict(siglip.named_parameters())
    for name, parameter in encoder.named_parameters():
        theirs = kept.get(name, kept.get(f"vision_model.{name}"))
        assert theirs is not None
        assert torch.equal(parameter, theirs), name


# ------------------------------------------------------------------------------------------------- refusals


def _unknown_tensor(config: dict[str, Any], tensors: Tensors) -> None:
    tensors["model.layers.0.adapter.weight"] = torch.zeros(1)


def _foreign_tensor(config: dict[str, Any], tensors: Tensors) -> None:
    tensors["optimizer.state"] = torch.zeros(1)


def _missing_tensor(config: dict[str, Any], tensors: Tensors) -> None:
    tensors.pop("model.norm.weight")


def _wrong_shape(config: dict[str, Any], tensors: Tensors) -> None:
    config["intermediate_size"] = 97


def _quantised(config: dict[str, Any], tensors: Tensors) -> None:
    tensors["model.norm.weight"] = torch.zeros(64, dtype=torch.int8)


def _unknown_setting(config: dict[str, Any], tensors: Tensors) -> None:
    config["attention_sink"] = 4


def _other_projector(config: dict[str, Any], tensors: Tensors) -> None:
    config["mm_projector_type"] = "qformer"


def _scaled_rope(config: dict[str, Any], tensors: Tensors) -> None:
    config["rope_scaling"] = {"type": "yarn", "factor": 4}


def _no_base(config: dict[str, Any], tensors: Tensors) -> None:
    config.pop("rope_theta")


def _wrong_type(config: dict[str, Any], tensors: Tensors) -> None:
    config["hidden_size"] = "64"


def _other_model(config: dict[str, Any], tensors: Tensors) -> None:
    config["model_type"] = "llava"


@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (_unknown_tensor, "Unsupported", "unknown tensor"),
        (_foreign_tensor, "Unsupported", "unknown tensor"),
        (_missing_tensor, "WeightsMissing", "lacks 1 tensor"),
        (_wrong_shape, "Unsupported", "asks for"),
        (_quantised, "Unsupported", "quantised"),
        (_unknown_setting, "Unsupported", 'unknown setting "attention_sink"'),
        (_other_projector, "Unsupported", "mm_projector_type"),
        (_scaled_rope, "Unsupported", "rope_scaling"),
        (_no_base, "Unsupported", "rotary base"),
        (_wrong_type, "Unsupported", "wrong type"),
        (_other_model, "Unsupported", '"llava"'),
    ],
)
def test_what_is_not_known_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, edit: Callable[[dict[str, Any], Tensors], None], code: str, message: str
) -> None:
    source = hub(tmp_path / "src", edit)
    with pytest.raises(ModelError, match=message) as caught:
        convert(source, tmp_path / "dst")
    assert caught.value.code == code
    assert sorted(p.name for p in tmp_path.iterdir()) == ["src"]


def test_settings_can_be_dropped_by_name(tmp_path: Path) -> None:
    """Fine-tunes carry settings that change nothing here; a name that stands nowhere is a mistake."""

    def edit(config: dict[str, Any], tensors: Tensors) -> None:
        config["model_max_length"] = 4096
        config["vision_encoder_config"]["use_flash_attn"] = True

    source = hub(tmp_path / "src", edit)
    with pytest.raises(ModelError, match="unknown setting"):
        convert(source, tmp_path / "dst", drop=["model_max_length"])
    with pytest.raises(ModelError, match="no setting use_flash_atn"):
        convert(source, tmp_path / "dst", drop=["use_flash_atn"])
    done = convert(source, tmp_path / "dst", drop=["model_max_length", "use_flash_attn"])
    assert {"model_max_length", "use_flash_attn"} <= set(done.dropped_settings)
    plain = convert(hub(tmp_path / "plain"), tmp_path / "other")
    assert (done.tensors, done.bytes) == (plain.tensors, plain.bytes)
    assert (
        load_pretrained(tmp_path / "dst", torch.float32).config
        == load_pretrained(tmp_path / "other", torch.float32).config
    )


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    source = hub(tmp_path / "src")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled"):
        convert(source, tmp_path / "dst")


def test_an_index_may_not_leave_the_folder(tmp_path: Path) -> None:
    source = hub(tmp_path / "src")
    (source / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other.safetensors"}}')
    with pytest.raises(ModelError, match="index"):
        convert(source, tmp_path / "dst")


def test_other_pixels_are_refused(tmp_path: Path) -> None:
    source = hub(tmp_path / "src")
    (source / "preprocessor_config.json").write_text('{"image_mean": [0.48, 0.46, 0.41]}')
    with pytest.raises(ModelError, match="image_mean"):
        convert(source, tmp_path / "dst")


def test_damaged_source_is_one_sentence(tmp_path: Path) -> None:
    source = hub(tmp_path / "src")
    (source / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError) as caught:
        convert(source, tmp_path / "dst")
    assert caught.value.code == "ChecksumMismatch"


def test_existing_folders_and_converted_ones_are_left_alone(tmp_path: Path) -> None:
    source = hub(tmp_path / "src")
    convert(source, tmp_path / "dst")
    with pytest.raises(FileExistsError):
        convert(source, tmp_path / "dst")
    with pytest.raises(ModelError, match="already"):
        convert(tmp_path / "dst", tmp_path / "again")


# -------------------------------------------------------------------------------------------------- loading


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    convert(hub(tmp_path / "src"), tmp_path / "dst")
    return tmp_path / "dst"


def resign(folder: Path) -> None:
    write_manifest(folder, sorted(p.name for p in folder.iterdir() if p.name != "manifest.json"))


def test_a_changed_byte_is_noticed_before_loading(folder: Path) -> None:
    file = next(folder.glob("model-*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        load_pretrained(folder)
    assert caught.value.code == "ChecksumMismatch"


def test_files_beside_the_manifest_are_refused(folder: Path) -> None:
    save_file({"extra": torch.zeros(1)}, folder / "extra.safetensors")
    with pytest.raises(ModelError, match="no checksum"):
        load_pretrained(folder)
    resign(folder)
    with pytest.raises(ModelError, match='"extra"'):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"format": "omnivmed/9"}, "another version"),
        ({"image_merge_size": "2"}, "wrong type"),
        ({"text_config": {"model_type": "mamba"}}, "mamba"),
    ],
)
def test_config_schema_is_closed(folder: Path, change: dict[str, Any], message: str) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    resign(folder)
    with pytest.raises(ModelError, match=message):
        load_pretrained(folder)


def test_half_precision_keeps_the_rotary_frequencies(folder: Path) -> None:
    model = load_pretrained(folder, torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.model.language_model.rotary_emb.inv_freq.dtype == torch.float32
    assert not any(t.is_meta for t in [*model.parameters(), *model.buffers()])


def test_adapter_is_merged_with_its_scale(folder: Path) -> None:
    linear = "layers.1.mlp.up_proj"
    before = load_pretrained(folder, torch.float32).model.language_model.get_submodule(linear).weight.detach()
    a, b = torch.randn(2, before.shape[1]), torch.randn(before.shape[0], 2)
    save_file({f"{linear}.lora_A": a, f"{linear}.lora_B": b}, folder / LORA_FILE, metadata={"scale": "0.5"})
    resign(folder)
    after = load_pretrained(folder, torch.float32).model.language_model.get_submodule(linear).weight
    assert torch.allclose(after, before + 0.5 * b @ a, atol=1e-6)
    save_file(
        {"layers.9.mlp.up_proj.lora_A": a, "layers.9.mlp.up_proj.lora_B": b},
        folder / LORA_FILE,
        metadata={"scale": "1"},
    )
    resign(folder)
    with pytest.raises(ModelError, match="does not fit"):
        load_pretrained(folder)
    save_file({f"{linear}.lora_A": a, f"{linear}.lora_B": b}, folder / LORA_FILE)
    resign(folder)
    with pytest.raises(ModelError, match="scale"):
        load_pretrained(folder)


# ------------------------------------------------------------------------------------------ names, settings


def test_names_of_the_published_layouts() -> None:
    assert (
        map_key("hub", "model.vision_encoder.encoder.layers.3.mlp.fc1.bias")
        == "model.vision_model.encoder.layers.3.mlp.fc1.bias"
    )
    assert (
        map_key("hub", "model.vision_encoder.vision_encoder.post_layernorm.weight")
        == "model.vision_model.post_layernorm.weight"
    )
    assert map_key("hub", "model.mm_projector.readout.2.weight") == "model.projector.readout.2.weight"
    assert map_key("hub", "model.embed_tokens.weight") == "model.language_model.embed_tokens.weight"
    assert map_key("hub", "lm_head.weight") == "lm_head.weight"
    assert map_key("siglip", "vision_model.head.probe") is None
    assert map_key("siglip", "embeddings.position_embedding.weight") is None


def test_so400m_is_assumed_where_the_hub_config_is_silent() -> None:
    config = hub_config(tiny_model("qwen2"), "videollama3_qwen2")
    config.pop("vision_encoder_config")
    values, dropped = translate(config)
    assert values["vision_config"]["intermediate_size"] == 4304
    assert values["vision_config"]["rope_parameters"] == {"rope_type": "axial", "rope_theta": 10000.0}
    assert "image_token_index" in dropped
    assert layout_of(config) == "hub"


def test_published_weights_are_only_read(tmp_path: Path) -> None:
    source = hub(tmp_path / "src")
    before = {p.name: p.read_bytes() for p in source.iterdir()}
    convert(source, tmp_path / "dst")
    assert {p.name: p.read_bytes() for p in source.iterdir()} == before
    assert load_file(source / "model.safetensors")
