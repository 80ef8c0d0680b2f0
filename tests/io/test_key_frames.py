"""Long clips: key frames where they are near enough, exact frames otherwise, and nothing decoded for nobody."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study, video, video_clip
from omnivmed.limits import LOCAL
from omnivmed.study import Study
from omnivmed.vision import NANO_BUDGET, VisionBudget, sample_frames
from tests.io.clip_makers import encoded, number_of

B_FRAMES: dict[str, Any] = {"b-pyramid": "none", "sc_threshold": "0"}
PYRAMID: dict[str, Any] = {"b-pyramid": "normal"}
OPEN_GOP: dict[str, Any] = {"x264-params": "open-gop=1:scenecut=0"}


def written(folder: Path, data: bytes, name: str = "a.mp4") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def with_keys(seconds: float, every_s: float, fps: float = 5.0, first_s: float = 0.0) -> Study:
    """A clip that has key frames this often."""
    frames = int(seconds * fps)
    values = np.zeros((frames, 28, 28, 3), np.uint8)
    study = Study.from_array(values, "video", times_s=np.arange(frames) / fps)
    keys = np.arange(round(first_s * fps), frames, max(1, round(every_s * fps)))
    return Study(study._source, dataclasses.replace(study.info, key_index=keys))


def test_a_thinned_clip_takes_key_frames_within_a_quarter_of_the_distance() -> None:
    study = with_keys(600, every_s=10)
    assert study.key_index is not None
    assert study.times_s is not None
    index = sample_frames(study, NANO_BUDGET)
    even = np.linspace(0, study.times_s[-1], 32)
    off = np.abs(study.times_s[index] - even)
    at_key = np.isin(index, study.key_index)
    assert len(index) == 32
    assert at_key.sum() >= 28
    assert off[at_key].max() <= (even[1] - even[0]) / 4 + 1e-6
    assert off[~at_key].max() < 0.21  # the one on screen, as before


def test_far_key_frames_and_dense_samples_change_nothing() -> None:
    for seconds, every in [(30, 2), (60, 20), (600, 601)]:
        study = with_keys(seconds, every)
        plain = Study(study._source, dataclasses.replace(study.info, key_index=None))
        exact = sample_frames(plain, NANO_BUDGET)
        taken = sample_frames(study, NANO_BUDGET)
        changed = taken != exact
        if seconds == 30:  # one frame a second, as the model asks for
            assert not changed.any()
        else:
            assert changed.sum() <= 3
    assert sample_frames(with_keys(600, 10), VisionBudget(max_frames=1)).tolist() == [0]


def test_a_stretch_takes_no_key_frame_outside_it() -> None:
    study = with_keys(600, every_s=10)
    assert study.times_s is not None
    for span in [(101.0, 499.0), (104.0, 106.0)]:
        times = study.times_s[sample_frames(study, NANO_BUDGET, span_s=span)]
        assert span[0] - 0.2 <= times[0]
        assert times[-1] <= span[1]


def test_the_worker_tells_which_frames_are_key_frames(tmp_path: Path) -> None:
    path = written(tmp_path, encoded(range(60), gop=10, sc_threshold="0"))
    for isolated in (True, False):
        with open_study(path, isolated=isolated) as study:
            assert study.key_index is not None
            assert study.key_index.tolist() == [0, 10, 20, 30, 40, 50]
    intra = written(tmp_path, encoded(range(30), "matroska", "mjpeg", pix_fmt="yuvj420p"), "b.mkv")
    with open_study(intra) as study:
        assert study.key_index is None, "every frame is one"


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("b.mp4", "h264, three B", lambda: encoded(range(60), b_frames=3, gop=60, **B_FRAMES)),
        ("p.mp4", "h264, pyramid", lambda: encoded(range(60), b_frames=3, gop=60, **PYRAMID)),
        ("m.avi", "mpeg4, B", lambda: encoded(range(60), "avi", "mpeg4", b_frames=2, gop=60)),
        ("2.ts", "mpeg2", lambda: encoded(range(60), "mpegts", "mpeg2video", b_frames=2, gop=15)),
        ("v.webm", "vp9", lambda: encoded(range(60), "webm", "libvpx-vp9", gop=60, deadline="realtime")),
    ],
)
def test_what_nobody_leans_on_is_left_out_and_the_frame_is_the_same(
    tmp_path: Path, name: str, kind: str, data: Any
) -> None:
    path = written(tmp_path, data(), name)
    with open_study(path, isolated=False) as study:
        straight = [study.take([k])[0] for k in range(60)]
        assert [number_of(picture) for picture in straight] == list(range(60)), kind
    rng = np.random.default_rng(4)
    with open_study(path, isolated=False) as study:
        for k in [*rng.integers(0, 60, 30), 0, 59, 58, 1]:
            study._source._cache.clear()  # type: ignore[attr-defined]
            assert np.array_equal(study.take([int(k)])[0], straight[int(k)]), (kind, int(k))
        for k in [3, 17, 18, 19, 40, 41, 55]:  # rising, with gaps and without
            study._source._cache.clear()  # type: ignore[attr-defined]
            assert number_of(study.take([k])[0]) == k
        assert study.warnings == []


def test_fewer_frames_are_decoded_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, encoded(range(60), b_frames=3, gop=60, **B_FRAMES))
    decoded: list[int] = []
    plain = video_clip.VideoClip._inspect

    def inspected(self: video_clip.VideoClip, frame: Any) -> Any:
        decoded.append(frame.pts)
        return plain(self, frame)

    monkeypatch.setattr(video_clip.VideoClip, "_inspect", inspected)
    with open_study(path, isolated=False) as study:
        decoded.clear()
        assert number_of(study.take([50])[0]) == 50
    assert len(decoded) < 35, "of 51 and those decoded ahead, about half lean on nobody"


def test_one_key_frame_is_told_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, encoded(range(60), gop=300, sc_threshold="0"))
    monkeypatch.setattr(video, "FAR_PIXELS", 59 * 96 * 160)
    with open_study(path, isolated=False) as study:
        assert any("one key frame for its 60 frames" in note for note in study.notes)
    more = written(tmp_path, encoded(range(60), gop=50, sc_threshold="0"), "b.mp4")
    monkeypatch.setattr(video, "FAR_PIXELS", 45 * 96 * 160)
    with open_study(more, isolated=False) as study:
        assert any("Up to 50 frames lie between two key frames" in note for note in study.notes)
    monkeypatch.setattr(video_clip, "MOST_CPU", 0.0)
    with open_study(path, isolated=False, limits=LOCAL) as study, pytest.raises(StudyError) as refused:
        study.take([50])
    assert refused.value.code == "TooLarge"
    assert "few key frames" in refused.value.message


def test_libraries_skip_what_nobody_leans_on(tmp_path: Path) -> None:
    """What all this rests on, of FFmpeg alone."""
    path = written(tmp_path, encoded(range(60), b_frames=3, gop=60, **B_FRAMES))
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.skip_frame = "NONREF"
        assert sum(1 for _ in container.decode(video=0)) < 40


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("b.mp4", lambda: encoded(range(60), b_frames=3, gop=10, sc_threshold="0")),
        ("o.mp4", lambda: encoded(range(60), b_frames=3, gop=10, **OPEN_GOP)),
        ("m.avi", lambda: encoded(range(60), "avi", "mpeg4", b_frames=2, gop=10)),
        ("h.avi", lambda: encoded(range(60), "avi", gop=10, sc_threshold="0")),
        ("2.ts", lambda: encoded(range(60), "mpegts", "mpeg2video", b_frames=2, gop=10)),
        ("v.webm", lambda: encoded(range(60), "webm", "libvpx-vp9", gop=10, deadline="realtime")),
    ],
)
def test_a_key_frame_alone_is_the_frame_of_straight_decoding(tmp_path: Path, name: str, data: Any) -> None:
    path = written(tmp_path, data(), name)
    with open_study(path, isolated=False) as study:
        straight = study.take(list(range(60)))
        keys = study.key_index
        assert keys is not None
        assert len(keys) >= 4
    with open_study(path, isolated=False) as study:
        for k in [*keys[::-1], int(keys[2]), int(keys[2]) + 1, int(keys[2]) + 2, int(keys[1]) - 1, *keys]:
            study._source._cache.clear()  # type: ignore[attr-defined]
            assert np.array_equal(study.take([int(k)])[0], straight[int(k)]), int(k)
        assert study.warnings == []
