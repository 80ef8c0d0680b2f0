"""Frames made smaller where they are decoded: the same bits as made smaller afterwards, and no whole frame crosses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.io.clip import RemoteClip
from omnivmed.resample import resize_frames
from omnivmed.vision import NANO_BUDGET, prepare
from tests.io.clip_makers import encoded

SIZES = [(56, 84), (28, 28), (96, 160), (120, 200)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    path.write_bytes(encoded(range(60), b_frames=2))
    return path


@pytest.mark.parametrize("isolated", [True, False])
def test_the_same_bits_as_made_smaller_afterwards(clip: Path, isolated: bool) -> None:
    asked = [3, 40, 3, 12, 59]
    with open_study(clip, isolated=isolated) as study, open_study(clip, isolated=isolated) as other:
        for size in SIZES:
            assert np.array_equal(study.take_resized(asked, size), resize_frames(other.take(asked), size))
        assert np.array_equal(study.take(asked), other.take(asked))  # whole ones after small ones
        assert np.array_equal(
            study.take_resized([3, 7], (28, 28)), resize_frames(other.take([3, 7]), (28, 28))
        )


def test_cut_and_painted_clips_are_changed_before_they_are_made_smaller(clip: Path) -> None:
    with open_study(clip) as study:
        for changed in (study.with_crop((10, 80), (20, 150)), study.with_painted([(0, 0, 48, 30)])):
            assert np.array_equal(
                changed.take_resized([5, 9], (28, 56)), resize_frames(changed.take([5, 9]), (28, 56))
            )
            assert not np.array_equal(changed.take_resized([5], (28, 56)), study.take_resized([5], (28, 56)))


def test_no_whole_frame_crosses_the_border_for_a_model(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches of a clip are those of the frames in full, but every answer of the worker has the small size."""
    sizes: list[Any] = []
    plain = RemoteClip._answer

    def answer(self: RemoteClip, child: Any, chunk: list[int], size: Any) -> Any:
        sizes.append(size)
        return plain(self, child, chunk, size)

    monkeypatch.setattr(RemoteClip, "_answer", answer)
    with open_study(clip) as study:
        patches = prepare(study, NANO_BUDGET)
        assert set(sizes) == {patches.resized_size}
        whole = study.take(patches.frame_index)
    with open_study(clip) as study:
        again = prepare(study, NANO_BUDGET, take=lambda i, size=None: resize_frames(whole, size or (0, 0)))
    assert np.array_equal(patches.patches, again.patches)


class Liar:
    """A worker that says "done" without room for what was asked."""

    ended = False

    def send(self, message: object) -> None: ...

    def receive(self, until: float) -> tuple[dict[str, Any], list[int]]:
        return {"op": "frame", "problems": []}, []


def test_a_block_that_is_too_small_is_no_picture(clip: Path) -> None:
    with open_study(clip) as study:
        study.take_resized([1], (28, 28))
        source: Any = study._source
        with pytest.raises(StudyError, match="decoded"):
            source._answer(Liar(), [1, 2], (96, 160))
