"""Clips whose every frame says its own number, as black and white bars, in the encodings that make seeking hard."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

BITS = 10
HOUR_BITS = 17

# The number on the canvas a person sees. `v` is the viewer; the argument is how many bits there are.
READ = """bits => { const v = [...window.omnivmedViewer.viewers.values()].find(x => x.header);
  const p = v.pane; let n = 0;
  for (let bit = 0; bit < bits; bit++) {
    const x = p.view.x + (bit + 1.5) / (bits + 2) * p.cols * p.stretch.ax * p.view.scale;
    const y = p.view.y + 0.5 * p.rows * p.stretch.ay * p.view.scale;
    if (p.ctx.getImageData(x, y, 1, 1).data[1] > 128) n += 1 << bit;
  } return n; }"""


def frame(number: int, width: int, height: int, bits: int = BITS) -> np.ndarray:
    """uint8 (height, width): `bits` bars across the middle over a drifting ramp, the lowest bit on the left."""
    picture = np.empty((height, width), np.uint8)
    picture[:] = (np.arange(width) + 3 * number) % 180 + 30
    edges = np.round(np.arange(bits + 3) * width / (bits + 2)).astype(int)
    for bit in range(bits):
        bar = slice(edges[bit + 1] + 2, edges[bit + 2] - 2)
        picture[height // 2 - height // 8 : height // 2 + height // 8, bar] = 235 if number >> bit & 1 else 16
    return picture


def number_of(picture: np.ndarray, bits: int = BITS) -> int:
    """The number read back from an upright grey or RGB frame."""
    grey = picture if picture.ndim == 2 else picture[..., 1]
    height, width = grey.shape
    columns = ((np.arange(bits) + 1.5) * width / (bits + 2)).astype(int)
    return int(sum(1 << bit for bit, x in enumerate(columns) if grey[height // 2, x] > 128))


def write(
    path: Path,
    frames: int,
    size: tuple[int, int] = (1280, 720),
    *,
    times_ms: np.ndarray | None = None,
    turned: bool = False,
    bits: int = BITS,
    **options: str,
) -> Path:
    """An H.264 clip of 25 frames a second, or of these times. `turned`: stored lying on its side."""
    import av

    width, height = size
    base = Fraction(1, 1000) if times_ms is not None else Fraction(1, 25)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "23"} | options)
        stream.width, stream.height = (height, width) if turned else (width, height)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = base
        # Colour planes of a grey picture never change: only the brightness is written for each frame.
        for k in range(frames):
            grey = frame(k, width, height, bits)
            if turned:
                grey = np.ascontiguousarray(np.rot90(grey))
            plane = np.full((grey.shape[0] * 3 // 2, grey.shape[1]), 128, np.uint8)
            plane[: grey.shape[0]] = grey
            picture = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            picture.pts, picture.time_base = int(times_ms[k]) if times_ms is not None else k, base
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


def uneven_ms(frames: int) -> np.ndarray:
    """Times as phones and screen recorders write them: gaps of 20 to 120 ms, int (frames,)."""
    return np.concatenate([[0], np.cumsum(np.random.default_rng(3).integers(20, 120, frames - 1))])


def turned_back(path: Path, lying: Path) -> Path:
    """The same file with the note "turn me a quarter clockwise when you show me" (ISO 14496-12, tkhd matrix)."""
    data = bytearray(lying.read_bytes())
    at = data.index(b"tkhd") + 4
    assert data[at] == 0, "version 0 of the box"
    struct.pack_into(">9i", data, at + 40, 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


def constant(folder: Path, frames: int, **more: Any) -> Path:
    return write(folder / "constant.mp4", frames, g="25", bf="0", **more)


def variable(folder: Path, frames: int, **more: Any) -> Path:
    return write(folder / "variable.mkv", frames, times_ms=uneven_ms(frames), g="25", bf="0", **more)


def b_frames(folder: Path, frames: int, **more: Any) -> Path:
    b: dict[str, Any] = {"preset": "veryfast", "g": "50", "bf": "3"}
    b["x264-params"] = "b-adapt=0:b-pyramid=normal"
    return write(folder / "b-frames.mp4", frames, **b, **more)


def long_gop(folder: Path, frames: int, **more: Any) -> Path:
    only_one: dict[str, Any] = {
        "g": str(frames + 1),
        "keyint_min": str(frames + 1),
        "sc_threshold": "0",
        "bf": "0",
    }
    return write(folder / "long-gop.mp4", frames, **only_one, **more)


def rotated(folder: Path, frames: int, **more: Any) -> Path:
    lying = write(folder / "lying.mp4", frames, turned=True, g="25", bf="2", **more)
    return turned_back(folder / "rotated.mp4", lying)


ENCODINGS: dict[str, Callable[..., Path]] = {
    "constant rate": constant,
    "variable rate": variable,
    "B-frames": b_frames,
    "long GOP": long_gop,
    "rotation": rotated,
}
