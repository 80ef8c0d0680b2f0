"""Clips made by code whose every frame tells its number, in any codec, container, order and matrix."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import av
import numpy as np

WIDTH, HEIGHT, RATE = 160, 96, 25
BANDS = 6  # six vertical bands hold the number in binary


def numbered(number: int) -> np.ndarray:
    """uint8 (96, 160, 3): the number in bands in the upper half; below dark, an orange block at the lower left."""
    picture = np.full((HEIGHT, WIDTH, 3), 16, np.uint8)
    for band in range(BANDS):
        if number >> band & 1:
            picture[:48, band * 24 : band * 24 + 24] = 240
    picture[64:88, 16:48] = (230, 120, 20)
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that a frame shows."""
    return sum(int(picture[24, band * 24 + 12].mean() > 128) << band for band in range(BANDS))


def block_at(picture: np.ndarray) -> tuple[float, float]:
    """(row, column) of the middle of the orange block, as fractions of the picture."""
    red, blue = picture[..., 0].astype(int), picture[..., 2].astype(int)
    rows, columns = np.nonzero(red - blue > 100)
    return float(rows.mean() / picture.shape[0]), float(columns.mean() / picture.shape[1])


def encoded(
    numbers: Sequence[int],
    container: str = "mp4",
    codec: str = "libx264",
    b_frames: int = 0,
    *,
    gop: int = 10,
    pictures: Sequence[np.ndarray] | None = None,
    pix_fmt: str = "yuv420p",
    muxer: dict[str, str] | None = None,
    **options: str,
) -> bytes:
    """A clip of these numbers (or of these pictures) at 25 per second; `options` go to the encoder."""
    out = io.BytesIO()
    frames = [numbered(n) for n in numbers] if pictures is None else pictures
    with av.open(out, "w", format=container, options=muxer or {}) as target:
        stream = target.add_stream(codec, rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.max_b_frames = pix_fmt, gop, b_frames
        stream.bit_rate = 5_000_000
        own = {"bf": str(b_frames), "g": str(gop), "b-adapt": "0", "crf": "12"} if codec == "libx264" else {}
        stream.options = {**own, **options}
        for picture in frames:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode(None))
    return out.getvalue()


def packet_places(data: bytes, container: str) -> list[int]:
    """Bytes where the packets of the picture begin."""
    with av.open(io.BytesIO(data), format=container) as source:
        assert isinstance(source, av.container.InputContainer)
        return [p.pos for p in source.demux(video=0) if p.size and p.pos is not None]


def matrixed(data: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """The same MP4 with the display matrix [a b; c d] in its track header (ISO 14496-12, 8.3.2)."""
    changed = bytearray(data)
    at = changed.index(b"tkhd") + 4
    at += (36 if changed[at] == 1 else 24) + 16
    one = 1 << 16
    values = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    changed[at : at + 36] = struct.pack(">9i", *values)
    return bytes(changed)


def restamped(numbers: Sequence[int], stamps: Sequence[int], container: str = "matroska") -> bytes:
    """A clip whose packets carry these stamps in hundredths of a second, repeated or not."""
    out = io.BytesIO()
    plain = encoded(numbers, "matroska", "mjpeg", pix_fmt="yuvj420p")
    with av.open(io.BytesIO(plain)) as source, av.open(out, "w", format=container) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        assert isinstance(source, av.container.InputContainer)
        packets = [p for p in source.demux(video=0) if p.size]
        for packet, stamp in zip(packets, stamps, strict=True):
            packet.stream = stream
            packet.pts = packet.dts = stamp * 10
            target.mux(packet)
    return out.getvalue()
