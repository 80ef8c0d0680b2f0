"""Words to a stamped picture: seeds, steps, stopping, edits, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from omnivmed import provenance
from omnivmed.errors import Cancelled, ModelError
from omnivmed.generation.changes import change_of
from tests.generation.tiny import CARD, NARROW, PLAIN, tiny_pipeline


@pytest.mark.parametrize("config", [NARROW, PLAIN])
def test_one_seed_one_picture(config) -> None:  # type: ignore[no-untyped-def]
    pipe = tiny_pipeline(config)
    one, again, other = (pipe.generate_image("a chest", seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)
    assert (one.seed, one.prompt, one.model_id, one.params["steps"]) == (4, "a chest", "tiny/1", 3)
    origin = provenance.recognise(one.png)
    assert origin is not None
    assert not origin.edited


def test_a_seed_is_drawn_and_told() -> None:
    pipe = tiny_pipeline()
    one, two = pipe.generate_image("a chest"), pipe.generate_image("a chest")
    assert one.seed != two.seed
    assert np.array_equal(pipe.generate_image("a chest", seed=one.seed).image, one.image)


def test_the_prompt_decides_and_global_random_numbers_do_not() -> None:
    pipe = tiny_pipeline()
    torch.manual_seed(0)
    one = pipe.generate_image("a chest", seed=4).image
    torch.manual_seed(1)
    assert np.array_equal(pipe.generate_image("a chest", seed=4).image, one)
    assert not np.array_equal(pipe.generate_image("a hand", seed=4).image, one)


def test_every_step_is_told_and_can_stop_the_drawing() -> None:
    pipe, seen = tiny_pipeline(), []
    previews: list[bytes] = []

    def watch(done: int, total: int, preview: Callable[[], bytes]) -> None:
        seen.append((done, total))
        previews.append(preview())

    pipe.generate_image("a chest", seed=1, steps=4, callback=watch)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(provenance.recognise(one) is not None for one in previews)

    def stop(done: int, total: int, preview: Callable[[], bytes]) -> None:
        seen.append((done, total))
        if done == 2:
            raise Cancelled

    seen.clear()
    with pytest.raises(Cancelled):
        pipe.generate_image("a chest", seed=1, steps=50, callback=stop)
    assert seen == [(1, 50), (2, 50)]


def test_an_edit_begins_with_the_picture() -> None:
    pipe = tiny_pipeline()
    given = (np.arange(40 * 30).reshape(40, 30) % 256).astype(np.uint8)
    sharp = pipe.generate_image("sharpen", given, seed=2)
    other = pipe.generate_image("sharpen", given[::-1].copy(), seed=2)
    assert not np.array_equal(sharp.image, other.image)
    assert sharp.source_sha256 != other.source_sha256
    origin = provenance.recognise(sharp.png)
    assert origin is not None
    assert origin.edited
    assert "8 x 8 pixels" in sharp.text
    translated = pipe.generate_image("show this as T2", given, seed=2)
    assert translated.params["task"] == "translation"
    assert "guess" in translated.text


def test_a_counterfactual_shows_and_tells_what_differs() -> None:
    pipe = tiny_pipeline()
    given = np.full((32, 32, 3), 90, np.uint8)
    change = pipe.counterfactual(given, "remove the opacity", seed=2)
    assert np.array_equal(change.before, given)
    assert change.difference_map.shape == (32, 32)
    assert change.no_change == (change.difference_map.max() == 0)
    assert change.explanation == change.image.text


def test_what_was_not_trained_is_refused() -> None:
    pipe = tiny_pipeline(card=CARD | {"tasks": ["text_to_image"], "instructions": {}})
    given = np.zeros((32, 32), np.uint8)
    for ask in (
        lambda: pipe.counterfactual(given, "remove the opacity"),
        lambda: pipe.generate_image("sharpen", given),
        lambda: pipe.generate_image("a chest", size=512),
        lambda: pipe.generate_image("a chest", think=True),
    ):
        with pytest.raises(ModelError) as error:
            ask()
        assert error.value.code == "Unsupported"
    with pytest.raises(ValueError, match="uint8"):
        tiny_pipeline().generate_image("sharpen", np.zeros((32, 32), np.float32))


def test_a_change_is_found_where_it_is_and_the_rest_is_untouched() -> None:
    before = np.full((64, 64, 3), 100, np.uint8)
    levels = np.random.default_rng(0).normal(0, 1.5, (64, 64)).astype(np.float32)
    nothing = change_of(before, levels)
    assert nothing.no_change
    assert np.array_equal(nothing.after, before)
    levels[40:52, 44:56] += 60
    change = change_of(before, levels)
    truth = np.zeros((64, 64), bool)
    truth[40:52, 44:56] = True
    assert (change.mask & truth).sum() / (change.mask | truth).sum() > 0.7
    assert "lower third" in change.sentence
    assert "right half" in change.sentence
    assert "the patient's left" in change.sentence
    assert "brighter" in change.sentence
    assert np.array_equal(change.after[:30], before[:30])
