"""Media of a question → Study, and a model as the one who answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from omnivmed.errors import ModelError, StudyError
from omnivmed.eval.media import open_media
from omnivmed.eval.model import ask
from omnivmed.inference import Usage
from omnivmed.records import Item, Media
from omnivmed.study import Study
from tests.eval import trees


@pytest.fixture
def frames(tmp_path: Path) -> tuple[Path, ...]:
    for k in range(5):
        trees.picture(tmp_path / f"{k}.png", grey=40 * k)
    return tuple(tmp_path / f"{k}.png" for k in range(5))


def test_stills_one_by_one_frames_as_a_clip_slices_as_a_volume(frames: tuple[Path, ...]) -> None:
    assert [s.kind for s in open_media(Media("image", frames[:2]))] == ["image", "image"]
    (clip,) = open_media(Media("video", frames, fps=2))
    assert (clip.kind, clip.shape) == ("video", (5, 60, 80))
    assert clip.times_s is not None
    assert clip.times_s.tolist() == [0, 0.5, 1, 1.5, 2]
    (volume,) = open_media(Media("volume", frames, num_slices=3))
    assert (volume.kind, volume.shape) == ("volume", (3, 60, 80))
    assert volume.frames()[:, 0, 0, 0].tolist() == [0, 80, 160]
    assert open_media(Media("text")) == []


def test_media_that_make_no_study(frames: tuple[Path, ...], tmp_path: Path) -> None:
    trees.picture(tmp_path / "small.png", size=(10, 10))
    with pytest.raises(StudyError, match="different sizes"):
        open_media(Media("video", (frames[0], tmp_path / "small.png")))
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    with pytest.raises(StudyError, match="three axes"):
        open_media(Media("volume", (tmp_path / "flat.npy",)))
    (tmp_path / "torn.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(StudyError, match="could not be read"):
        open_media(Media("volume", (tmp_path / "torn.npy",)))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(StudyError):  # a pickle inside is never opened
        open_media(Media("volume", (tmp_path / "objects.npy",)))
    with pytest.raises(ValueError, match="paths"):
        Media("text", frames)


class Assistant:
    """Says how bright the picture is; refuses when told to."""

    def __init__(self) -> None:
        self.forgotten = 0

    def answer(self, study: Study, question: str, **settings: Any) -> Any:
        if question == "refuse":
            raise ModelError("TooLong", "Too long.")
        usage = Usage(visual_tokens_before=20, visual_tokens_after=5)
        return SimpleNamespace(text=str(int(study.frames()[0, 0, 0, 0])), usage=usage)

    def forget(self, study: Study) -> int:
        self.forgotten += 1
        return 0


def test_a_model_answers_and_its_failures_are_counted_not_hidden(frames: tuple[Path, ...]) -> None:
    assistant: Any = Assistant()
    answer = ask(assistant)
    item = Item("1", Media("image", frames[3:4]), "q", "120", False)
    reply = answer(item, "how bright?")
    assert (reply.text, reply.tokens_before, reply.tokens_after) == ("120", 20, 5)
    assert assistant.forgotten == 1
    assert answer(item, "refuse").error == "TooLong"
    two = Item("2", Media("image", frames[:2]), "q", "x", False)
    assert answer(two, "q").error == "2 studies in one question"
    assert ask(assistant, blank=True)(item, "how bright?").text == "127"
