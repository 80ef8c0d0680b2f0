"""Clips of consecutive frames around the frame that a question is about."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from omnivmed import pruning
from omnivmed.eval import cholec80, endovis18, psi_ava
from omnivmed.eval.clips import Clip, asked_about, frames_in
from omnivmed.eval.media import open_media
from omnivmed.eval.model import ask
from omnivmed.eval.registry import find
from omnivmed.records import Item, Media
from omnivmed.vision import VisionBudget
from tests.eval import trees


def folder(tmp_path: Path, numbers: list[int], name: str = "{}.png") -> Path:
    for number in numbers:
        trees.picture(tmp_path / name.format(number), grey=number % 256)
    return tmp_path


def numbers(media: Media) -> list[int]:
    return [int(path.stem) for path in media.paths]


def test_a_clip_ends_with_the_frame_asked_about(tmp_path: Path) -> None:
    frames = frames_in(folder(tmp_path, list(range(0, 301, 25))), rate=25)
    assert frames.grid == 25
    media = frames.media(200, Clip(length=4))
    assert numbers(media) == [125, 150, 175, 200]
    assert (media.kind, media.fps, media.focus) == ("video", 1.0, 3)
    assert numbers(frames.media(200, Clip(4, stride_s=2))) == [50, 100, 150, 200]
    assert numbers(frames.media(200, Clip(5, after=2))) == [150, 175, 200, 225, 250]
    assert frames.media(200, Clip(5, after=2)).focus == 2
    assert numbers(frames.media(25, Clip(4))) == [0, 25]  # the video begins there
    assert numbers(frames.media(0, Clip(4))) == [0]


def test_sparse_and_dense_folders_have_true_times(tmp_path: Path) -> None:
    sparse = frames_in(folder(tmp_path / "sparse", [0, 100, 200, 300]), rate=25)
    assert (
        sparse.media(300, Clip(3)).fps == 0.25
    )  # only every hundredth frame was written: four seconds apart
    dense = frames_in(folder(tmp_path / "dense", list(range(60))), rate=25)
    assert numbers(dense.media(51, Clip(3))) == [1, 26, 51]
    assert numbers(dense.media(51, Clip(3, stride_s=0.04))) == [49, 50, 51]
    (study,) = open_media(dense.media(51, Clip(3, stride_s=0.2)))
    assert study.times_s is not None
    assert np.allclose(study.times_s, [0, 0.2, 0.4])


def test_a_missing_frame_ends_the_clip(tmp_path: Path) -> None:
    frames = frames_in(folder(tmp_path, [1, 2, 3, 5, 6, 7], "frame{:03d}.png"), rate=1)
    assert [p.name for p in frames.media(6, Clip(4)).paths] == ["frame005.png", "frame006.png"]
    assert frames_in(tmp_path / "nowhere", 1).files == {}


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    for wrong in ({"length": 0}, {"stride_s": 0}, {"stride_s": float("nan")}, {"length": 3, "after": 3}):
        with pytest.raises(ValueError, match="a clip of"):
            Clip(**wrong)
    assert Clip.parse("16x0.5+4") == Clip(16, 0.5, 4)
    assert Clip.parse("4x2") == Clip(4, 2.0, 0)
    for text in ("16", "x1", "16x", "16x1+", "16x-1", "16x1e9"):
        with pytest.raises(ValueError, match="LENGTHxSECONDS"):
            Clip.parse(text)
    with pytest.raises(ValueError, match="not read as clips"):
        find("slake:4x1")
    with pytest.raises(ValueError, match="focus"):
        Media("video", (tmp_path,), focus=1)


def test_the_question_names_its_frame() -> None:
    media = Media("video", tuple(Path(f"{i}.png") for i in range(8)), fps=2, focus=7)
    assert asked_about("Which phase?", media) == "Which phase? The question is about the frame at 3.5s."
    assert asked_about("Which phase?", Media("image", (Path("a.png"),))) == "Which phase?"


def test_the_three_sets_give_clips(tmp_path: Path) -> None:
    trees.cholec80(tmp_path / "c")
    folder(tmp_path / "c" / "cropped_image" / "5", [125, 150, 175])
    reading = find("cholec80").read(tmp_path / "c", "test")
    assert [len(i.media.paths) for i in reading.items] == [1, 1, 5]
    assert reading.items[2].question == "how many tools? The question is about the frame at 4.0s."
    assert "clips of up to 8 frames" in reading.note
    (item,) = find("cholec80:2x1").read(tmp_path / "c", "test").items[2:]
    assert [p.name for p in item.media.paths] == ["175.png", "200.png"]
    stills = find("cholec80-stills").read(tmp_path / "c", "test")
    assert [(i.id, i.answer) for i in stills.items] == [(i.id, i.answer) for i in reading.items]
    assert {i.media.kind for i in stills.items} == {"image"}
    assert stills.items == cholec80.read(tmp_path / "c", "test").items

    trees.endovis18(tmp_path / "e")
    folder(tmp_path / "e" / "seq_1" / "left_frames", [1, 2], "frame{:03d}.png")
    answers = endovis18.read(tmp_path / "e", "test", Clip(3, 0.5)).items
    assert [p.name for p in answers[2].media.paths] == ["frame000.png", "frame001.png"]
    assert [i.about.task for i in answers] == ["anatomy", "workflow", "location"]

    trees.psi_ava(tmp_path / "p")
    folder(tmp_path / "p" / "keyframes" / "CASE001", [1], "{:05d}.jpg")
    sparse = psi_ava.read(tmp_path / "p", "test", Clip()).items
    assert [len(i.media.paths) for i in sparse] == [1, 1, 2]
    folder(tmp_path / "p" / "frames" / "CASE001", [0, 1], "{:05d}.jpg")
    assert "frames" in str(psi_ava.read(tmp_path / "p", "test", Clip()).items[2].media.paths[0].parent)


def test_pruning_touches_a_clip_and_not_its_last_frame_as_a_still(tmp_path: Path) -> None:
    frames = frames_in(folder(tmp_path, [0, 1, 2, 3]), rate=1)  # nearly equal grey levels
    (clip,) = open_media(frames.media(3, Clip(4)))
    (still,) = open_media(Media("image", (tmp_path / "3.png",)))
    assert pruning.prune(clip).kept < pruning.prune(clip).total
    assert pruning.prune(still).kept == pruning.prune(still).total


def test_a_frame_that_the_model_would_not_see_is_an_error_not_an_answer(tmp_path: Path) -> None:
    frames = frames_in(folder(tmp_path, list(range(12))), rate=25)
    assistant: Any = SimpleNamespace(
        budget=VisionBudget(min_frames=1),
        answer=lambda study, prompt, options: SimpleNamespace(
            text="yes", usage=SimpleNamespace(visual_tokens_before=1, visual_tokens_after=1)
        ),
        forget=lambda study: 0,
    )
    media = frames.media(11, Clip(12, 0.04))  # half a second: one frame a second shows the first alone
    assert ask(assistant)(Item("1", media, "q", "yes", True), "q").error == "FrameNotShown"
    assistant.budget = VisionBudget()
    assert ask(assistant)(Item("1", media, "q", "yes", True), "q").text == "yes"
