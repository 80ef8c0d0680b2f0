"""The whole model against stock transformers with equal weights: logits, greedy tokens, batches, masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from omnivmed.model.tokens import select_kept
from tests.model.tiny import KINDS, Sample, inputs, sample, stock_twin, tiny_model


def studies(pruned: bool) -> list[Sample]:
    """Still, volume, still of another size, video: all of different lengths."""
    return [
        sample((1, 4, 6), 1, video=False, pruned=False, seed=1),
        sample((5, 4, 4), 2, video=True, pruned=pruned, seed=2),
        sample((1, 6, 4), 2, video=False, pruned=False, seed=3),
        sample((3, 6, 4), 2, video=True, pruned=pruned, seed=4),
    ]


def answer(model: Any, batch: dict[str, torch.Tensor], tokens: int = 16) -> list[list[int]]:
    out = model.generate(**batch, max_new_tokens=tokens, do_sample=False)
    new: list[list[int]] = out[:, batch["input_ids"].shape[1] :].tolist()
    return new


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pruned", [False, True])
def test_logits_and_greedy_tokens_equal_stock(kind: str, pruned: bool) -> None:
    ours = tiny_model(kind)
    stock = stock_twin(ours)
    batches = [inputs([s], masks=pruned) for s in studies(pruned)] + [inputs(studies(pruned), masks=pruned)]
    for batch in batches:
        with torch.no_grad():
            difference = (ours(**batch).logits - stock(**batch).logits)[batch["attention_mask"].bool()]
        assert difference.abs().max() <= 1e-4
        got = answer(ours, batch)
        assert got == answer(stock, batch)
        assert len({token for row in got for token in row}) > 2  # not one token over and over


def test_several_pruned_studies_in_a_batch_equal_separate_runs() -> None:
    model = tiny_model("qwen2")
    together = answer(model, inputs(studies(True)))
    assert together == [answer(model, inputs([s]))[0] for s in studies(True)]


def test_stills_can_be_pruned_too() -> None:
    model = tiny_model("llama")
    video = sample((3, 4, 4), 2, video=True, pruned=True, seed=5)
    batch = inputs([video])
    as_image = {
        "input_ids": torch.where(batch["input_ids"] == 2, 1, batch["input_ids"]),
        "attention_mask": batch["attention_mask"],
        "pixel_values": batch["pixel_values_videos"],
        "image_grid_thw": batch["video_grid_thw"],
        "image_merge_sizes": batch["video_merge_sizes"],
        "image_compression_mask": batch["video_compression_mask"],
    }
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, model(**as_image).logits)


def test_encoded_once_and_reused() -> None:
    model = tiny_model("qwen2")
    for study in studies(True):
        batch = inputs([study])
        with torch.no_grad():
            features = model.encode(study.patches, torch.tensor([study.grid]), torch.tensor([study.merge]))
            assert features.shape[0] == study.keep.numel()
            calls: list[int] = []
            handle = model.model.vision_model.register_forward_hook(lambda *_, calls=calls: calls.append(1))
            embeds = model.embed_prompt(batch["input_ids"], select_kept(features, study.keep))
            reused = model(inputs_embeds=embeds).logits
            handle.remove()
            assert not calls
            assert (reused - model(**batch).logits).abs().max() <= 1e-5


def test_last_logits_only_at_prefill() -> None:
    model = tiny_model("qwen2")
    batch = inputs([studies(True)[1]])
    shapes = []
    handle = model.lm_head.register_forward_hook(lambda _, args, out: shapes.append(tuple(out.shape[:2])))
    with torch.no_grad():
        last = model(**batch, logits_to_keep=1).logits
        every = model(**batch).logits
    answer(model, batch, tokens=3)
    handle.remove()
    assert shapes[0] == (1, 1)
    assert shapes[2:] == [(1, 1)] * 3
    assert torch.allclose(last[:, 0], every[:, -1], atol=1e-5)


def test_wrong_number_of_placeholders_is_refused() -> None:
    model = tiny_model("qwen2")
    study = studies(True)[1]
    batch = inputs([study], masks=False)
    with pytest.raises(ValueError, match="video placeholders"):
        model(**batch)
    with pytest.raises(ValueError, match="placeholders, but 0"):
        model.embed_prompt(batch["input_ids"])


def test_one_placeholder_id_for_both_kinds_is_refused_when_they_mix() -> None:
    model = tiny_model("qwen2")
    model.config.video_token_id = model.config.image_token_id
    with pytest.raises(ValueError, match="different placeholder ids"):
        model(**inputs(studies(False)))


def test_checkpointing_of_the_whole_model_changes_no_gradient() -> None:
    model = tiny_model("llama").train()
    batch = inputs(studies(True))
    labels = batch["input_ids"].clone()
    labels[:, :-6] = -100

    def gradient() -> torch.Tensor:
        model.zero_grad()
        model(**batch, labels=labels).loss.backward()
        gradient = model.model.vision_model.embeddings.patch_embedding.weight.grad
        assert isinstance(gradient, torch.Tensor)
        return gradient.clone()

    plain = gradient()
    model.activation_checkpointing_enable()
    assert torch.allclose(plain, gradient(), atol=1e-6)
    assert plain.abs().max() > 0


def test_packed_samples_equal_separate_ones_and_the_cache_trap_is_known() -> None:
    """Restarting positions isolate samples in one row, but only without a cache."""
    model = tiny_model("qwen2")
    first, second = studies(False)[0], studies(False)[2]
    ids = torch.tensor([first.ids + second.ids])
    positions = torch.tensor([[*range(len(first.ids)), *range(len(second.ids))]])
    both = {k: v for k, v in inputs([first, second]).items() if k not in ("input_ids", "attention_mask")}
    with torch.no_grad():
        apart = torch.cat([model(**inputs([s])).logits[0] for s in (first, second)])
        packed = model(input_ids=ids, position_ids=positions, use_cache=False, **both).logits[0]
        cached = model(input_ids=ids, position_ids=positions, use_cache=True, **both).logits[0]
    assert (packed - apart).abs().max() <= 1e-5
    assert (cached - apart).abs().max() > 1e-3


def test_training_forward_never_asks_for_a_cache() -> None:
    """Labels without a cache switch it off, so that packed training rows stay isolated."""
    model = tiny_model("qwen2")
    batch = inputs(studies(False)[:1])
    assert model(**batch, labels=batch["input_ids"]).past_key_values is None


def test_half_precision_runs() -> None:
    model: OmniVMedForConditionalGeneration = tiny_model("llama").bfloat16()
    assert len(answer(model, inputs(studies(True)), tokens=4)) == 4
