"""The decoder against `generate`, and the cache that follow-up questions keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import Qwen2Config

from omnivmed.model import decode
from omnivmed.model.decode import Decoder, ReferenceDecoder, greedy, make_decoder
from omnivmed.model.tokens import select_kept
from tests.model.tiny import KINDS, inputs, sample, stock_twin, tiny_model

BOTH = [Decoder, ReferenceDecoder]


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PREFILL_CHUNK", 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("make", BOTH)
def test_greedy_tokens_equal_stock_generate(kind: str, tied: bool, make: type) -> None:
    model = tiny_model(kind, tied)
    study = sample((4, 4, 6), 2, video=True, pruned=True, seed=7)
    batch = inputs([study])
    expected = stock_twin(model).generate(**batch, max_new_tokens=40, do_sample=False)
    with torch.no_grad():
        features = model.encode(study.patches, torch.tensor([study.grid]), torch.tensor([study.merge]))
        embeds = model.embed_prompt(batch["input_ids"], select_kept(features, study.keep))
    decoder = make(model)
    got = list(greedy(decoder, embeds, decoder.new_cache(), 40))
    assert got == expected[0, len(study.ids) :].tolist()
    assert len(set(got)) > 4


@pytest.mark.parametrize("make", BOTH)
def test_truncated_and_copied_caches_continue_exactly(make: type) -> None:
    model = tiny_model("qwen2")
    decoder = make(model)
    ids = torch.randint(10, 300, (1, 30), generator=torch.Generator().manual_seed(0))
    embeds = model.embed_prompt(ids)
    cache = decoder.new_cache(reserve=4)
    whole = decoder.prefill(embeds, cache)
    assert cache.length == 30
    decoder.step(5, cache)
    cache.truncate(17)  # another question on the same study
    snapshot = cache.copy()
    assert cache.length == snapshot.length == 17
    assert snapshot.nbytes <= cache.nbytes
    decoder.prefill(embeds[:, :9], snapshot)  # does not touch the original
    assert torch.allclose(decoder.prefill(embeds[:, 17:], cache), whole, atol=1e-5)
    cache.truncate(0)
    assert torch.allclose(decoder.prefill(embeds, cache), whole, atol=1e-5)
    with pytest.raises(ValueError, match="cannot cut"):
        cache.truncate(31)


@pytest.mark.parametrize("make", BOTH)
def test_steps_equal_prefill(make: type) -> None:
    model = tiny_model("llama")
    decoder = make(model)
    ids = list(range(20, 40))
    stepped, read = decoder.new_cache(), decoder.new_cache()
    for token in ids:
        logits = decoder.step(token, stepped)
    expected = decoder.prefill(model.embed_prompt(torch.tensor(ids)), read)
    assert torch.allclose(logits, expected, atol=1e-5)
    assert stepped.length == read.length == 20


@pytest.mark.parametrize("make", BOTH)
def test_a_prompt_may_be_read_in_parts(make: type) -> None:
    model = tiny_model("llama")
    decoder, cache = make(model), make(model).new_cache()
    embeds = model.embed_prompt(torch.arange(20, 50))
    decoder.prefill(embeds[:, :16], cache)
    assert cache.length == 16
    finished = decoder.prefill(embeds[:, 16:], cache)
    assert torch.allclose(finished, decoder.prefill(embeds, decoder.new_cache()), atol=1e-5)


def test_greedy_ends_at_a_stop_token() -> None:
    model = tiny_model("qwen2")
    decoder = make_decoder(model)
    embeds = model.embed_prompt(torch.arange(20, 30))
    free = list(greedy(decoder, embeds, decoder.new_cache(), 12))
    stopped = list(greedy(decoder, embeds, decoder.new_cache(), 12, frozenset({free[5]})))
    assert stopped == free[: free.index(free[5])]


def test_bfloat16_decoder_of_a_float32_model_stays_close() -> None:
    model = tiny_model("llama")
    embeds = model.embed_prompt(torch.arange(20, 50))
    exact, half = Decoder(model), Decoder(model, torch.bfloat16)
    a = exact.prefill(embeds, exact.new_cache())
    b = half.prefill(embeds, half.new_cache())
    assert b.dtype == torch.bfloat16
    assert torch.cosine_similarity(a, b.float(), dim=0) > 0.99


def test_other_language_models_take_the_reference_path() -> None:
    model = tiny_model("qwen2")
    assert isinstance(make_decoder(model), Decoder)
    text: Any = model.config.text_config
    assert isinstance(text, Qwen2Config)
    text.layer_types = ["full_attention", "sliding_attention"]
    assert isinstance(make_decoder(model), ReferenceDecoder)
    with pytest.raises(ValueError, match="make_decoder"):
        Decoder(model)


def test_an_empty_or_batched_prompt_is_refused() -> None:
    model = tiny_model("llama")
    decoder = make_decoder(model)
    for shape, message in (((1, 0, 64), "nothing to read"), ((2, 3, 64), "batch of 2")):
        with pytest.raises(ValueError, match=message):
            decoder.prefill(torch.zeros(shape), decoder.new_cache())


def test_large_models_are_used_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("qwen2")
    embeds = model.embed_prompt(torch.arange(20, 50))
    fused = Decoder(model)
    monkeypatch.setattr(decode, "FUSE_BYTES", 0)
    plain = Decoder(model)
    a = fused.prefill(embeds, fused.new_cache())
    assert torch.allclose(a, plain.prefill(embeds, plain.new_cache()), atol=1e-5)
    with pytest.raises(ValueError, match="load it as"):
        Decoder(model, torch.bfloat16)
