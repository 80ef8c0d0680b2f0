"""The editing expert: it begins at the picture, hears the prompt, and is offered only where the card says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from omnivmed import weights
from omnivmed.errors import ModelError
from omnivmed.generation.changes import change_of
from omnivmed.generation.config import DrawConfig, EditorConfig, parse
from omnivmed.generation.editor import Editor
from omnivmed.generation.expert import ExpertLayer
from omnivmed.generation.loading import EDITORS_FILE, load_editors
from omnivmed.generation.pipeline import DrawPipeline, added_to
from omnivmed.generation.prefix import Prefix, stack
from tests.generation.tiny import AUTOENCODER, CARD, NARROW, random_prefix, tiny_pipeline
from tests.model.tiny import randomise

TINY = EditorConfig((0, 1), 2, 4, 2, 16, side=32, fold=4, widths=(8, 16), blocks=(1, 0), mlp=24)


def tiny_editor(zero: bool = False) -> Editor:
    torch.manual_seed(0)
    editor = Editor(TINY)
    if not zero:
        randomise(editor, 0)
        editor.pooled_spread.fill_(1.0)
    return editor.train(False).requires_grad_(False)


def edited_pipeline(*tasks: str) -> DrawPipeline:
    plain = tiny_pipeline()
    config = replace(plain.config, editors=dict.fromkeys(tasks, TINY))
    return DrawPipeline(
        config, plain.expert, plain.autoencoder, plain.reader, {task: tiny_editor() for task in tasks}
    )


def test_doing_nothing_is_where_it_starts() -> None:
    given = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(tiny_editor(zero=True)(given, random_prefix(NARROW, (3, 5))), torch.zeros_like(given))


def test_every_picture_hears_its_own_prompt_whatever_the_batch() -> None:
    editor, given = tiny_editor(), torch.rand(2, 3, 32, 32) * 2 - 1
    short, long = random_prefix(NARROW, (3,), seed=1), random_prefix(NARROW, (6,), seed=2)
    both = editor(given, stack([short, long]))
    alone = torch.cat([editor(given[:1], short), editor(given[1:], long)])
    assert torch.allclose(both, alone, atol=1e-5)
    assert not torch.allclose(both[0], editor(given[:1], long)[0], atol=1e-3)


def test_the_scales_are_those_of_many_prompts() -> None:
    editor = Editor(TINY)
    prefix = random_prefix(NARROW, (4, 6, 5, 6))
    big = Prefix(prefix.keys * 50, prefix.values * 20 + 7, prefix.lengths, prefix.index)
    editor.fit_prefix(big)
    told = editor.signal(big)
    layer = editor.layers[0]
    assert isinstance(layer, ExpertLayer)
    assert float(layer.key_scale.mean()) == pytest.approx(1 / 50, rel=0.3)
    assert told.std() > 0.01
    assert torch.isfinite(editor(torch.zeros(4, 3, 32, 32), big)).all()


def test_the_configuration_of_editors_comes_back_and_older_ones_have_none() -> None:
    config = DrawConfig("v", "nano", AUTOENCODER, NARROW, CARD, {"translation": TINY})
    assert parse(config.as_json()) == config
    older = config.as_json()
    del older["editors"]
    assert parse(older).editors == {}
    with pytest.raises(ModelError):
        parse(config.as_json() | {"editors": {"translation": {"depth": 3}}})


def test_editors_are_verified_and_must_fit(tmp_path: Path) -> None:
    config = DrawConfig("v", "nano", AUTOENCODER, NARROW, CARD, {"translation": TINY})
    editor = tiny_editor()
    save_file({f"translation.{k}": v for k, v in editor.state_dict().items()}, tmp_path / EDITORS_FILE)
    weights.write_manifest(tmp_path, (EDITORS_FILE,))
    (loaded,) = load_editors(tmp_path, config).values()
    assert all(torch.equal(v, editor.state_dict()[k]) for k, v in loaded.state_dict().items())
    assert load_editors(tmp_path, replace(config, editors={})) == {}
    with pytest.raises(ModelError, match="do not fit"):
        load_editors(tmp_path, replace(config, editors={"super_resolution": TINY}))
    (tmp_path / EDITORS_FILE).write_bytes(b"other")
    with pytest.raises(ModelError) as error:
        load_editors(tmp_path, config)
    assert error.value.code == "ChecksumMismatch"


def test_a_change_takes_one_step_and_no_seed() -> None:
    pipe = edited_pipeline("super_resolution", "translation")
    given = (np.arange(40 * 30).reshape(40, 30) % 256).astype(np.uint8)
    seen: list[tuple[int, int]] = []
    one = pipe.generate_image(
        "sharpen", given, seed=2, steps=9, callback=lambda done, total, preview: seen.append((done, total))
    )
    two = pipe.generate_image("sharpen", given, seed=3)
    assert seen == [(1, 1)]
    assert one.params["steps"] == 1
    assert np.array_equal(one.image[: one.image.shape[1]], two.image[: two.image.shape[1]])
    assert "8 x 8 pixels" in one.text
    other = pipe.generate_image("show this as T2", given, seed=2)
    assert other.params["task"] == "translation"
    assert not np.array_equal(one.image, other.image)


def test_a_counterfactual_is_read_off_what_its_expert_adds() -> None:
    pipe = edited_pipeline("counterfactual")
    given = np.full((32, 32, 3), 90, np.uint8)
    change = pipe.counterfactual(given, "remove the opacity", seed=2)
    levels = pipe._added(
        pipe._work("remove the opacity", given, "counterfactual", *(None,) * 4, "global", 3.0, 2), None
    )
    wanted = change_of(given, levels.mean(-1))
    assert np.array_equal(change.difference_map, wanted.difference_map)
    assert change.explanation == wanted.sentence


def test_a_change_that_was_not_right_often_enough_is_refused() -> None:
    pipe = edited_pipeline("counterfactual")
    given = np.full((32, 32, 3), 120, np.uint8)
    level = 0.0

    class Fixed(Editor):
        def forward(self, given: torch.Tensor, prefix: Prefix) -> torch.Tensor:
            out = torch.zeros_like(given)
            out[:, :, 4:14, 4:14], out[:, :, 24:30, 24:30] = level, -level / 2
            return out

    pipe.editors["counterfactual"] = Fixed(replace(TINY, lets_through="darker"))
    level = -0.5
    change = pipe.counterfactual(given, "remove the opacity", seed=1)
    assert change.difference_map[6, 6] > 0.1
    assert change.difference_map[26, 26] == 0
    level = 0.5
    with pytest.raises(ModelError, match="held back"):
        pipe.counterfactual(given, "add an opacity", seed=1)


def test_what_is_grey_stays_grey_and_what_is_coloured_may_not() -> None:
    grey = np.full((2, 4, 4, 3), 100, np.uint8)
    grey[1, ..., 0] = 120
    added = np.zeros((2, 4, 4, 3), np.float32)
    added[..., 2] = 30
    out = added_to(grey, added)
    assert (out[0] == 110).all()
    assert out[1, 0, 0].tolist() == [120, 100, 130]
    assert added_to(grey[0], added[0] + 400).max() == 255


def test_the_place_of_a_soft_change_is_its_width_at_half_maximum() -> None:
    ys, xs = np.mgrid[:64, :64]
    soft = 80 / (1 + np.exp((np.hypot(ys - 40, xs - 20) - 8) * 1.0))
    known = np.hypot(ys - 40, xs - 20) <= 8
    change = change_of(np.full((64, 64, 3), 60, np.uint8), soft.astype(np.float32))
    assert (change.mask & known).sum() / (change.mask | known).sum() > 0.85
    assert "left half" in change.sentence
