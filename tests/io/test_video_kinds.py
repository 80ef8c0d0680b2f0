"""Clips as people have them: joined, cut, reordered, mirrored, interlaced, with stamps that cannot be trusted."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io.sniff import sniff, transport_pace
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.io.clip_makers import block_at, encoded, matrixed, number_of, numbered, packet_places, restamped

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]

FORTY = list(range(40))
ORDERS = [
    ("mp4", "libx264", 3),
    ("matroska", "libx264", 3),
    ("mpegts", "libx264", 3),
    ("mpegts", "mpeg2video", 2),
    ("vob", "mpeg2video", 2),
    ("mpeg1video", "mpeg1video", 2),
    ("mpeg2video", "mpeg2video", 2),
    ("avi", "mpeg4", 2),
    ("avi", "libx264", 0),
    ("avi", "libx264", 3),
]


def shown(study: Study) -> list[int]:
    return [number_of(f) for f in study.frames()]


def check_jumps(open_bytes: Opener, data: bytes, straight: np.ndarray) -> None:
    """Any frame by itself is the one of straight decoding, to the last grey level."""
    jumping = open_bytes(data, "jump", limits=Limits(frame_cache_bytes=0))
    for index in np.random.default_rng(5).permutation(len(straight)):
        assert np.array_equal(jumping.take([index])[0], straight[index]), index


@pytest.mark.parametrize(("container", "codec", "b_frames"), ORDERS)
def test_frames_in_order_of_showing(open_bytes: Opener, container: str, codec: str, b_frames: int) -> None:
    data = encoded(FORTY, container, codec, b_frames)
    study = open_bytes(data, "a")
    assert shown(study) == FORTY
    assert study.times_s is not None
    assert (np.diff(study.times_s) > 0).all()
    assert study.times_s[-1] == pytest.approx(39 / 25, abs=0.05)
    assert study.warnings == []
    check_jumps(open_bytes, data, study.frames())


def test_open_groups_jump_right(open_bytes: Opener) -> None:
    for container in ("mpegts", "matroska", "avi"):
        more: dict[str, Any] = {"open-gop": "1"}
        data = encoded(FORTY, container, "libx264", 3, **more)
        study = open_bytes(data, "a")
        assert shown(study) == FORTY
        check_jumps(open_bytes, data, study.frames())


@pytest.mark.parametrize(
    ("container", "codec"), [("mpegts", "libx264"), ("mpegts", "mpeg2video"), ("vob", "mpeg2video")]
)
def test_joined_recordings_follow_one_another(open_bytes: Opener, container: str, codec: str) -> None:
    parts = [list(range(20, 40)), list(range(20)), list(range(40, 52))]
    data = b"".join(encoded(p, container, codec, 2) for p in parts)
    study = open_bytes(data, "a.mpg")
    assert shown(study) == [n for part in parts for n in part]
    assert study.times_s is not None
    assert (np.diff(study.times_s) > 0).all()
    assert study.times_s[-1] == pytest.approx(51 / 25, abs=0.2)
    assert study.warnings == []
    assert any("3 recordings" in n for n in study.notes)
    check_jumps(open_bytes, data, study.frames())


def test_joined_matroska_and_avi(open_bytes: Opener) -> None:
    for container, codec in (("matroska", "libx264"), ("avi", "mpeg4")):
        data = encoded(range(20), container, codec) + encoded(range(20, 40), container, codec)
        study = open_bytes(data, "a")
        assert shown(study) == FORTY
        assert study.times_s is not None
        assert study.times_s[-1] == pytest.approx(39 / 25, abs=0.1)
        check_jumps(open_bytes, data, study.frames())


def test_a_second_mp4_behind_the_first_is_told(open_bytes: Opener) -> None:
    study = open_bytes(encoded(range(20)) + encoded(range(20, 40)), "a.mp4")
    assert shown(study) == list(range(20))
    assert study.warnings == ["Partial"]
    assert any("another recording" in n for n in study.notes)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_stream_cut_at_both_ends(open_bytes: Opener, codec: str) -> None:
    data = encoded(FORTY, "mpegts", codec, 2)
    places = packet_places(data, "mpegts")
    study = open_bytes(data[places[4] + 20 : -100], "a.ts")
    numbers = shown(study)
    assert numbers == sorted(set(numbers))
    assert 10 <= numbers[0] <= 12
    assert numbers[-1] >= 36
    assert "Partial" in study.warnings
    assert any("start of a recording" in n for n in study.notes)
    assert any("ends inside a packet" in n for n in study.notes)
    check_jumps(open_bytes, data[places[4] + 20 : -100], study.frames())


def test_joined_recordings_cut_at_the_joint(open_bytes: Opener) -> None:
    first, second = encoded(range(30), "mpegts", "libx264", 2), encoded(range(30, 60), "mpegts", "libx264", 2)
    joint = packet_places(second, "mpegts")[4]
    study = open_bytes(first + second[joint:], "a.ts")
    numbers = shown(study)
    assert numbers[:30] == list(range(30))
    assert numbers[30:] == list(range(40, 60))
    assert "Partial" in study.warnings
    assert study.times_s is not None
    assert (np.diff(study.times_s) > 0).all()


def test_packets_of_192_bytes(open_bytes: Opener) -> None:
    data = encoded(FORTY, "mpegts", "libx264", 2, muxer={"mpegts_m2ts_mode": "1"})
    for name in ("00001.MTS", "a.m2ts"):
        study = open_bytes(data, name)
        assert shown(study) == FORTY
        assert study.warnings == []
    assert transport_pace(data) == (192, 0)
    assert sniff(data[1000:5096], 10_000) == "mpegts"


def test_packets_of_204_bytes(open_bytes: Opener) -> None:
    plain = encoded(FORTY, "mpegts", "libx264", 2)
    data = b"".join(plain[i : i + 188] + bytes(16) for i in range(0, len(plain), 188))
    assert shown(open_bytes(data, "a.ts")) == FORTY


@pytest.mark.parametrize(
    ("matrix", "place", "turned"),
    [
        ((1, 0, 0, 1), (0.79, 0.2), False),
        ((-1, 0, 0, 1), (0.79, 0.8), False),  # mirrored left to right
        ((1, 0, 0, -1), (0.21, 0.2), False),  # upside down
        ((-1, 0, 0, -1), (0.21, 0.8), False),  # half a turn
        ((0, 1, -1, 0), (0.2, 0.21), True),  # a quarter turn clockwise
        ((0, -1, 1, 0), (0.8, 0.79), True),  # and back
        ((0, 1, 1, 0), (0.2, 0.79), True),  # mirrored at the diagonal
        ((0, -1, -1, 0), (0.8, 0.21), True),  # and at the other one
    ],
)
def test_the_whole_display_matrix(
    open_bytes: Opener, matrix: tuple[int, int, int, int], place: tuple[float, float], turned: bool
) -> None:
    study = open_bytes(matrixed(encoded(range(6)), *matrix), "a.mp4")
    assert study.shape[1:] == ((160, 96) if turned else (96, 160))
    assert block_at(study.frames(3, 4)[0]) == pytest.approx(place, abs=0.03)


def test_repeated_stamps_make_no_frame_vanish(open_bytes: Opener) -> None:
    data = restamped(range(8), [0, 4, 4, 8, 8, 8, 12, 16])
    study = open_bytes(data, "a.mkv")
    assert shown(study) == list(range(8))
    assert study.times_s is not None
    assert np.allclose(study.times_s, [0, 0.04, 0.06, 0.08, 0.0933, 0.1067, 0.12, 0.16], atol=0.002)
    check_jumps(open_bytes, data, study.frames())


def test_a_pause_is_kept(open_bytes: Opener) -> None:
    study = open_bytes(restamped(range(4), [0, 4, 9000, 9004]), "a.mkv")
    assert study.times_s is not None
    assert np.allclose(study.times_s, [0, 0.04, 90, 90.04], atol=0.002)


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {"x264-params": "tff=1"}),
        ("mpeg2video", "mpegts", {"flags": "+ildct+ilme"}),
    ],
)
def test_interlaced_clips_are_taken_apart(
    open_bytes: Opener, codec: str, container: str, options: dict[str, Any]
) -> None:
    pictures = []
    for k in range(8):
        picture = np.full((96, 160, 3), 30, np.uint8)
        for field in (0, 1):
            at = 8 + 12 * k + 6 * field
            picture[field::2, at : at + 30] = 220
        pictures.append(picture)
    data = encoded(range(8), container, codec, pictures=pictures, **options)
    study = open_bytes(data, "a")
    frames = study.frames().astype(int)
    assert len(frames) == 8
    assert np.abs(frames[:, 10:80:2, :, 0] - frames[:, 11:81:2, :, 0]).mean() < 1.5  # woven: 15 and more
    assert any("interlaced" in n for n in study.notes)
    check_jumps(open_bytes, data, study.frames())


@pytest.mark.parametrize(
    ("size", "tag", "expected"),
    [
        ((96, 160), None, "601"),
        ((720, 1280), None, "709"),
        ((96, 160), "bt709", "709"),
        ((720, 1280), "smpte170m", "601"),
    ],
)
def test_colours_by_tag_or_by_size(
    open_bytes: Opener, size: tuple[int, int], tag: str | None, expected: str
) -> None:
    kr, kb = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}[expected]
    pictures = [np.full((*size, 3), (200, 40, 60), np.uint8)] * 2
    tagged: dict[str, Any] = {} if tag is None else {"x264-params": f"colormatrix={tag}"}
    frame = open_bytes(encoded(range(2), "mp4", "libx264", pictures=pictures, **tagged), "a.mp4").frames()[0]
    # The encoder here writes BT.601 numbers, whatever the tag says: Y, Cb, Cr of (200, 40, 60), read by the table.
    y = 0.299 * 200 + 0.587 * 40 + 0.114 * 60
    cb, cr = (60 - y) / 1.772, (200 - y) / 1.402
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    assert np.abs(frame[size[0] // 2, size[1] // 2] - np.array([red, green, blue])).max() <= 4


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("rawvideo", "bgr24"), ("rawvideo", "yuv420p"), ("huffyuv", "yuv422p")]
)
def test_raw_and_plain_avi(open_bytes: Opener, codec: str, pix_fmt: str) -> None:
    study = open_bytes(encoded(range(12), "avi", codec, pix_fmt=pix_fmt), "a.avi")
    assert shown(study) == list(range(12))
    assert block_at(study.frames(0, 1)[0]) == pytest.approx((0.79, 0.2), abs=0.03)
    assert study.warnings == []


def test_dv_avi(open_bytes: Opener) -> None:
    pictures = []
    for k in range(4):
        picture = np.full((576, 720, 3), 20, np.uint8)
        picture[:, : 180 * k] = 220
        pictures.append(picture)
    study = open_bytes(encoded(range(4), "avi", "dvvideo", pictures=pictures), "a.avi")
    assert study.shape[0] == 4
    bright = [(f[..., 0] > 128).mean() for f in study.frames()]
    assert np.allclose(bright, [0, 0.25, 0.5, 0.75], atol=0.02)
    assert any("interlaced" in n for n in study.notes)


def test_named_reasons(refuse_bytes: Refuser) -> None:
    wmv = refuse_bytes(encoded(range(4), "asf", "wmv2"), "a.wmv")
    assert (wmv.code, "WMV" in wmv.message) == ("Unsupported", True)
    flv = refuse_bytes(encoded(range(4), "flv", "flv"), "a.flv")
    assert (flv.code, "FLV" in flv.message) == ("Unsupported", True)
    mxf = refuse_bytes(encoded(range(4), "mxf", "mpeg2video"), "a.mxf")
    assert (mxf.code, "MXF" in mxf.message) == ("Unsupported", True)
    avi = refuse_bytes(encoded(range(4), "avi", "wmv2"), "a.avi")
    assert (avi.code, "Windows Media Video" in avi.message) == ("Unsupported", True)


def test_an_edit_list_that_begins_between_key_frames(open_bytes: Opener) -> None:
    """What is cut away is not shown, but what leans on it is; as `ffmpeg -ss … -c copy` writes it."""
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(encoded(FORTY, "mp4", "libx264", 2, gop=40))) as source,
        av.open(out, "w", format="mp4", options={"avoid_negative_ts": "disabled"}) as target,
    ):
        assert isinstance(source, av.container.InputContainer)
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                shift = round(8 / 25 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    study = open_bytes(out.getvalue(), "a.mp4")
    assert shown(study) == FORTY[8:]
    assert study.warnings == []
    check_jumps(open_bytes, out.getvalue(), study.frames())


def test_a_matroska_that_begins_inside_a_group(open_bytes: Opener) -> None:
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(encoded(FORTY, "matroska", "libx264", 0))) as source,
        av.open(out, "w", format="matroska") as target,
    ):
        assert isinstance(source, av.container.InputContainer)
        stream = target.add_stream_from_template(source.streams.video[0])
        for place, packet in enumerate(source.demux(video=0)):
            if packet.size and place >= 4:
                packet.stream = stream
                target.mux(packet)
    study = open_bytes(out.getvalue(), "a.mkv")
    assert shown(study) == FORTY[10:]
    assert study.warnings == ["Partial"]


def test_raw_dv(open_bytes: Opener) -> None:
    pictures = [np.full((576, 720, 3), 40 * k, np.uint8) for k in range(1, 5)]
    data = encoded(range(4), "dv", "dvvideo", pictures=pictures)
    study = open_bytes(data, "tape.dv")
    assert np.allclose([f.mean() for f in study.frames()], [40, 80, 120, 160], atol=3)


def test_a_program_stream_cut_anywhere(open_bytes: Opener) -> None:
    pictures = [numbered(k) for k in FORTY]
    for k, picture in enumerate(pictures):
        picture[56:] = np.random.default_rng(k).integers(
            0, 255, (40, 160, 3)
        )  # so that there is something to cut
    whole = encoded(FORTY, "vob", "mpeg2video", 2, pictures=pictures)
    data = whole[len(whole) // 4 + 11 :]
    study = open_bytes(data, "a.mpg")
    numbers = shown(study)
    assert numbers == FORTY[numbers[0] :]
    assert 8 < numbers[0] <= 22
    assert study.warnings == ["Partial"]
    check_jumps(open_bytes, data, study.frames())
