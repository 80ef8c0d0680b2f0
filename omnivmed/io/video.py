"""Clips by PyAV (FFmpeg), the container forced to the one found in the bytes, no protocol but the open file.

A first pass over the packets gives every time stamp; frames are decoded when asked for, by time stamp, from the key
frame before. Rotation and non-square pixels are applied, so a frame is what a player would show.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.job import Desk, Findings, Reading, Upload
from omnivmed.limits import Limits
from omnivmed.study import StudyInfo

CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9", "mpeg4", "mjpeg", "prores"}
    | {"mpeg2video", "mpeg1video", "ffv1"}
)
_DEMUXER = {f: f for f in ("mov", "matroska", "avi", "mpeg", "mpegvideo", "mpegts")}
# No sub-demuxer may open anything by name, and external references of MOV stay closed.
_OPTIONS = {"protocol_whitelist": "", "enable_drefs": "0", "use_absolute_path": "0"}
# Clips below both are decoded once at opening, so that damage is known at once.
VERIFY_FRAMES, VERIFY_PIXELS = 1200, 50_000_000
DECODE_AHEAD_PIXELS = 40_000_000_000  # from one key frame to the frame asked: about minutes of decoding
RECOGNISED_PACKETS = 6  # sizes of so many packets in a row tell where in an MPEG stream a jump landed
MAX_PROBED_PIXELS = "40000000"
CUT = "The clip is cut or damaged; save it again."


@dataclass(frozen=True)
class Packets:
    """Result of the first pass: per frame in order of time, and per packet in the order of the file."""

    pts: NDArray[np.int64]  # stamps in stream ticks, rising
    seek_to: NDArray[np.int64]  # stamp to jump to: the decoding one for MPEG streams
    key: NDArray[np.bool_]  # frames that can be decoded alone
    file_pts: list[int]
    file_sizes: list[int]
    digest: str


def read_video(upload: Upload, found: str, limits: Limits, desk: Desk) -> Reading:
    """A clip, read lazily. Raises NotAnImage without moving pictures, TooLarge, Unsupported codecs, Corrupt."""
    findings = Findings()
    try:
        with upload.open() as file:
            container, stream = _open(file, found)
            with container:
                _check_stream(stream, limits)
                packets = _index(container, stream, limits, desk, upload.size, found.startswith("mpeg"))
        clip = VideoClip(upload.open(), found, packets, limits)
    except FFmpegError:
        raise StudyError("Corrupt", CUT) from None
    try:
        return _reading(clip, packets, upload, limits, desk, findings)
    except BaseException:
        clip.close()
        raise


def _reading(
    clip: VideoClip, packets: Packets, upload: Upload, limits: Limits, desk: Desk, findings: Findings
) -> Reading:
    times_s = (packets.pts - packets.pts[0]).astype(np.float64) * clip.tick_s
    if times_s[-1] > limits.video_seconds:
        raise StudyError(
            "TooLarge",
            f"The clip lasts {times_s[-1] / 3600:.1f} hours and the limit is {limits.video_seconds / 3600:g}; cut it.",
        )
    count = len(packets.pts)
    if count <= VERIFY_FRAMES and count * clip.shape[1] * clip.shape[2] <= VERIFY_PIXELS:
        shown = clip.verify(desk)
        if shown == 0:
            raise StudyError("Corrupt", CUT)
        times_s = times_s[:shown]
    if clip.stretched:
        findings.warn(
            "Stretched", "Pixels are not square; frames are shown stretched to their true proportions."
        )
    for code, sentence in clip.problems():
        findings.warn(code, sentence)  # type: ignore[arg-type]
    content = hashlib.sha256(f"{packets.digest}|{clip.shape}|{upload.size}".encode()).hexdigest()
    info = StudyInfo(kind="video", channels=3, times_s=times_s, unit="rgb", content_id=content)
    return Reading(findings.into(info), clip=clip)


def _open(file: BinaryIO, found: str) -> tuple[Any, Any]:
    """(container, video stream), or an error class. Probing may decode a frame: its size is bounded as well."""
    # MPEG streams are only known after probing; their headers cannot declare more than 16 k x 16 k.
    per_stream = None if found.startswith("mpeg") else [{"max_pixels": MAX_PROBED_PIXELS}]
    try:
        container = av.open(
            file,
            mode="r",
            format=_DEMUXER[found],
            options=_OPTIONS,
            stream_options=per_stream,
            metadata_errors="ignore",
        )
    except (FFmpegError, ValueError, OSError):
        raise StudyError("Corrupt", CUT) from None
    moving = [s for s in container.streams.video if not _is_picture(s)]
    if not moving:
        raise StudyError("NotAnImage", "The file has sound but no moving picture; choose a clip.")
    return container, moving[0]


def _is_picture(stream: Any) -> bool:
    return bool(
        stream.disposition & (av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails)
    )


def _check_stream(stream: Any, limits: Limits) -> None:
    context = stream.codec_context
    width, height = (int(context.width), int(context.height)) if context is not None else (0, 0)
    if width * height > limits.video_pixels:
        raise StudyError(
            "TooLarge",
            f"The clip has {width} x {height} pixels and the limit is {limits.video_pixels / 1e6:.1f} million; "
            "scale it down.",
        )
    if width <= 0 or height <= 0:
        raise StudyError("Corrupt", CUT)
    if context.name not in CODECS:
        raise StudyError(
            "Unsupported", "This video codec is not read; save the clip as H.264 in an MP4 file."
        )


def _index(
    container: Any, stream: Any, limits: Limits, desk: Desk, total_bytes: int, by_dts: bool
) -> Packets:
    """Time stamps of every frame that will be shown, by a pass over the packets without decoding."""
    stamps: list[int] = []
    jumps: list[int] = []
    keys: list[bool] = []
    sizes: list[int] = []
    digest = hashlib.sha256()
    base = stream.time_base
    step = 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None:
                # Elementary streams carry no stamps: count frames at the stated rate.
                rate = stream.average_rate or stream.guessed_rate or 25
                stamp = round(step / (rate * base))
            step += 1
            stamps.append(stamp)
            jumps.append(packet.dts if by_dts and packet.dts is not None else stamp)
            keys.append(bool(packet.is_keyframe))
            sizes.append(int(packet.size))
            digest.update(f"{stamp},{packet.size};".encode())
            if len(stamps) > limits.video_frames:
                raise StudyError(
                    "TooLarge", f"The clip has over {limits.video_frames} frames, the limit; cut it."
                )
            if len(stamps) % 256 == 0:
                desk.progress("reading times", min(int(packet.pos or 0), total_bytes), total_bytes)
    except FFmpegError:
        if not stamps:
            raise StudyError("Corrupt", CUT) from None
    if not stamps:
        raise StudyError("NotAnImage", "The clip holds no frames; choose another file.")
    pts, first = np.unique(np.asarray(stamps, dtype=np.int64), return_index=True)
    jump, key = np.asarray(jumps, dtype=np.int64)[first], np.asarray(keys, dtype=np.bool_)[first]
    return Packets(pts, jump, key, stamps, sizes, digest.hexdigest())


class VideoClip:
    """An open decoder. Frames in rising order cost one decode each; others go back to the key frame before."""

    def __init__(self, file: BinaryIO, found: str, packets: Packets, limits: Limits) -> None:
        """Takes over the file; raises StudyError when no frame can be decoded."""
        self._file = file
        self._found = found
        self._packets = packets
        self._limits = limits
        self._place = {int(p): i for i, p in enumerate(packets.pts)}
        self._container, self._stream = _open(self._file, found)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
        self.tick_s = float(self._stream.time_base)
        self.channels = 3
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._decoding: Iterator[Any] | None = None
        self._next = 0  # lowest frame index that the running decoder may still give
        self._held: tuple[int, NDArray[np.uint8]] | None = None
        self._problems: list[tuple[str, str]] = []
        self._coded_size: tuple[int, int] | None = None
        try:
            first = self._first_frame()
        except StudyError:
            self.close()
            raise
        self._turns = round(-first.rotation / 90) % 4  # quarter turns clockwise still to be made
        self._coded_size = (first.height, first.width)
        self._show_size = self._displayed(first)
        self.stretched = self._show_size != self._coded_size
        height, width = self._show_size if self._turns % 2 == 0 else self._show_size[::-1]
        self.shape = (len(packets.pts), height, width)

    def _first_frame(self) -> Any:
        try:
            for frame in self._container.decode(self._stream):
                if frame.width * frame.height > self._limits.video_pixels:
                    raise StudyError(
                        "TooLarge", "The frames of the clip are larger than the limit; scale it down."
                    )
                return frame
        except FFmpegError:
            raise StudyError("Corrupt", CUT) from None
        raise StudyError("Corrupt", CUT)

    def _displayed(self, frame: Any) -> tuple[int, int]:
        """(rows, columns) with square pixels: the shorter side of a pixel is stretched, never shrunk."""
        ratio = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
        height, width = int(frame.height), int(frame.width)
        if ratio is None or ratio <= 0 or ratio == 1:
            return height, width
        aspect = float(ratio)
        new_height, new_width = (
            (height, round(width * aspect)) if aspect > 1 else (round(height / aspect), width)
        )
        if new_height * new_width > self._limits.video_pixels or not 1 / 16 <= aspect <= 16:
            return height, width
        return new_height, new_width

    def problems(self) -> list[tuple[str, str]]:
        return list(self._problems)

    def close(self) -> None:
        self._decoding = None
        self._container.close()
        self._file.close()

    def verify(self, desk: Desk) -> int:
        """Decode everything once; how many frames there are. Missing ones at the end shorten the clip."""
        count = len(self._packets.pts)
        seen = -1
        missing = 0
        self._rewind()
        for index, _ in self._run(0):
            missing += max(0, index - seen - 1)
            seen = max(seen, index)
            if index % 32 == 0:
                desk.progress("checking", index + 1, count)
        self._decoding = None
        if seen + 1 < count or missing:
            self._problem("Partial", f"{count - seen - 1 + missing} of {count} frames could not be decoded.")
            count = seen + 1
            p = self._packets
            self._packets = replace(p, pts=p.pts[:count], seek_to=p.seek_to[:count], key=p.key[:count])
            self.shape = (count, *self.shape[1:])
        return count

    def frame(self, index: int) -> NDArray[np.uint8]:
        """RGB (H,W,3) of the frame with this place in time; the nearest one before it when its data are damaged."""
        if self._held is not None and self._held[0] == index:
            return self._held[1]
        keys = np.flatnonzero(self._packets.key[: index + 1])
        near = int(keys[-1]) if keys.size else 0
        if self._decoding is not None and near <= self._next <= index:
            picture = self._advance(index)
            if picture is not None:
                return self._hold(index, picture)
        # A jump may land late (damaged or sparse indexes): then from one key frame earlier, then from the start.
        earlier = int(keys[-2]) if keys.size > 1 else 0
        for key in dict.fromkeys([near, earlier, 0]):
            self._seek(key)
            picture = self._advance(index)
            if picture is not None:
                return self._hold(index, picture)
        raise StudyError("Corrupt", "This part of the clip is damaged and cannot be decoded.")

    def _hold(self, index: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._held = (index, picture)
        return picture

    def _seek(self, key: int) -> None:
        if key == 0:
            self._rewind()
        else:
            try:
                self._container.seek(int(self._packets.seek_to[key]), stream=self._stream, backward=True)
            except FFmpegError:
                self._rewind()
                key = 0
        self._decoding = self._run(key)
        self._next = key

    def _rewind(self) -> None:
        """Open again at the start: exact for every container."""
        self._container.close()
        self._file.seek(0)
        try:
            self._container, self._stream = _open(self._file, self._found)
        except StudyError:
            raise StudyError("Corrupt", CUT) from None
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = min(4, os.cpu_count() or 1)

    def _advance(self, index: int) -> NDArray[np.uint8] | None:
        """The frame asked for from the running decoder, or the one before when it is damaged; None when it is past."""
        budget = DECODE_AHEAD_PIXELS // max(1, self.shape[1] * self.shape[2])
        last: Any = None
        for found, frame in self._decoding or ():
            self._next = max(self._next, found + 1)
            if found == index:
                return self._picture(frame)
            if found > index:
                break
            last = frame
            budget -= 1
            if budget < 0:
                raise StudyError(
                    "TooLarge",
                    "The clip has too few key frames to jump to this place; save it with more of them.",
                )
        self._decoding = None
        if last is None:
            return None
        self._problem(
            "Partial", "Some frames of the clip are damaged; the one before is shown in their place."
        )
        return self._picture(last)

    def _run(self, start: int) -> Iterator[tuple[int, Any]]:
        """(place in time, decoded frame) from the key frame `start` on; damaged packets are stepped over and noted."""
        failures = 0
        packets = self._demux(start)
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
            except StopIteration:
                return
            except FFmpegError:
                failures += 1
                self._problem(
                    "Partial", "Some frames of the clip are damaged; the one before is shown in their place."
                )
                if failures > 1000:
                    return
                continue
            for frame in frames:
                stamp = frame.pts if frame.pts is not None else frame.dts
                place = self._place.get(int(stamp)) if stamp is not None else None
                if (
                    place is None or place < start
                ):  # pictures before a key frame lean on ones that were not decoded
                    continue
                self._inspect(frame)
                yield place, frame

    def _demux(self, start: int) -> Iterator[Any]:
        """Packets from the running position. MPEG streams derive stamps from what was read before, which a jump
        forgets: their packets are recognised by their sizes and get the stamps of the first pass."""
        packets = iter(self._container.demux(self._stream))
        if not self._found.startswith("mpeg"):
            yield from packets
            return
        head: list[Any] = []
        for packet in packets:
            if packet.size and not packet.is_discard:
                head.append(packet)
                if len(head) == RECOGNISED_PACKETS:
                    break
        place = self._recognise([int(p.size) for p in head]) if start else 0
        if place is None:
            return
        for packet in chain(head, packets):
            if packet.size and not packet.is_discard and place < len(self._packets.file_pts):
                packet.pts = self._packets.file_pts[place]
                place += 1
            yield packet

    def _recognise(self, sizes: list[int]) -> int | None:
        """Where this run of packet sizes stands in the file; None when nowhere or at several places."""
        known = self._packets.file_sizes
        n = len(sizes)
        places = (
            [i for i in range(len(known) - n + 1) if known[i] == sizes[0] and known[i : i + n] == sizes]
            if n
            else []
        )
        return places[0] if len(places) == 1 else None

    def _inspect(self, frame: Any) -> None:
        if frame.is_corrupt:
            self._problem("Partial", "Some frames of the clip are damaged.")
        if self._coded_size is not None and (frame.height, frame.width) != self._coded_size:
            self._problem("Partial", "The clip changes its size; later frames are scaled to the first.")

    def _picture(self, frame: Any) -> NDArray[np.uint8]:
        if frame.width * frame.height > self._limits.video_pixels:
            raise StudyError("TooLarge", "The frames of the clip are larger than the limit; scale it down.")
        rows, columns = self._show_size
        try:
            rgb = frame.to_ndarray(format="rgb24", width=columns, height=rows)
        except (FFmpegError, ValueError):
            raise StudyError("Corrupt", "This part of the clip is damaged and cannot be decoded.") from None
        return np.ascontiguousarray(np.rot90(rgb, -self._turns)) if self._turns else rgb

    def _problem(self, code: str, sentence: str) -> None:
        if all(sentence != s for _, s in self._problems):
            self._problems.append((code, sentence))
