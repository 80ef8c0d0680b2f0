"""Clips: exact frames by number and by time, rotation, damage, disguises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.io.makers import clip_bytes, put, sound_bytes

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]

CONTAINERS = [
    ("mp4", "mpeg4"),
    ("mov", "mjpeg"),
    ("matroska", "mpeg4"),
    ("avi", "mjpeg"),
    ("webm", "libvpx-vp9"),
    ("mpeg", "mpeg2video"),
    ("mp4", "libx264"),
]


def numbers(frames: np.ndarray) -> list[int]:
    """Which frame each picture is, from the grey of its left half."""
    return [round(float(f[8:40, 4:28].mean()) / 3) for f in frames]


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_frame_n_is_frame_n(open_bytes: Opener, container: str, codec: str) -> None:
    study = open_bytes(clip_bytes(30, container, codec))
    assert (study.kind, study.shape, study.channels) == ("video", (30, 48, 64), 3)
    assert study.times_s is not None
    assert np.allclose(study.times_s, np.arange(30) / 25, atol=0.002)
    order = [17, 3, 29, 0, 4, 5, 28, 17]
    assert np.abs(np.subtract(numbers(study.take(order)), order)).max() <= 1
    assert study.warnings == []


def test_every_jump_gives_the_same_picture(open_bytes: Opener) -> None:
    for container, codec in (("mp4", "libx264"), ("mpeg", "mpeg2video")):
        data = clip_bytes(40, container, codec, gop=8)
        straight = open_bytes(data, "a").frames()
        jumping = open_bytes(data, "b", limits=Limits(frame_cache_bytes=0))
        for index in np.random.default_rng(0).permutation(40):
            assert np.array_equal(jumping.take([index])[0], straight[index]), (container, index)


def test_uneven_times_are_kept(open_bytes: Opener) -> None:
    times = [0, 1, 2, 3, 13, 23, 33]
    study = open_bytes(clip_bytes(7, "matroska", "mpeg4", times=times))
    assert study.times_s is not None
    assert np.allclose(study.times_s, np.asarray(times) / 25, atol=0.002)
    assert [study.index_at(t) for t in (0.0, 0.05, 0.5, 0.52, 99.0)] == [0, 1, 3, 4, 6]


def test_isolated_clip_is_lazy_and_agrees(open_bytes: Opener) -> None:
    data = clip_bytes(30)
    here, there = open_bytes(data, "a.mp4"), open_bytes(data, "b.mp4", isolated=True)
    assert np.array_equal(here.frames(), there.frames())
    assert here.digest == there.digest
    there.close()
    with pytest.raises(ValueError, match="closed"):
        there.frames(0, 1)


def test_deleted_file_stays_readable(tmp_path: Path) -> None:
    path = put(tmp_path, "a.mp4", clip_bytes(30))
    with open_study(path) as study:
        path.unlink()
        assert numbers(study.take([29, 2])) == [29, 2]


def test_no_picture_is_not_an_image(refuse_bytes: Refuser) -> None:
    assert refuse_bytes(sound_bytes(), "a.mp4").code == "NotAnImage"


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
        "ffconcat version 1.0\nfile other.mp4\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    ],
)
def test_playlists_are_text(refuse_bytes: Refuser, text: str) -> None:
    assert refuse_bytes(text.encode(), "a.mp4").code == "NotAnImage"


def test_limits_of_clips(refuse_bytes: Refuser, open_bytes: Opener) -> None:
    data = clip_bytes(30)
    assert open_bytes(data, limits=Limits(video_pixels=64 * 48)).kind == "video"
    assert refuse_bytes(data, limits=Limits(video_pixels=64 * 48 - 1)).code == "TooLarge"
    assert refuse_bytes(data, limits=Limits(video_seconds=1.0)).code == "TooLarge"
    assert refuse_bytes(data, limits=Limits(video_frames=29)).code == "TooLarge"


def test_cut_and_damaged_clips(refuse_bytes: Refuser, open_bytes: Opener) -> None:
    movie = clip_bytes(60)
    assert (
        refuse_bytes(movie[: len(movie) // 2]).code == "Corrupt"
    )  # the index stands at the end of an MP4 file
    matroska = clip_bytes(60, "matroska", "mpeg4")
    part = open_bytes(matroska[: len(matroska) * 2 // 3])
    assert 5 < len(part) < 60
    assert np.abs(np.subtract(numbers(part.frames()), np.arange(len(part)))).max() <= 1


def test_damage_inside_is_told(open_bytes: Opener) -> None:
    data = bytearray(clip_bytes(60, "matroska", "libx264", gop=60))
    rng = np.random.default_rng(3)
    for place in rng.integers(len(data) // 2, len(data) - 300, 40):
        data[place] ^= 0xFF
    study = open_bytes(bytes(data))
    assert "Partial" in study.warnings
    assert study.frames().shape[1:] == (48, 64, 3)


def test_wrong_ending(open_bytes: Opener) -> None:
    assert open_bytes(clip_bytes(10, "matroska", "mpeg4"), "a.mp4").warnings == ["WrongExtension"]
