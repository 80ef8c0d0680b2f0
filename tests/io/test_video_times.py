"""The time line by itself: times rise, nothing is lost, and long clips are lined up as short ones are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnivmed.io import video
from omnivmed.io.video_times import NO_STAMP, Packets, filled, line_up, rising
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.io.clip_makers import encoded, number_of, packet_places

Opener = Callable[..., Study]


def packets(
    stamps: list[int],
    dts: list[int] | None = None,
    keys: list[int] = [0],  # noqa: B006
) -> Packets:
    n = len(stamps)
    key = np.zeros(n, bool)
    key[keys] = True
    return Packets(
        np.asarray(stamps, np.int64),
        np.asarray(stamps if dts is None else dts, np.int64),
        np.full(n, 100),
        np.full(n, -1),
        key,
        np.zeros(n, bool),
        "",
    )


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40))
def test_times_rise_whatever_the_stamps(stamps: list[int]) -> None:
    times = rising(np.sort(np.asarray(stamps, float)), 0.04)
    assert (np.diff(times) > 0).all()
    kept = np.sort(np.asarray(stamps, float))
    first = np.flatnonzero(np.diff(kept, prepend=-np.inf) > 0)
    assert np.array_equal(times[first], kept[first])


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.booleans())
def test_no_frame_is_lost(stamps: list[int], joined: bool) -> None:
    frames = line_up(packets(stamps), 0.01, 0.04, joined=joined, streamed=False)
    assert sorted(frames.packet) == list(range(len(stamps)))
    assert (np.diff(frames.times_s) > 0).all()
    assert frames.times_s[0] == 0


def test_missing_stamps_are_counted_on() -> None:
    stamps = np.asarray([NO_STAMP, 10, NO_STAMP, NO_STAMP, 30])
    assert filled(stamps, 4).tolist() == [6, 10, 14, 18, 30]
    assert filled(np.full(3, NO_STAMP), 4).tolist() == [0, 4, 8]


def test_recordings_follow_one_another_without_a_gap() -> None:
    stamps = [0, 4, 8, 12, 0, 4, 8, 9000, 9004]
    frames = line_up(packets(stamps, keys=[0, 4, 7]), 0.01, 0.04, joined=True, streamed=True)
    assert frames.takes.tolist() == [0, 4, 7]
    assert np.allclose(frames.times_s, 0.04 * np.arange(9))


def test_what_leans_on_pictures_before_the_cut_is_left_out() -> None:
    # Two packets before the key frame, and one behind it that is shown before it.
    frames = line_up(
        packets([4, 8, 20, 12, 24], [0, 4, 8, 12, 16], keys=[2]), 0.01, 0.04, joined=True, streamed=True
    )
    assert frames.packet.tolist() == [2, 4]
    assert frames.before_key == 3


@pytest.mark.parametrize(
    ("container", "codec"), [("mpegts", "libx264"), ("mpegts", "mpeg2video"), ("vob", "mpeg2video")]
)
def test_long_clips_are_as_right_as_short_ones(
    open_bytes: Opener, monkeypatch: pytest.MonkeyPatch, container: str, codec: str
) -> None:
    """Without the look through everything that short clips get."""
    monkeypatch.setattr(video, "VERIFY_FRAMES", 0)
    first = encoded(range(40), container, codec, 2)
    second = encoded(range(40, 64), container, codec, 2)
    cut = packet_places(first, container)[4] if container == "mpegts" else 0
    data = first[cut:] + second
    study = open_bytes(data, "a", limits=Limits(frame_cache_bytes=0))
    shown = [number_of(f) for f in study.frames()]
    assert shown == list(range(64 - len(shown), 64))
    assert len(shown) >= (52 if cut else 64)
    assert ("Partial" in study.warnings) == bool(cut)
    for index in np.random.default_rng(1).permutation(len(shown)):
        assert number_of(study.take([index])[0]) == shown[index]
