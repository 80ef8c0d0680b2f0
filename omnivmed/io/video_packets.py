"""The container of a clip: opened with its format forced, judged, and its packets listed without decoding."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError

from omnivmed.errors import StudyError
from omnivmed.io.job import Desk
from omnivmed.io.sniff import transport_pace
from omnivmed.io.video_times import NO_STAMP, Packets
from omnivmed.limits import Limits

CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9", "mpeg4", "mjpeg", "prores"}
    | {"mpeg2video", "mpeg1video", "ffv1", "rawvideo", "dvvideo", "huffyuv", "ffvhuff", "utvideo", "v210"}
)
# What other decoders are called by people; anything else is only called "this video codec".
_NAMES = {
    "wmv1": "Windows Media Video", "wmv2": "Windows Media Video", "wmv3": "Windows Media Video", "vc1": "VC-1",
    "msmpeg4v1": "Microsoft MPEG-4", "msmpeg4v2": "Microsoft MPEG-4", "msmpeg4v3": "DivX 3", "h263": "H.263",
    "flv1": "Flash video", "svq1": "Sorenson video", "svq3": "Sorenson video", "cinepak": "Cinepak",
    "indeo3": "Indeo", "indeo5": "Indeo", "dnxhd": "DNxHD", "theora": "Theora", "vvc": "H.266",
    "qtrle": "QuickTime Animation", "msrle": "Microsoft RLE", "msvideo1": "Microsoft Video 1",
    "jpeg2000": "JPEG 2000", "libopenjpeg": "JPEG 2000", "cfhd": "CineForm",
}  # fmt: skip
_DEMUXER = {f: f for f in ("mov", "matroska", "avi", "mpeg", "mpegvideo", "mpegts", "dv")}
# No sub-demuxer may open anything by name, and external references of MOV stay closed.
_OPTIONS = {"protocol_whitelist": "", "enable_drefs": "0", "use_absolute_path": "0"}
MAX_PROBED_PIXELS = "40000000"
CUT = "The clip is cut or damaged; save it again."


def open_container(file: BinaryIO, found: str) -> tuple[Any, Any]:
    """(container, video stream), or an error class. Probing may decode a frame: its size is bounded as well."""
    # MPEG streams are only known after probing; their headers cannot declare more than 16 k x 16 k.
    # PyAV's stub asks for a list of words; the call takes one dict per stream.
    per_stream: Any = (
        None if found.startswith("mpeg") or found == "dv" else [{"max_pixels": MAX_PROBED_PIXELS}]
    )
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
    moving = moving_streams(container)
    if not moving:
        raise StudyError("NotAnImage", "The file has sound but no moving picture; choose a clip.")
    return container, moving[0]


def moving_streams(container: Any) -> list[Any]:
    """Picture streams that are not covers or thumbnails."""
    still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return [s for s in container.streams.video if not s.disposition & still]


def check_stream(stream: Any, limits: Limits) -> None:
    """Frame size within the limits, codec on the list. Raises TooLarge, Corrupt, Unsupported."""
    context = stream.codec_context
    if context is None:
        raise StudyError(
            "Unsupported", "This video codec is not read; save the clip as H.264 in an MP4 file."
        )
    width, height = int(context.width), int(context.height)
    if width * height > limits.video_pixels:
        raise StudyError(
            "TooLarge",
            f"The clip has {width} x {height} pixels and the limit is {limits.video_pixels / 1e6:.1f} million; "
            "scale it down.",
        )
    if context.name not in CODECS:
        what = _NAMES.get(context.name)
        codec = "This video codec" if what is None else f"The video codec {what}"
        raise StudyError("Unsupported", f"{codec} is not read; save the clip as H.264 in an MP4 file.")
    if width <= 0 or height <= 0:
        raise StudyError("Corrupt", CUT)


def list_packets(container: Any, stream: Any, limits: Limits, desk: Desk, total_bytes: int) -> Packets:
    """Stamps, sizes and places of every packet that may show a frame.

    Raises TooLarge over the limit of frames, Corrupt, NotAnImage without any packet.
    """
    stamps: list[int] = []
    dtss: list[int] = []
    sizes: list[int] = []
    places: list[int] = []
    keys: list[bool] = []
    hidden: list[bool] = []
    is_vp8 = stream.codec_context.name in ("vp8", "libvpx")
    limit = limits.video_frames
    try:
        for packet in container.demux(stream):
            size = packet.size
            if size == 0:
                continue
            pts, dts, pos = packet.pts, packet.dts, packet.pos
            decoding = NO_STAMP if dts is None else dts
            stamps.append(decoding if pts is None else pts)
            dtss.append(decoding)
            sizes.append(size)
            places.append(-1 if pos is None else pos)
            keys.append(packet.is_keyframe)
            # Cut away by an edit list, but others lean on it; RFC 6386, 9.1: bit 4 of the frame tag is show_frame.
            hidden.append(packet.is_discard or (is_vp8 and not memoryview(packet)[0] >> 4 & 1))
            count = len(sizes)
            if count > limit:
                raise StudyError("TooLarge", f"The clip has over {limit} frames, the limit; cut it.")
            if count % 256 == 0:
                desk.progress("reading times", min(max(places[-1], 0), total_bytes), total_bytes)
    except FFmpegError:
        if not sizes:
            raise StudyError("Corrupt", CUT) from None
    if not sizes:
        raise StudyError("NotAnImage", "The clip holds no frames; choose another file.")
    stamp, size_of = np.asarray(stamps, np.int64), np.asarray(sizes, np.int64)
    digest = hashlib.sha256(np.stack([stamp, size_of]).tobytes()).hexdigest()
    return Packets(
        stamp,
        np.asarray(dtss, np.int64),
        size_of,
        np.asarray(places, np.int64),
        np.asarray(keys, bool),
        np.asarray(hidden, bool),
        digest,
    )


def rest_of_file(file: BinaryIO, found: str, size: int, last_place: int) -> str | None:
    """A sentence when the file goes on behind what its container gives (recordings joined byte by byte), or ends torn.

    `last_place`: byte of the last packet. Only the outermost boxes are looked at (ISO 14496-12, 4.2; RIFF; EBML).
    """
    if found == "mpegts":
        file.seek(0)
        pace = transport_pace(file.read(4096))
        if pace is not None and (size - pace[1]) % pace[0]:
            return "The file ends inside a packet; what followed is not in it."
        more = 0 <= last_place < size - max(1 << 20, size // 5)
    elif found == "mov":
        heads = [at for name, at in _boxes(file, size) if name == b"moov"]
        more = len(heads) > 1  # a second one is skipped, wherever the first is
    elif found == "avi":
        more = any(at > last_place for kind, at in _riffs(file, size) if kind == b"AVI ")
    elif found == "matroska":
        more = _second_ebml(file, size, last_place)
    else:
        more = False
    if not more:
        return None
    return "The file goes on with another recording, which is not shown; save each one as a file of its own."


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """(name, place) of the outermost boxes, at most a thousand."""
    at = 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        yield head[4:8], at
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or at + length >= size:
            return
        at += length


def _riffs(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """(kind, place) of the RIFF lists that follow one another: 'AVI ', then 'AVIX' in OpenDML files."""
    at = 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF":
            return
        yield head[8:12], at
        length = int.from_bytes(head[4:8], "little")
        at += 8 + length + length % 2
        if at >= size:
            return


def _second_ebml(file: BinaryIO, size: int, last_place: int) -> bool:
    """Whether another EBML head with a document type follows the last packet that was given."""
    file.seek(max(0, last_place))
    tail = file.read(min(size - max(0, last_place), 1 << 22))
    at = tail.find(b"\x1a\x45\xdf\xa3")
    return at >= 0 and b"\x42\x82" in tail[at : at + 64]


class View(io.RawIOBase):
    """A file from byte `start` on, as a file of its own. Closing it leaves the file open."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start
        file.seek(start)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def read(self, n: int = -1) -> bytes:
        """At most `n` bytes from here, all that follow for -1."""
        return self._file.read(n)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place counted from the beginning of the view; returns where that is."""
        return self._file.seek(offset + self._start if whence == 0 else offset, whence) - self._start

    def tell(self) -> int:
        """Where the next byte is read, counted from the beginning of the view."""
        return self._file.tell() - self._start
