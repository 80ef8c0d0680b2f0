"""When a frame was taken: seconds of a loop, and of pictures of one place that come as files of their own.

PS3.3 C.7.6.5 (cine), C.7.6.16.2.2 (frame content), C.8.3.1 (trigger and temporal position of MR), C.8.9.1 (frame
reference time of PET), C.8.4.14 (phases of NM).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from omnivmed.io.dicom import number, numbers, value
from omnivmed.io.dicom_groups import frame_headers
from omnivmed.io.job import Findings

ASSUMED_RATE = 15.0  # frames per second when nothing says
_FRAME_TIME, _FRAME_TIME_VECTOR = 0x00181063, 0x00181065
# Numbers that tell times, with the seconds of one of their units; asked in this order.
_NUMBERS = (
    ("TriggerTime", 1e-3), ("NominalCardiacTriggerDelayTime", 1e-3), ("TemporalPositionTimeOffset", 1.0),
    ("FrameReferenceTime", 1e-3),
)  # fmt: skip
_MOMENTS = ("FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime")
_CLOCKS = (("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"))
_ORDERS = ("TemporalPositionIndex", "TemporalPositionIdentifier")
_DAY_S = 86400.0


def loop_times(dataset: Dataset, count: int, findings: Findings) -> NDArray[np.float64] | None:
    """(T,) seconds from the first frame of a loop, or None when unsaid.

    The tag that Frame Increment Pointer (0028,0009) names, else the vector, the step, the frames' own moments, a rate.
    """
    vector, step = _vector_times(dataset, count), _step_times(dataset, count)
    pointed = value(dataset, "FrameIncrementPointer")
    try:
        tags = [] if pointed is None else [int(t) for t in np.atleast_1d(np.asarray(pointed, dtype=object))]
    except (TypeError, ValueError):
        tags = []
    if _FRAME_TIME in tags and step is not None:
        return step
    if vector is not None or step is not None:
        return step if vector is None else vector
    if value(dataset, "FrameTimeVector") is not None:
        findings.warn("BadHeader", "The frame times in the header do not fit the number of frames.")
    if value(dataset, "PerFrameFunctionalGroupsSequence") is not None:
        own = times_of(frame_headers(dataset, count))
        if own is not None and (np.diff(own) > 0).all():
            return own
    phases = _phase_times(dataset, count)
    if phases is not None:
        return phases
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = number(dataset, keyword)
        if rate is not None and 0 < rate <= 10_000:
            return np.arange(count, dtype=np.float64) / rate
    return None


def _vector_times(dataset: Dataset, count: int) -> NDArray[np.float64] | None:
    vector = numbers(dataset, "FrameTimeVector")
    if vector is None or len(vector) < count or min(vector) < 0 or (count > 1 and max(vector[1:count]) <= 0):
        return None
    steps = np.asarray(vector[:count], dtype=np.float64)
    since_first: NDArray[np.float64] = (np.cumsum(steps) - steps[0]) / 1000.0
    return since_first


def _step_times(dataset: Dataset, count: int) -> NDArray[np.float64] | None:
    step_ms = number(dataset, "FrameTime")
    if step_ms is None or not 0 < step_ms < 1e7:
        return None
    return np.arange(count, dtype=np.float64) * (step_ms / 1000.0)


def _phase_times(dataset: Dataset, count: int) -> NDArray[np.float64] | None:
    """A dynamic NM study: frames of each phase have its duration (PS3.3 C.8.4.14)."""
    phases = value(dataset, "PhaseInformationSequence")
    if phases is None:
        return None
    steps: list[float] = []
    for phase in phases:
        many, long_ms = number(phase, "NumberOfFramesInPhase"), number(phase, "ActualFrameDuration")
        if many is None or long_ms is None or not 0 < long_ms < 1e9 or not 0 < many <= count:
            return None
        steps.extend([long_ms / 1000.0] * int(many))
    if len(steps) != count:
        return None
    return np.concatenate([[0.0], np.cumsum(steps)[:-1]])


def times_of(headers: Sequence[Any]) -> NDArray[np.float64] | None:
    """(T,) seconds of pictures from the earliest, by the first tag that all of them have and that tells them apart."""
    for keyword, unit in _NUMBERS:
        if (found := _distinct([number(h, keyword) for h in headers])) is not None:
            return found * unit
    for keyword in _MOMENTS:
        if (found := _distinct([seconds_of(value(h, keyword)) for h in headers])) is not None:
            return found
    for date, clock in _CLOCKS:
        if (found := _distinct([clock_of(h, date, clock) for h in headers])) is not None:
            return found
    for keyword in _ORDERS:
        if (found := _distinct([number(h, keyword) for h in headers])) is not None:
            resolution_ms = number(headers[0], "TemporalResolution")
            if resolution_ms is not None and 0 < resolution_ms < 1e9:
                return found * resolution_ms / 1000.0
    return None


def order_of(header: Any) -> tuple[float, ...]:
    """Order of pictures whose times are not told: time point, number."""
    keys = (*_ORDERS, "InstanceNumber", "InStackPositionNumber")
    return tuple(number(header, k, 0.0) or 0.0 for k in keys)


def _distinct(found: Sequence[float | None]) -> NDArray[np.float64] | None:
    if any(v is None for v in found) or len(set(found)) < len(found):
        return None
    times = np.asarray(found, dtype=np.float64)
    since_first: NDArray[np.float64] = times - times.min()
    return since_first


def clock_of(header: Any, date: str, clock: str) -> float | None:
    """Seconds of a date and a time of day (DA and TM of PS3.5 6.2), without a date of the time alone."""
    seconds = seconds_of(f"20000101{str(value(header, clock, '')).replace(':', '').strip()}")
    day = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", str(value(header, date, "")).strip())
    if seconds is None or day is None:
        return seconds
    try:
        return seconds + _DAY_S * datetime.date(*(int(p) for p in day.groups())).toordinal()
    except ValueError:
        return seconds


def seconds_of(text: Any) -> float | None:
    """Seconds of a DT value (PS3.5 6.2), counted from any fixed moment; None when hours and minutes are missing."""
    match = re.fullmatch(
        r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(\.\d{1,6})?([+-]\d{4})?", str(text or "").strip()
    )
    if match is None:
        return None
    year, month, day, hour, minute = (int(match[i]) for i in range(1, 6))
    try:
        days = datetime.date(year, month, day).toordinal()
    except ValueError:
        return None
    zone = int(match[8] or 0)
    offset = (abs(zone) // 100 * 60 + abs(zone) % 100) * (-60 if zone < 0 else 60)
    # Days are counted from 2000-01-01, so that microseconds survive in a double.
    since = days - datetime.date(2000, 1, 1).toordinal()
    return since * _DAY_S + hour * 3600 + minute * 60 + float(match[6] or 0) + float(match[7] or 0) - offset
