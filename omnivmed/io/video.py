"""Clips by PyAV (FFmpeg), the container forced to the one found in the bytes, no protocol but the open file.

The path of a clip: `video_packets` opens the container and lists its packets, `video_times` lines them up as frames
with rising times, `video_clip` decodes the frame that is asked for, `video_picture` shows it as a player would.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.io.video_clip import VideoClip
from omnivmed.io.video_packets import (
    CUT,
    check_stream,
    list_packets,
    moving_streams,
    open_container,
    rest_of_file,
)
from omnivmed.io.video_times import NO_STAMP, Packets, line_up
from omnivmed.limits import Limits
from omnivmed.study_info import StudyInfo

# Clips below both are decoded once at opening, so that damage is known at once.
VERIFY_FRAMES, VERIFY_PIXELS = 1200, 50_000_000
# So is a clip whose container does not tell the order of its frames, up to what decodes in the time there is.
SURVEY_PIXELS_PER_S = 50_000_000
# So many pixels between two key frames take a second or more to decode: that is told.
FAR_PIXELS = 800_000_000
# Names of FFmpeg's decoders.
WEB_CODECS = ("vp9", "libvpx-vp9", "av1", "libdav1d")
EBML_HEAD = 64  # the document type stands within


def read_video(upload: Upload, found: str, limits: Limits, desk: Desk) -> Reading:
    """A clip, read lazily. Raises NotAnImage without moving pictures, TooLarge, Unsupported codecs, Corrupt."""
    findings = Findings()
    try:
        with upload.open() as file:
            container, stream = open_container(file, found)
            with container:
                check_stream(stream, limits)
                packets = list_packets(container, stream, limits, desk, upload.size)
                tick_s, step_s = float(stream.time_base), _usual_step(stream)
                turned = _order_untold(found, stream, packets)
                angles = len(moving_streams(container))
            rest = rest_of_file(file, found, upload.size, int(packets.places.max()))
        mpeg = found.startswith("mpeg")
        frames = line_up(packets, tick_s, step_s, joined=mpeg or found == "matroska", streamed=mpeg)
        clip = VideoClip(upload.open(), found, packets, frames, step_s, limits)
    except FFmpegError:
        raise StudyError("Corrupt", CUT) from None
    try:
        if rest is not None:
            findings.warn("Partial", rest)
        if angles > 1:
            findings.note(f"The file holds {angles} picture streams; the first is shown.")
        reading = _reading(clip, packets, turned, upload, limits, desk, findings)
        if rest is None and angles == 1 and not turned:
            reading.playable = playable(clip, found, upload.head(EBML_HEAD))
        return reading
    except BaseException:
        clip.close()
        raise


def _usual_step(stream: Any) -> float:
    """Seconds from frame to frame by the stated rate; 25 per second where none is stated."""
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    return 1 / rate if 0.001 <= rate <= 10_000 else 1 / 25


def _order_untold(found: str, stream: Any, packets: Packets) -> bool:
    """Whether only the decoder knows the order: frames are stored in another one and their stamps do not tell it.

    AVI keeps no presentation stamps, elementary streams none at all. FFmpeg finds them out for the MPEG codecs, but for
    H.264 and HEVC in AVI and for MPEG-1 alone it counts in the order of the file.
    """
    if not stream.codec_context.has_b_frames:
        return False
    codec = stream.codec_context.name
    counted = (found == "avi" and codec in ("h264", "hevc")) or (
        found == "mpegvideo" and codec == "mpeg1video"
    )
    stamps = packets.stamps
    repeated = found == "mov" and len(np.unique(stamps)) < len(stamps)
    return counted or bool((stamps == NO_STAMP).any()) or repeated


def _reading(
    clip: VideoClip,
    packets: Packets,
    order_untold: bool,
    upload: Upload,
    limits: Limits,
    desk: Desk,
    findings: Findings,
) -> Reading:
    _check_length(clip, limits)
    pixels = len(packets) * clip.shape[1] * clip.shape[2]
    if clip.shape[0] <= VERIFY_FRAMES and pixels <= VERIFY_PIXELS:
        if clip.verify(desk, order_untold) == 0:
            raise StudyError("Corrupt", CUT)
    elif order_untold:
        if pixels > SURVEY_PIXELS_PER_S * limits.worker_total_s / 2:
            raise StudyError(
                "TooLarge",
                "The file does not tell the order of its frames and is too long to find it out; save the clip as MP4.",
            )
        if clip.verify(desk, True) == 0:
            raise StudyError("Corrupt", CUT)
    frames, count = clip.frames, clip.shape[0]
    if frames.before_key:
        findings.warn(
            "Partial",
            f"{frames.before_key} frames at the start of a recording lean on pictures that are not in the file; "
            "they were left out.",
        )
    if len(frames.takes) > 1:
        findings.note(
            f"The file holds {len(frames.takes)} recordings one after another, each with its own clock; "
            "they are shown in this order on one time line."
        )
    if clip.stretched:
        findings.warn(
            "Stretched", "Pixels are not square; frames are shown stretched to their true proportions."
        )
    for sentence in clip.said:
        findings.note(sentence)
    for code, sentence in clip.problems():
        findings.warn(code, sentence)  # type: ignore[arg-type]
    content = hashlib.sha256(f"{packets.digest}|{clip.shape}|{upload.size}".encode()).hexdigest()
    keys = np.flatnonzero(packets.key[frames.packet])
    if (far := _few_keys(clip, keys)) is not None:
        findings.note(far)
    info = StudyInfo(
        kind="video",
        channels=3,
        times_s=frames.times_s,
        key_index=keys if 0 < keys.size < count else None,
        unit="rgb",
        content_id=content,
    )
    return Reading(findings.into(info), clip=clip)


def playable(clip: VideoClip, found: str, head: bytes) -> str | None:
    """The media type under which browsers are likely to play this very file and show what is shown here, else None.

    8-bit 4:2:0 H.264, VP9 or AV1 in MP4; VP8, VP9 or AV1 in WebM; one whole recording, upright, of square pixels and
    whole pictures, without damage and without pictures that an edit list hides.
    """
    whole = len(clip.frames.takes) == 1 and not clip.frames.before_key and not clip.problems()
    plain = not clip.said and not clip.stretched and clip.upright
    if not (whole and plain) or clip.pixels not in ("yuv420p", "yuvj420p"):
        return None
    if found == "mov" and clip.codec in ("h264", *WEB_CODECS) and clip.shape[0] == clip.packets:
        return "video/mp4"
    if found == "matroska" and b"webm" in head and clip.codec in ("vp8", "libvpx", *WEB_CODECS):
        return "video/webm"
    return None


def _few_keys(clip: VideoClip, keys: NDArray[np.int64]) -> str | None:
    """A sentence where reaching a frame may take seconds, because it lies far behind the last key frame."""
    count, height, width = clip.shape
    ends = np.unique([0, *keys.tolist(), count])
    widest = int(np.diff(ends).max())
    if widest * height * width < FAR_PIXELS:
        return None
    if keys.size <= 1:
        return (
            f"The clip has one key frame for its {count:,} frames: every other one is decoded from the beginning, "
            "so asking takes longer; save it with a key frame every few seconds."
        )
    return (
        f"Up to {widest:,} frames lie between two key frames of the clip: looking at one of them takes longer; "
        "save it with a key frame every few seconds."
    )


def _check_length(clip: VideoClip, limits: Limits) -> None:
    last = float(clip.frames.times_s[-1])
    if last > limits.video_seconds:
        raise StudyError(
            "TooLarge",
            f"The clip lasts {last / 3600:.1f} hours and the limit is {limits.video_seconds / 3600:g}; cut it.",
        )
