"""Editing experts in miniature: what they are taught is known to the pixel, and they learn it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.draw import phantom
from train.draw import recipe
from train.draw.data.edits import coarse, put_opacity
from train.draw.data.pictures import SIDE, Pictures, Row
from train.draw.data.prompts import PromptBook
from train.draw.data.teaching import Teacher
from train.draw.fit.editor import EditorLegConfig, batch_loss, train_editor
from train.draw.measure.edits import back_projected
from train.draw.measure.pixels import interval_over, psnr
from train.draw.text import instructions


def chest(seed: int = 0) -> np.ndarray:
    """Two dark ovals in a bright trunk."""
    ys, xs = np.mgrid[:SIDE, :SIDE]
    image = np.where(np.abs(xs - SIDE / 2) < 52, 170, 5).astype(np.float32)
    for middle in (38, 90):
        image[np.hypot((ys - 58) / 1.6, xs - middle) < 22] = 60
    image += np.random.default_rng(seed).normal(0, 4, image.shape)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, -1)


def chests() -> Pictures:
    labels = {"modality": "X-ray", "organ": "chest"}
    rows = [Row(f"c/{i}", "cxr", f"p{i}", "test" if i == 3 else "train", labels) for i in range(4)]
    return Pictures(np.stack([chest(i) for i in range(4)]), rows)


def book() -> PromptBook:
    inserts = [
        text
        for side in ("left", "right")
        for zone in ("upper", "middle", "lower")
        for text in instructions.insert(side, zone)
    ]
    return phantom.book([*instructions.sharpen(), *instructions.remove(), *inserts])


def test_an_opacity_is_put_where_the_words_say() -> None:
    image = chest()
    for side, zone in (("left", "lower"), ("right", "upper")):
        one = put_opacity(image, side, zone)
        assert one is not None
        rows, columns = np.nonzero(one.mask)
        assert (columns.mean() > SIDE / 2) == (side == "left")  # the patient's, face to face
        assert (rows.mean() > 58) == (zone == "lower")
        moved = one.picture.astype(int) - image
        assert moved.min() >= 0
        assert moved[one.mask].mean() > 40
        assert moved[~one.mask].mean() < 1
    assert put_opacity(np.zeros((SIDE, SIDE, 3), np.uint8), "left", "lower") is None


def test_lessons_are_a_function_of_the_generator_and_differ_only_where_they_should() -> None:
    teacher = Teacher(chests(), "counterfactual")
    one, again = (teacher.lesson(np.random.default_rng(3), 24) for _ in range(2))
    assert np.array_equal(one.given, again.given)
    assert one.texts == again.texts
    kinds = set()
    for given, wanted, text in zip(one.given, one.wanted, one.texts, strict=True):
        moved = wanted.astype(int) - given
        kind = "keep" if not moved.any() else "insert" if moved.max() > 0 else "remove"
        kinds.add(kind)
        assert (text in instructions.remove()) == (kind != "insert")
        assert (moved != 0).mean() < 0.25
    assert kinds == {"keep", "insert", "remove"}


def test_it_learns_to_sharpen_in_miniature(tmp_path: Path) -> None:
    pictures, config = phantom.pictures(), recipe.tiny_editor_leg("super_resolution", 30)
    tensors = train_editor(pictures, book(), tmp_path, config)
    assert any(name.startswith("ema.") for name in tensors)
    _, fresh = _gain(pictures, tmp_path / "fresh", replace(config, steps=1, lr=1e-9))
    _, taught = _gain(pictures, tmp_path / "more", replace(config, steps=1, lr=1e-9), tensors)
    assert fresh == pytest.approx(0.0, abs=1e-3)
    assert taught > 0.3


def _gain(
    pictures: Pictures, folder: Path, config: EditorLegConfig, begin: dict[str, torch.Tensor] | None = None
) -> tuple[dict[str, torch.Tensor], float]:
    from omnivmed.generation.editor import Editor

    tensors = train_editor(pictures, book(), folder, config, begin)
    editor = Editor(config.editor)
    editor.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("ema.")})
    _, told = batch_loss(editor, Teacher(pictures, config.task), book(), config, 99)
    return tensors, told["gain"]


def test_a_leg_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from train.loop import fit as loop

    pictures, config = chests(), recipe.tiny_editor_leg("counterfactual", 8)
    whole = train_editor(pictures, book(), tmp_path / "whole", config)
    monkeypatch.setattr("train.draw.fit.editor.SAVE_EVERY", 4)

    class Killed(Exception):
        pass

    real = loop.Run.save

    def save(self, step, *args, **kwargs):  # type: ignore[no-untyped-def]
        real(self, step, *args, **kwargs)
        raise Killed

    monkeypatch.setattr(loop.Run, "save", save)
    with pytest.raises(Killed):
        train_editor(pictures, book(), tmp_path / "parts", config)
    monkeypatch.setattr(loop.Run, "save", real)
    parts = train_editor(pictures, book(), tmp_path / "parts", config)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_back_projection_keeps_the_coarse_picture() -> None:
    image = chest()
    small = image.reshape(32, 4, 32, 4, 3).mean((1, 3))
    given = small.round().astype(np.uint8).repeat(4, 0).repeat(4, 1)
    better = back_projected(coarse(image), given)
    assert np.abs(better.reshape(32, 4, 32, 4, 3).mean((1, 3)) - small).mean() < 1.5
    assert psnr(image, better) > psnr(image, coarse(image))


def test_an_interval_over_people_is_wider_than_one_over_pictures() -> None:
    values, people = [0.0] * 20 + [1.0] * 20, ["a"] * 20 + ["b"] * 20
    low, high = interval_over(values, people)
    assert (low, high) == (0.0, 1.0)
