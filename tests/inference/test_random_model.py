"""The engine on a real (random, tiny) model: same tokens as transformers, one mask, cached encodings, stop."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.inference import Done, Failed, MaskReady, Text, load_model
from omnivmed.inference.engine import LocalAssistant
from omnivmed.inference.torch_runtime import distinct_frames
from omnivmed.model import tokens
from omnivmed.model.prompts import build_prompt
from omnivmed.study import Study
from omnivmed.vision import prepare
from tests.inference.mock import mask_of
from tests.inference.tiny import Package, tiny_nano
from tests.phantoms import clip_study, ct_study, radiograph

STUDIES = {
    "image": Study.from_array(radiograph(), modality="CR"),
    "volume": ct_study(),
    "video": clip_study(),
}


@pytest.fixture(params=sorted(STUDIES))
def study(request: pytest.FixtureRequest) -> Study:
    return STUDIES[request.param]


def new_folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def reference_ids(
    model: LocalAssistant, study: Study, question: str, threshold: float, most: int
) -> list[int]:
    """What transformers' own generate answers, from pixels, mask and prompt."""
    runtime: Any = model.runtime
    patches = prepare(study, model.budget)
    mask = mask_of(model.answer(study, question, threshold=threshold, max_new_tokens=1))
    ids = build_prompt(
        runtime.tokenizer,
        question,
        study.kind,
        mask.kept_per_frame.tolist(),
        None if patches.times_s is None else patches.times_s.tolist(),
        [],
        runtime.image_token_id,
        runtime.video_token_id,
    )
    grid, merge = torch.tensor([patches.grid_thw]), torch.tensor([patches.merge_size])
    # Without a mask generate hides every <|im_end|> of the prompt, which is the padding token, too.
    inputs: dict[str, Any] = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))}
    if study.kind == "image":
        inputs |= {"image_grid_thw": grid, "image_merge_sizes": merge}
        inputs["pixel_values"] = torch.from_numpy(patches.patches)
    else:
        inputs |= {"video_grid_thw": grid, "video_merge_sizes": merge}
        inputs["pixel_values_videos"] = torch.from_numpy(patches.patches)
        inputs["video_compression_mask"] = torch.from_numpy(mask.keep.reshape(-1))
    out = runtime.model.generate(**inputs, max_new_tokens=most, do_sample=False, eos_token_id=None)
    new: list[int] = out[0, len(ids) :].tolist()
    return new


@pytest.mark.parametrize("threshold", [0.0, 0.1, 2.0])
def test_same_words_as_transformers_generate(
    random_assistant: LocalAssistant, study: Study, threshold: float
) -> None:
    runtime: Any = random_assistant.runtime
    runtime.stop_ids = frozenset()
    expected = runtime.decode(reference_ids(random_assistant, study, "What is this?", threshold, 24))
    answer = random_assistant.answer(study, "What is this?", threshold=threshold, max_new_tokens=24)
    assert answer.usage["output_tokens"] == 24
    assert answer.text == expected.strip()
    # After another question and in a conversation, the cached study gives the same words again.
    random_assistant.answer(study, "Something else?", threshold=threshold, max_new_tokens=8)
    again = random_assistant.answer(study, "What is this?", threshold=threshold, max_new_tokens=24)
    assert again.text == answer.text
    assert again.usage["encoder_frames"] == 0


def test_the_mask_shown_is_the_mask_used(
    random_assistant: LocalAssistant, monkeypatch: pytest.MonkeyPatch, study: Study
) -> None:
    used: list[torch.Tensor] = []
    select = tokens.select_kept

    def spy(features: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        used.append(keep)
        return select(features, keep)

    monkeypatch.setattr(tokens, "select_kept", spy)
    events = list(random_assistant.stream(study, "What is this?", max_new_tokens=4))
    shown = next(event.mask for event in events if isinstance(event, MaskReady))
    assert isinstance(events[-1], Done)
    assert events[-1].answer.mask is shown
    (keep,) = used
    assert keep.data_ptr() == shown.keep.ctypes.data, "the model reads the memory of the mask that is shown"


def test_second_question_runs_the_encoder_zero_times(
    random_assistant: LocalAssistant, monkeypatch: pytest.MonkeyPatch, study: Study
) -> None:
    runtime: Any = random_assistant.runtime
    calls: list[tuple[int, ...]] = []
    vision = runtime.model.model.vision_model
    forward = vision.forward

    def noted(*given: Any, **more: Any) -> Any:
        calls.append(given[0].shape)
        return forward(*given, **more)

    monkeypatch.setattr(vision, "forward", noted)
    random_assistant.answer(study, "One?", max_new_tokens=2)
    assert calls
    calls.clear()
    random_assistant.answer(study, "Two?", max_new_tokens=2)
    random_assistant.answer(study, "Two?", threshold=0.5, max_new_tokens=2)
    random_assistant.answer(study, "Three?", history=[("One?", "x")], max_new_tokens=2)
    assert not calls
    random_assistant.forget(study)
    random_assistant.answer(study, "Four?", max_new_tokens=2)
    assert calls


def test_stop_within_two_steps(random_assistant: LocalAssistant, study: Study) -> None:
    runtime: Any = random_assistant.runtime
    runtime.stop_ids = frozenset()
    steps = 0
    step = runtime.decoder.step

    def counted(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(*args)

    runtime.decoder.step = counted
    stop, at_stop = threading.Event(), -1
    for event in random_assistant.stream(study, "What?", max_new_tokens=200, cancel=stop):
        if isinstance(event, Text) and not stop.is_set():
            at_stop = steps
            stop.set()
    assert isinstance(event, Done)
    assert event.stopped == "cancelled"
    assert 0 <= steps - at_stop <= 2
    events = random_assistant.stream(study, "What?", max_new_tokens=200)
    for event in events:
        if isinstance(event, Text):
            break
    at_stop = steps
    events.close()
    assert steps == at_stop


def test_pruning_changes_what_the_language_model_reads(random_assistant: LocalAssistant) -> None:
    volume = STUDIES["volume"]
    whole = random_assistant.answer(volume, "What?", threshold=0, max_new_tokens=2)
    least = random_assistant.answer(volume, "What?", threshold=2, max_new_tokens=2)
    saved = whole.usage["visual_tokens_after"] - least.usage["visual_tokens_after"]
    assert whole.usage["prompt_tokens"] - least.usage["prompt_tokens"] == saved > 0


def test_identical_frames_are_encoded_once(random_assistant: LocalAssistant) -> None:
    still = Study.from_array(np.repeat(radiograph((112, 112)), 6, axis=0), kind="volume")
    answer = random_assistant.answer(still, "What?", max_new_tokens=2)
    assert len(mask_of(answer).frame_index) == 6
    assert answer.usage["encoder_frames"] == 1
    rows = np.array([[1.0], [2.0], [1.0], [3.0]], dtype=np.float32)[:, :, None]
    assert distinct_frames(rows) == ([0, 1, 3], [0, 1, 0, 2])


def test_groups_of_frames_give_the_same_features(random_assistant: LocalAssistant) -> None:
    runtime: Any = random_assistant.runtime
    patches = prepare(STUDIES["volume"], random_assistant.budget)
    together = list(runtime.encode(patches))[-1][1]
    runtime.patches_per_group = 1
    singly = list(runtime.encode(patches))
    assert [done for done, _ in singly] == list(range(1, patches.grid_thw[0] + 1))
    assert torch.allclose(singly[-1][1], together, atol=1e-5)


def test_out_of_memory_in_torch_is_advice(
    random_assistant: LocalAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*args: Any) -> None:
        torch.empty(1 << 60)

    runtime: Any = random_assistant.runtime
    monkeypatch.setattr(runtime.model, "encode", burst)
    events = list(random_assistant.stream(STUDIES["volume"], "What?"))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == "OutOfMemory"
    monkeypatch.undo()
    assert random_assistant.answer(STUDIES["volume"], "What?", max_new_tokens=2).usage["output_tokens"]


def test_layers_are_held_once(random_assistant: LocalAssistant) -> None:
    runtime: Any = random_assistant.runtime
    before = random_assistant.answer(STUDIES["image"], "What?", max_new_tokens=8).text
    runtime.model.model.language_model.layers = torch.nn.ModuleList()
    random_assistant.forget(STUDIES["image"])
    assert random_assistant.answer(STUDIES["image"], "What?", max_new_tokens=8).text == before


def test_adapter_is_merged(tiny: tuple[Package, Path]) -> None:
    from safetensors.torch import load_file

    model = load_model(str(tiny[1]), device="cpu", dtype="float32", offline=True)
    backbone = load_file(weights.backbone_dir(tiny[0].spec) / "model.safetensors")
    lora = load_file(tiny[1] / "lora.safetensors")
    runtime: Any = model.runtime
    got = runtime.model.model.language_model.layers[0].self_attn.q_proj.weight
    delta = lora["layers.0.self_attn.q_proj.lora_B"] @ lora["layers.0.self_attn.q_proj.lora_A"]
    expected = backbone["model.layers.0.self_attn.q_proj.weight"].float() + 2 * delta
    assert torch.allclose(got, expected)
    assert model.name.startswith("nano")
    assert model.trust == "nothing"


CARD = {"description": "a random model for tests", "trust": "nothing"}


def test_what_the_card_silences_is_held_back(tiny: tuple[Package, Path], tmp_path: Path) -> None:
    folder = tiny_nano(tmp_path, tiny[0].spec, card={**CARD, "silent": {"image": ["sequence"], "volume": []}})
    model = load_model(str(folder), device="cpu", dtype="float32", offline=True)
    assert model.silent == {"image": ["sequence"], "volume": []}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"trained": False}, "WeightsMissing"),
        ({"auto_map": {}}, "Unsupported"),
        ({"format": "omnivmed-nano/9"}, "Unsupported"),
        ({"vision_config": {"_attn_implementation_internal": "x"}}, "Unsupported"),
        ({"card": {}}, "Unsupported"),
        ({"card": {**CARD, "silent": {"image": ["colour"]}}}, "Unsupported"),
        ({"card": {**CARD, "silent": {"hologram": ["plane"]}}}, "Unsupported"),
        ({"card": {**CARD, "silent": {"image": "plane"}}}, "Unsupported"),
        ({"card": {**CARD, "silent": ["plane"]}}, "Unsupported"),
        ({"budget": {"colour": 1}}, "Unsupported"),
        ({"backbone": {"gguf_sha256": "0"}}, "ChecksumMismatch"),
    ],
)
def test_bad_nano_is_refused(
    tiny: tuple[Package, Path], tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    tiny_nano(tmp_path, tiny[0].spec, **change)
    if "format" in change:  # no nano at all then: take it as nano by name
        from omnivmed.inference.loading import read_nano_config
        from omnivmed.weights.names import Source

        with pytest.raises(ModelError) as failure:
            read_nano_config(Source("nano", "nano", tmp_path))
    else:
        with pytest.raises(ModelError) as failure:
            load_model(str(tmp_path), offline=True)
    assert failure.value.code == code


def test_flipped_byte_in_nano_is_refused(tiny: tuple[Package, Path], tmp_path: Path) -> None:
    folder = tiny_nano(tmp_path, tiny[0].spec)
    path = folder / "encoder_projector.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError) as failure:
        load_model(str(folder), offline=True)
    assert failure.value.code == "ChecksumMismatch"


def test_no_trained_nano_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNIVMED_NANO", str(tmp_path))
    with pytest.raises(ModelError, match="no answers") as failure:
        load_model("nano", offline=True)
    assert failure.value.code == "WeightsMissing"


def test_wrong_tensors_are_refused(tiny: tuple[Package, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for change in ("missing", "extra", "shape"):
        folder = tiny_nano(new_folder(tmp_path, change), tiny[0].spec)
        state = load_file(folder / "encoder_projector.safetensors")
        name = next(iter(state))
        if change == "missing":
            del state[name]
        elif change == "extra":
            state["model.other"] = torch.zeros(1)
        else:
            state[name] = torch.zeros(3, 3)
        save_file(state, folder / "encoder_projector.safetensors")
        weights.write_manifest(folder, [p.name for p in folder.iterdir() if p.name != "manifest.json"])
        with pytest.raises(ModelError) as failure:
            load_model(str(folder), offline=True)
        assert failure.value.code == "Unsupported"
    assert json.loads((folder / "manifest.json").read_text())["files"]
