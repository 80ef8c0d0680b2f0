"""Which packet shows frame n, and when: the time line of a clip from the stamps of its packets, without decoding.

Stamps are hints, not keys. They repeat, they are missing, and in a transport stream they may begin again (ISO 13818-1,
2.4.3.4 and 2.4.3.5: time bases and discontinuities). So a frame is known by the number of its packet in the file; its
stamp only tells its turn, and the times handed out always rise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_STAMP = np.iinfo(np.int64).min
GAP_S = 60.0  # a longer silence in an MPEG stream is another recording, not a pause
BACK_S = 0.5  # decoding stamps that fall by more begin again


@dataclass(frozen=True)
class Packets:
    """The first pass, one entry per packet in the order of the file. Stamps in ticks of the stream, or NO_STAMP."""

    stamps: NDArray[np.int64]  # when it is shown; the decoding stamp where there is no other
    dts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    places: NDArray[np.int64]  # byte in the file, -1 where the container does not say
    key: NDArray[np.bool_]  # can be decoded alone
    hidden: NDArray[np.bool_]  # never shown by itself
    digest: str

    def __len__(self) -> int:
        return len(self.stamps)


@dataclass(frozen=True)
class Frames:
    """What is shown: per frame the number of its packet and its time; and where the recordings begin."""

    packet: NDArray[np.int64]  # (T,)
    times_s: NDArray[np.float64]  # (T,) rising, first 0
    takes: NDArray[np.int64]  # number of the first packet of each recording in the file
    before_key: int  # packets that lean on pictures before their recording: left out

    def of_packets(self, count: int) -> NDArray[np.int64]:
        """(count,) the frame that each packet shows, -1 for none."""
        shown = np.full(count, -1, np.int64)
        shown[self.packet] = np.arange(len(self.packet))
        return shown


def line_up(packets: Packets, tick_s: float, step_s: float, joined: bool, streamed: bool) -> Frames:
    """Frames in the order of their stamps, recording after recording.

    `tick_s`: seconds per tick; `step_s`: usual time from frame to frame, used where stamps do not tell;
    `joined`: whether the container may hold several recordings (MPEG streams, Matroska), each with its own clock;
    `streamed`: an MPEG stream, which may be cut anywhere and where a long silence is another recording. Elsewhere marks
    of key frames may be wanting: there the decoder decides what it can begin with.
    """
    stamps = filled(packets.stamps, max(1, round(step_s / tick_s)))
    starts = (
        _takes(packets, stamps, tick_s, GAP_S if streamed else np.inf) if joined else np.zeros(1, np.int64)
    )
    ends = [*starts[1:], len(packets)]
    order: list[NDArray[np.int64]] = []
    left_out = 0
    for start, end in zip(starts, ends, strict=True):
        members = np.arange(start, end, dtype=np.int64)
        keys = members[packets.key[start:end]]
        if (
            streamed and keys.size
        ):  # a stream that begins inside a group, and pictures shown before its first whole one
            whole = members[(members >= keys[0]) & (stamps[start:end] >= stamps[keys[0]])]
            left_out += int(np.count_nonzero(~packets.hidden[members])) - int(
                np.count_nonzero(~packets.hidden[whole])
            )
            members = whole
        members = members[~packets.hidden[members]]
        order.append(members[np.argsort(stamps[members], kind="stable")])
    return Frames(
        np.concatenate(order),
        times_of(order, stamps * np.float64(tick_s), step_s),
        starts.astype(np.int64),
        left_out,
    )


def times_of(
    order: list[NDArray[np.int64]], stamps_s: NDArray[np.float64], step_s: float
) -> NDArray[np.float64]:
    """Rising times of these packets, recording after recording, each beginning one step after the one before."""
    parts: list[NDArray[np.float64]] = []
    begin = 0.0
    for members in order:
        if members.size == 0:
            continue
        times = rising(stamps_s[members], step_s)
        parts.append(times - times[0] + begin)
        begin = float(parts[-1][-1]) + step_s
    return np.concatenate(parts) if parts else np.zeros(0)


def rising(times_s: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """The same times made to rise: frames with one stamp share the time until the next; none goes back."""
    times = np.maximum.accumulate(times_s)
    starts = np.flatnonzero(np.diff(times, prepend=-np.inf) > 0)
    if len(starts) == len(times):
        return times
    lengths = np.diff([*starts, len(times)])
    after = np.append(times[starts][1:], times[-1] + step_s * lengths[-1])
    within = np.arange(len(times)) - np.repeat(starts, lengths)
    span = np.repeat((after - times[starts]) / lengths, lengths)
    return np.asarray(np.repeat(times[starts], lengths) + within * span)


def filled(stamps: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Stamps with the missing ones counted on from a known one by `step` ticks (elementary streams have none)."""
    missing = stamps == NO_STAMP
    if not missing.any():
        return stamps
    known = np.flatnonzero(~missing)
    if known.size == 0:
        return np.arange(len(stamps), dtype=np.int64) * step
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(stamps))))
    first = known[0]
    base = np.where(last >= 0, stamps[np.maximum(last, 0)], stamps[first])
    since = np.where(last >= 0, np.arange(len(stamps)) - last, np.arange(len(stamps)) - first)
    return np.asarray(base + since * step)


def _takes(packets: Packets, stamps: NDArray[np.int64], tick_s: float, gap_s: float) -> NDArray[np.int64]:
    """First packets of the recordings: decoding stamps begin again or leap, or a key frame is shown before others."""
    known = np.flatnonzero(packets.dts != NO_STAMP)
    if known.size == 0:
        steps = np.zeros(len(stamps) - 1)
    else:
        following = np.minimum(np.searchsorted(known, np.arange(len(stamps))), known.size - 1)
        steps = np.diff(packets.dts[known[following]]) * tick_s
    before = np.maximum.accumulate(stamps)[:-1]
    backwards = packets.key[1:] & (stamps[1:] < before) & (steps <= 0)
    again = (steps < -BACK_S) | (steps > gap_s) | backwards
    return np.concatenate([[0], np.flatnonzero(again) + 1])
