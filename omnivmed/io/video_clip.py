"""An open decoder: frame n of a clip, whichever way one comes to it.

Every packet is given its number in the file as its stamp before it is decoded; the frame that comes out carries it. So
a frame is known whatever the container says about time, and a frame reached by a jump is the one that straight
decoding gives.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from omnivmed.errors import StudyError
from omnivmed.io.job import Desk
from omnivmed.io.video_packets import CUT, View, open_container
from omnivmed.io.video_picture import rgb_of, sentences_of, turn_of
from omnivmed.io.video_times import NO_STAMP, Frames, Packets, filled, times_of
from omnivmed.limits import Limits

MOST_CPU = 0.8  # of the processor time that one frame may take: then a sentence, before the worker is ended
DECODE_AHEAD_PIXELS = 40_000_000_000  # from one key frame to the frame asked: about minutes of decoding
RECOGNISED_PACKETS = 6  # sizes of so many packets in a row tell where in a stream a jump landed
TORN_PACKETS = 8  # packets that a jump may give before the first whole one
TABLES_BYTES = 128 * 192  # in front of a recording: its tables may come before its first picture
PLACEHOLDER_BYTES = 16
_DAMAGED = "Some frames of the clip are damaged; the one before is shown in their place."


class VideoClip:
    """Frames in rising order cost one decode each; others go back to the key frame before."""

    def __init__(
        self, file: BinaryIO, found: str, packets: Packets, frames: Frames, step_s: float, limits: Limits
    ) -> None:
        """Takes over the file; raises StudyError when no frame can be decoded."""
        self._file = file
        self._found = found
        self._packets = packets
        self._limits = limits
        self._step_s = step_s
        self._container, self._stream = self._opened(0)
        self._start = 0  # byte of the file where the open container begins
        self.channels = 3
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._decoding: Iterator[tuple[int, Any]] | None = None
        self._next = 0  # lowest frame that the running decoder may still give
        self._skip_before = -1  # pictures shown before this frame are not decoded unless others lean on them
        self._held: tuple[int, NDArray[np.uint8]] | None = None
        self._problems: list[tuple[str, str]] = []
        self._started_s = time.process_time()  # when the frame under way was asked for
        self._coded_size: tuple[int, int] | None = None
        try:
            first = self._first_frame()
        except StudyError:
            self.close()
            raise
        self._turn = turn_of(first)
        self.upright = self._turn.nothing
        self.pixels = str(first.format.name)
        self.codec = str(self._stream.codec_context.name)
        self.packets = len(packets)
        self.said = sentences_of(first, self._turn)
        self._coded_size = (first.height, first.width)
        self._show_size = self._displayed(first)
        self.stretched = self._show_size != self._coded_size
        height, width = self._show_size[::-1] if self._turn.transpose else self._show_size
        self.shape = (len(frames.packet), height, width)
        self._use(frames)

    def _use(self, frames: Frames) -> None:
        self.frames = frames
        self._place = frames.of_packets(len(self._packets))
        self.shape = (len(frames.packet), *self.shape[1:])
        self._keys = np.flatnonzero(self._packets.key)
        self._held, self._decoding = None, None

    def _opened(self, start: int) -> tuple[Any, Any]:
        """The container from this byte on, its decoder ready."""
        self._file.seek(0)
        try:
            container, stream = open_container(View(self._file, start) if start else self._file, self._found)  # type: ignore[arg-type]
        except StudyError:
            raise StudyError("Corrupt", CUT) from None
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
        return container, stream

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

    # -- everything once ------------------------------------------------------------------------------------------

    def verify(self, desk: Desk, by_decoder: bool) -> int:
        """Decode everything once; how many frames there are.

        `by_decoder`: the container does not tell the order, so that of the decoder counts. Otherwise frames that are
        missing in the middle keep their place (the one before is shown), and those at either end are left out.
        """
        given: list[int] = []
        torn: set[int] = set()
        self._restart(0)
        for number, frame in self._run(0):
            given.append(number)
            if frame.is_corrupt:
                torn.add(number)
            if len(given) % 32 == 0:
                desk.progress("checking", len(given), len(self._packets))
        given = list(dict.fromkeys(given))
        frames = self.frames
        hidden = self._hidden(given)
        order: list[NDArray[np.int64]] = []
        ends = [*frames.takes[1:], len(self._packets)]
        for start, end in zip(frames.takes, ends, strict=True):
            if by_decoder:
                members = np.asarray([p for p in given if start <= p < end], np.int64)
            else:
                members = frames.packet[(frames.packet >= start) & (frames.packet < end)]
                members = members[~hidden[members]]
            # MPEG streams are cut anywhere, and a torn picture at the cut is nobody's; others keep what there is.
            bad = torn if self._found.startswith("mpeg") else set()
            good = np.isin(members, given) & ~np.isin(members, list(bad))
            shown = np.flatnonzero(good)
            order.append(members[shown[0] : shown[-1] + 1] if shown.size else members[:0])
        packet = np.concatenate(order)
        expected = int(np.count_nonzero(~hidden)) - frames.before_key
        missing = expected - int(np.count_nonzero(np.isin(packet, given)))
        if missing > 0:
            self._problem("Partial", f"{missing} of {expected} frames could not be decoded.")
        if packet.size:
            stamps = self._stamps_in(order, by_decoder)
            times = times_of(order, stamps, self._step_s)
            self._use(Frames(packet, times, frames.takes, frames.before_key))
        return int(packet.size)

    def _stamps_in(self, order: list[NDArray[np.int64]], by_decoder: bool) -> NDArray[np.float64]:
        """Seconds per packet; where the decoder tells the order, the stamps of a recording are dealt out in it."""
        tick_s = float(self._stream.time_base)
        stamps = filled(self._packets.stamps, max(1, round(self._step_s / tick_s))) * tick_s
        if by_decoder:
            for members in order:
                stamps[members] = np.sort(stamps[members])
        return np.asarray(stamps)

    def _hidden(self, given: list[int]) -> NDArray[np.bool_]:
        """Packets that gave no frame and need not: second fields (no stamp of their own), placeholders of packed
        streams, and what the codec never shows."""
        packets = self._packets
        unstamped = packets.stamps == NO_STAMP
        hidden = (packets.sizes <= PLACEHOLDER_BYTES) | packets.hidden
        if not unstamped.all():
            hidden |= unstamped
        hidden[given] = False
        return np.asarray(hidden)

    # -- one frame ------------------------------------------------------------------------------------------------

    def frame(self, index: int) -> NDArray[np.uint8]:
        """RGB (H,W,3) of the frame with this place in time; the nearest one before it when its data are damaged."""
        if self._held is not None and self._held[0] == index:
            return self._held[1]
        self._started_s = time.process_time()
        near, earlier = self._keys_for(index)
        running = self._decoding is not None and self._place[near] <= self._next <= index
        picture = None
        if not running:
            self._seek(near)
            if near == self.frames.packet[index] and not self._found.startswith("mpeg"):
                picture = self._alone(near)
                if picture is None:
                    self._seek(near)
        if picture is None:
            self._skip_before = index
            picture = self._advance(index, exactly=True)
        if picture is not None:
            return self._hold(index, picture)
        # Damaged, or the jump landed late: now without leaving anything out.
        self._skip_before = -1
        # A jump may land late (damaged or sparse indexes): then from one key frame earlier, then from the start.
        for key in dict.fromkeys([near, earlier, 0]):
            self._seek(key)
            picture = self._advance(index)
            if picture is not None:
                return self._hold(index, picture)
        raise StudyError("Corrupt", "This part of the clip is damaged and cannot be decoded.")

    def _keys_for(self, index: int) -> tuple[int, int]:
        """Packets of the last key frame from which this frame can be decoded, and of the one before it.

        Pictures that come after a key frame in the file but are shown before it lean on the group before.
        """
        packet = int(self.frames.packet[index])
        at = int(np.searchsorted(self._keys, packet, side="right")) - 1
        while at > 0 and (self._place[self._keys[at]] > index or self._place[self._keys[at]] < 0):
            at -= 1
        near = int(self._keys[at]) if at >= 0 else 0
        return near, int(self._keys[at - 1]) if at > 0 else 0

    def _hold(self, index: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._held = (index, picture)
        return picture

    def _seek(self, key: int) -> None:
        """Stand so that decoding from this packet on is possible."""
        takes = self.frames.takes
        take = int(takes[np.searchsorted(takes, key, side="right") - 1])
        start = 0
        if take and self._found.startswith("mpeg"):
            start = max(0, int(self._packets.places[take]) - TABLES_BYTES)
        elif take:
            key = take = 0  # other containers can only be read up to their second head
        try:
            if key == take or start != self._start:
                self._restart(start)
            if key > take:
                by_dts = self._found.startswith("mpeg")
                stamp = (self._packets.dts if by_dts else self._packets.stamps)[key]
                self._container.seek(int(stamp), stream=self._stream, backward=True)
        except (FFmpegError, OverflowError, ValueError, StudyError):
            self._restart(0)
            key = 0
        self._decoding = self._shown(key)
        self._next = max(0, int(self._place[key]))

    def _restart(self, start: int) -> None:
        """Open again at this byte: exact for every container."""
        self._container.close()
        self._container, self._stream = self._opened(start)
        self._start = start

    def _shown(self, key: int) -> Iterator[tuple[int, Any]]:
        """(place, frame) from the key packet on; pictures shown before it lean on ones that were not decoded."""
        lowest = self._place[key] if key else 0
        for packet, frame in self._run(key):
            place = int(self._place[packet])
            if place >= lowest and place >= 0:
                yield place, frame

    def _alone(self, key: int) -> NDArray[np.uint8] | None:
        """A key frame after which nothing is decoded, as a jump stands before it; None where that gives none, or a
        field of it. The decoder has to jump afterwards."""
        self._decoding = None
        try:
            for packet in self._numbered(key):
                if packet.size and packet.pts < key:
                    continue
                if packet.pts != key:
                    break
                for frame in (*packet.decode(), *self._stream.codec_context.decode(None)):
                    if frame.pts == key and not frame.interlaced_frame and not frame.is_corrupt:
                        self._inspect(frame)
                        return self._picture(frame)
                break
        except FFmpegError:
            pass
        return None

    def _advance(self, index: int, exactly: bool = False) -> NDArray[np.uint8] | None:
        """The frame asked for from the running decoder, or the one before when it is damaged; None when it is past, or
        damaged and asked for `exactly`."""
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
            spent = time.process_time() - self._started_s
            if budget < 0 or spent > MOST_CPU * self._limits.worker_cpu_s:
                raise StudyError(
                    "TooLarge",
                    "The clip has too few key frames to jump to this place; save it with more of them.",
                )
        self._decoding = None
        if last is None or exactly:
            return None
        self._problem("Partial", _DAMAGED)
        return self._picture(last)

    def _run(self, start: int) -> Iterator[tuple[int, Any]]:
        """(packet number, decoded frame) in the order of the decoder; damaged packets are stepped over and noted."""
        failures = 0
        packets = self._numbered(start)
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
            except StopIteration:
                return
            except FFmpegError:
                failures += 1
                self._problem("Partial", _DAMAGED)
                if failures > 1000:
                    return
                continue
            for frame in frames:
                number = frame.pts
                if number is None or not 0 <= number < len(self._packets):
                    continue
                self._inspect(frame)
                yield int(number), frame

    def _numbered(self, start: int) -> Iterator[Any]:
        """Packets from where the container stands, their stamps replaced by their numbers in the file."""
        packets = iter(self._container.demux(self._stream))
        head: list[Any] = []
        number: int | None = 0
        if start:
            head = list(islice(packets, RECOGNISED_PACKETS + TORN_PACKETS))
            torn, number = self._recognise([p for p in head if p.size])
            head = head[torn:]
        if number is None:
            return
        for packet in chain(head, packets):
            if packet.size:
                if number >= len(self._packets):
                    return
                packet.pts = packet.dts = number
                self._stream.codec_context.skip_frame = (
                    "NONREF" if self._place[number] < self._skip_before else "DEFAULT"
                )
                number += 1
            yield packet

    def _recognise(self, head: list[Any]) -> tuple[int, int | None]:
        """(packets to drop, number of the next) of packets met after a jump; None when nowhere or at several places.

        MPEG streams derive stamps from what was read before, which a jump forgets, and their stamps may repeat: there
        sizes in a row tell the place. Other containers give size, place and stamp with every packet.
        """
        known = self._packets
        sizes = np.asarray([p.size for p in head], np.int64)
        for torn in range(min(TORN_PACKETS, len(head))):
            run = sizes[torn : torn + RECOGNISED_PACKETS]
            places = np.flatnonzero(known.sizes[: len(known) - len(run) + 1] == run[0])
            for k in range(1, len(run)):
                places = places[known.sizes[places + k] == run[k]]
            if not self._found.startswith("mpeg"):
                pos = head[torn].pos
                places = places[known.places[places] == (-1 if pos is None else pos)]
                stamp = head[torn].dts if self._found == "avi" else head[torn].pts
                if len(places) > 1 and stamp is not None:
                    stamps = known.dts if self._found == "avi" else known.stamps
                    places = places[stamps[places] == stamp]
            if len(places) == 1:
                return torn, int(places[0])
        return 0, None

    def _inspect(self, frame: Any) -> None:
        if frame.is_corrupt:
            self._problem("Partial", "Some frames of the clip are damaged.")
        if self._coded_size is not None and (frame.height, frame.width) != self._coded_size:
            self._problem("Partial", "The clip changes its size; later frames are scaled to the first.")

    def _picture(self, frame: Any) -> NDArray[np.uint8]:
        if frame.width * frame.height > self._limits.video_pixels:
            raise StudyError("TooLarge", "The frames of the clip are larger than the limit; scale it down.")
        return self._turn(rgb_of(frame, *self._show_size))

    def _problem(self, code: str, sentence: str) -> None:
        if all(sentence != s for _, s in self._problems):
            self._problems.append((code, sentence))
