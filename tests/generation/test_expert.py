"""The expert: silent before training, equal to one joint sequence, and never seen by the understanding model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from omnivmed.generation.config import ExpertConfig
from omnivmed.generation.expert import Expert, patchify, place_table, unpatchify
from omnivmed.generation.joint import joint_forward
from omnivmed.generation.prefix import DecoderReader, stack
from omnivmed.model.decode import Decoder
from omnivmed.model.modeling import OmniVMedForConditionalGeneration
from tests.generation.tiny import NARROW, PLAIN, random_prefix, tiny_expert, tiny_model
from tests.inference.mock import CharTokenizer

NORMED = replace(PLAIN, qk_norm=True, head_dim=24)  # Qwen3's heads


@pytest.mark.parametrize("config", [NARROW, PLAIN])
def test_an_untrained_expert_says_nothing(config: ExpertConfig) -> None:
    prefix = random_prefix(config, (5, 3))
    v = tiny_expert(config, zero=True)(torch.randn(2, 4, 4, 4), torch.tensor([0.3, 1.0]), prefix)
    assert torch.equal(v, torch.zeros(2, 4, 4, 4))


def _theta(model: OmniVMedForConditionalGeneration) -> float:
    rope: Any = model.config.text_config.rope_parameters
    return float(rope["rope_theta"])


@pytest.mark.parametrize(("kind", "config"), [("llama", NARROW), ("qwen2", PLAIN), ("qwen3", NORMED)])
def test_cached_prefix_equals_one_joint_sequence(kind: str, config: ExpertConfig) -> None:
    model = tiny_model(kind)
    expert = tiny_expert(replace(config, rope_theta=_theta(model)))
    reader = DecoderReader(model, Decoder(model), CharTokenizer(), config.layers)
    x, t = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(5)), torch.tensor([0.6])
    ids = _ids(model, "a chest")
    with torch.inference_mode():
        cached = expert(x, t, expert.scaled(reader.read("a chest")))
        text, joint = joint_forward(model.model.language_model, expert, model.embed_prompt(ids)[0], x, t)
        alone = model.model.language_model(inputs_embeds=model.embed_prompt(ids)).last_hidden_state[0]
    assert torch.allclose(cached, joint, atol=2e-4)
    assert float(joint.abs().mean()) > 0.01
    assert torch.allclose(text, alone, atol=2e-4)


def test_the_prompt_never_sees_what_is_drawn() -> None:
    model, expert = tiny_model("llama"), tiny_expert(replace(NARROW, rope_theta=10000.0))
    embeds = model.embed_prompt(_ids(model, "a chest"))[0]
    with torch.inference_mode():
        seen = [
            joint_forward(
                model.model.language_model, expert, embeds, torch.full((1, 4, 4, 4), value), torch.ones(1)
            )
            for value in (0.0, 3.0)
        ]
    assert torch.equal(seen[0][0], seen[1][0])  # to the last bit
    assert not torch.equal(seen[0][1], seen[1][1])


def test_answers_are_the_same_with_and_without_an_expert() -> None:
    model = tiny_model("llama")
    decoder = Decoder(model)

    def logits() -> torch.Tensor:
        return decoder.prefill(model.embed_prompt(_ids(model, "what is this?")), decoder.new_cache())

    before = logits()
    expert = tiny_expert()
    prefix = DecoderReader(model, decoder, CharTokenizer(), NARROW.layers).read("a chest")
    during = logits()
    expert(torch.randn(1, 4, 4, 4), torch.ones(1), expert.scaled(prefix))
    assert torch.equal(before, during)
    assert torch.equal(before, logits())


@pytest.mark.parametrize("config", [NARROW, PLAIN])
def test_padding_and_neighbours_change_nothing(config: ExpertConfig) -> None:
    expert = tiny_expert(config)
    one, two = random_prefix(config, (3,), seed=1), random_prefix(config, (7,), seed=2)
    x, t = torch.randn(2, 4, 4, 4), torch.tensor([0.2, 0.9])
    together = expert(x, t, stack([one, two]))
    alone = torch.cat([expert(x[:1], t[:1], one), expert(x[1:], t[1:], two)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_condition_picture_counts_and_can_be_left_out() -> None:
    expert, prefix = tiny_expert(), random_prefix(NARROW, (4, 4))
    x, t, given = torch.randn(2, 4, 4, 4), torch.tensor([0.5, 0.5]), torch.randn(2, 4, 4, 4)
    with_it = expert(x, t, prefix, given, torch.tensor([True, False]))
    without = expert(x, t, prefix)
    assert not torch.allclose(with_it[0], without[0], atol=1e-3)
    assert torch.allclose(with_it[1], without[1], atol=1e-5)


def test_clean_tokens_are_read_like_a_longer_prompt() -> None:
    expert, prefix = tiny_expert(PLAIN), random_prefix(PLAIN, (4,))
    given = torch.randn(1, 4, 4, 4)
    longer = expert.extended(prefix, given)
    assert (longer.keys.shape[3], longer.index.tolist()) == (4 + PLAIN.tokens, [5])
    assert torch.equal(longer.keys[..., :4, :], prefix.keys)
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([0.5])
    assert not torch.allclose(expert(x, t, longer), expert(x, t, prefix), atol=1e-3)
    with pytest.raises(ValueError, match="clean tokens"):
        expert(x, t, prefix, given)


def test_tokens_lie_in_raster_order_and_come_back() -> None:
    z = torch.randn(2, 4, 8, 8)
    tokens = patchify(z, 2)
    assert tokens.shape == (2, 16, 16)
    assert torch.equal(tokens[:, 5].sort(dim=-1).values, z[:, :, 2:4, 2:4].flatten(1).sort(dim=-1).values)
    assert torch.equal(unpatchify(tokens, 2), z)
    assert len(torch.unique(place_table(8, 64), dim=0)) == 64


def test_prefix_scales_bring_the_prompt_to_a_spread_of_one() -> None:
    expert, prefix = Expert(NARROW), random_prefix(NARROW, (6, 4))
    prefix = replace(prefix, keys=prefix.keys * 30, values=prefix.values * 0.01)
    expert.fit_prefix(prefix)
    scaled = expert.scaled(prefix)
    for tensor in (scaled.keys, scaled.values):
        assert 0.7 < float(tensor.square().mean().sqrt()) < 1.4


def _ids(model: object, text: str) -> torch.Tensor:
    from omnivmed.model.prompts import build_prompt

    config = model.config  # type: ignore[attr-defined]
    ids = build_prompt(
        CharTokenizer(), text, "image", (), None, (), config.image_token_id, config.video_token_id
    )
    return torch.tensor([ids])
