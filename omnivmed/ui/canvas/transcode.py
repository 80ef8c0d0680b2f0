"""A clip the browser can play to the exact frame: constant rate, H.264, frame k = frame k of the study.

What people upload may have a variable rate, B-frames, rotation or a codec no browser plays. The viewer needs one
thing only: seeking to (k + 0.5) / fps must show frame k. So every frame of the study is encoded once, in order,
at one rate; the true times stay in the study's ``times_s``. Nothing of the uploaded file goes in: only decoded
pixels, and no metadata.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from omnivmed.study import Study

EDGE = 1280  # longest edge of the clip, pixels: 720p stays as it is
LONG_EDGE = 640  # the same for clips of more than LONG_FRAMES
LONG_FRAMES = 9_000
PRESET, LONG_PRESET = "veryfast", "ultrafast"  # an hour is ready in half the time, in a file twice as large
KEYFRAME_EVERY = 12  # a random seek decodes at most this many frames
CHUNK = 16


@dataclass(frozen=True)
class Clip:
    """A finished file. `fps` is its constant rate; frame k is shown at (k + 0.5) / fps."""

    path: Path
    fps: float
    frames: int


def constant_rate(times_s: np.ndarray | None, frames: int) -> Fraction:
    """Mean rate of the clip, between 1 and 120 per second; 25 where the file gives no times."""
    if times_s is None or frames < 2 or times_s[-1] <= times_s[0]:
        return Fraction(25)
    rate = (frames - 1) / float(times_s[-1] - times_s[0])
    # Few digits: the time base must hold exact multiples of a frame.
    return Fraction(min(max(rate, 1.0), 120.0)).limit_denominator(1001)


def transcode(
    study: Study,
    path: str | Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
    threads: int = 1,
) -> Clip | None:
    """Encode the whole study to `path` (.mp4). Slow: run it in a background thread.

    progress(done, total) in frames; when `stopped()` turns true the half-made file is removed and None returned.
    Raises StudyError when a frame cannot be decoded.
    """
    import av
    import cv2

    path = Path(path)
    frames, rows, cols = study.shape
    edge = EDGE if frames <= LONG_FRAMES else LONG_EDGE
    ratio = min(1.0, edge / max(rows, cols))
    # Chroma is stored for 2 x 2 pixels, so both sides must be even.
    width, height = (max(2, round(n * ratio / 2) * 2) for n in (cols, rows))
    rate = constant_rate(study.times_s, frames)
    _be_nice()

    def read(at: int) -> np.ndarray:
        return study.take(np.arange(at, min(at + CHUNK, frames)))

    done = False
    try:
        # Frames are decoded ahead, in the decoder's own process, while those before are encoded here.
        with (
            ThreadPoolExecutor(1, initializer=_be_nice) as ahead,
            av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as out,
        ):
            stream = out.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = 1 / rate
            stream.codec_context.thread_count = threads
            # No B-frames: presentation order is decoding order and the first time stamp is 0.
            preset = PRESET if frames <= LONG_FRAMES else LONG_PRESET
            stream.options = {"preset": preset, "crf": "22", "bf": "0", "g": str(KEYFRAME_EVERY)}
            coming = ahead.submit(read, 0)
            for at in range(0, frames, CHUNK):
                try:
                    pictures = coming.result()
                except ValueError:  # the study was closed meanwhile
                    if stopped is not None and stopped():
                        return None
                    raise
                if at + CHUNK < frames:
                    coming = ahead.submit(read, at + CHUNK)
                for k, picture in enumerate(pictures, at):
                    if (width, height) != (cols, rows):
                        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                    frame.pts = k
                    frame.time_base = 1 / rate
                    out.mux(stream.encode(frame))
                if stopped is not None and stopped():
                    return None
                if progress is not None:
                    progress(at + len(pictures), frames)
            out.mux(stream.encode(None))
        done = True
    finally:
        if not done:
            path.unlink(missing_ok=True)
    return Clip(path, float(rate), frames)


def _be_nice() -> None:
    """Let the model and the page go first: lowers this thread's priority where the system can (Linux)."""
    if sys.platform == "linux":
        import threading

        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
