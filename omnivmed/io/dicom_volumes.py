"""Which slices make one volume: told apart by what differs in their headers, before anything is counted.

A series may hold echoes, time points, b values, reconstructions or segments side by side. A header divides the slices
when that leaves fewer of them at one place, or makes an uneven stack even; a header that varies within every volume (a
clock, a number) never does. What no header tells apart is divided by the order of acquisition.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from omnivmed.io.dicom import number, value
from omnivmed.io.dicom_file import DicomFile
from omnivmed.io.dicom_groups import NM_VECTORS, FrameHeader, vector_entry
from omnivmed.io.dicom_times import clock_of, seconds_of
from omnivmed.io.job import Findings
from omnivmed.io.stack import Place, levels, only_rounded, usual_step, whole_steps

SAME_SPACING = 0.005  # pixel spacings that differ by a smaller share are one
EVEN = 0.02  # share of the usual step that steps may differ by in an even stack
MOST_LOST = 0.75  # share of the places that a volume told by order alone must have
MOST_GAP = 8.0  # steps in one gap of an even stack


@dataclass
class Slice:
    """One picture: its file, its header as this frame sees it, where it lies, and which frame of the file it is."""

    file: DicomFile
    header: FrameHeader
    place: Place | None

    @property
    def frame(self) -> int:
        """Index in the file."""
        return self.header.index


@dataclass(frozen=True)
class Telling:
    """A header that may tell volumes apart. `words` say its value in the list of choices, with {} for the number;
    `always`: different values are never one volume, wherever they lie. `kind`: of picture, not of moment."""

    keyword: str
    words: str = ""
    always: bool = False
    kind: bool = True


# In the order in which they are asked. PS3.3 C.7.6.16 (functional groups), C.8.3.1 and C.8.13 (MR), C.8.2.1 (CT),
# C.8.4 (NM), C.8.9 (PET), C.8.20 (segmentation), C.7.6.1 (general image).
TELLING = (
    Telling("ReferencedSegmentNumber", "segment {:g}", always=True),
    Telling("PixelSpacing", "", always=True),
    Telling("StackID"),
    *(Telling(keyword) for keyword in NM_VECTORS),
    Telling("ImageType"),
    Telling("FrameType"),
    Telling("ComplexImageComponent"),
    Telling("EchoTime", "echo time {:g} ms"),
    Telling("EffectiveEchoTime", "echo time {:g} ms"),
    Telling("EchoNumbers", "echo {:g}"),
    Telling("InversionTime", "inversion time {:g} ms"),
    Telling("FlipAngle", "flip angle {:g}"),
    Telling("DiffusionBValue", "b {:g}"),
    Telling("DiffusionDirection"),
    Telling("TemporalPositionIndex", "time point {:g}", kind=False),
    Telling("TemporalPositionIdentifier", "time point {:g}", kind=False),
    Telling("NominalPercentageOfCardiacPhase", "{:g} % of the heart beat", kind=False),
    Telling("KVP", "{:g} kV"),
    Telling("ConvolutionKernel"),
    Telling("SliceThickness", "{:g} mm thick"),
    Telling("AcquisitionNumber", "acquisition {:g}", kind=False),
    Telling("FrameAcquisitionNumber", "acquisition {:g}", kind=False),
    Telling("TriggerTime", "{:g} ms after the trigger", kind=False),
    Telling("NominalCardiacTriggerDelayTime", "{:g} ms after the trigger", kind=False),
    Telling("FrameReferenceTime", kind=False),
    Telling("FrameReferenceDateTime", kind=False),
    Telling("FrameAcquisitionDateTime", kind=False),
    Telling("AcquisitionDateTime", kind=False),
    Telling("AcquisitionTime", kind=False),
    Telling("ContentTime", kind=False),
)
# b value where the standard one is missing: (group, element, creator) of Siemens, GE and Philips.
_PRIVATE_B = (
    (0x0019, 0x0C, "SIEMENS MR HEADER"), (0x0043, 0x39, "GEMS_PARM_01"),
    (0x2001, 0x03, "Philips Imaging DD 001"),
)  # fmt: skip


def told(one: Slice, keyword: str) -> Hashable:
    """Value of a telling header, to be compared: numbers to four digits behind the point, words in capitals."""
    header = one.header
    if keyword == "PixelSpacing":
        return None if one.place is None else one.place.spacing
    if keyword in NM_VECTORS:
        return vector_entry(header.whole, keyword, header.index)
    if keyword == "DiffusionBValue":
        return _number(number(header, keyword)) if keyword in header else _private_b(header)
    if keyword == "DiffusionDirection":
        return _plain(value(header, "DiffusionGradientOrientation"))
    return _plain(value(header, keyword))


def _plain(found: Any) -> Hashable:
    if found is None or isinstance(found, (int, float)):
        return None if found is None else _number(float(found))
    if isinstance(found, str):
        return found.strip().upper()
    try:
        return tuple(_plain(v) for v in found)
    except TypeError:
        return str(found)


def _number(found: float | None) -> float | None:
    return None if found is None else round(found, 4)


def _private_b(header: FrameHeader) -> float | None:
    for group, element, creator in _PRIVATE_B:
        try:
            found = header.whole.private_block(group, creator)[element].value
            found = found[0] if not isinstance(found, (str, bytes, int, float)) else found
            return float(found) % 100_000  # GE adds multiples of 1e5 or 1e9
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            continue
    return None


def split(slices: list[Slice], fingerprint: Callable[[Slice], str], findings: Findings) -> list[list[Slice]]:
    """Volumes of placed slices of one orientation, each with one slice per place, lowest first.

    `fingerprint` identifies pixels, and is only asked for where headers do not tell slices of one place apart. Equal
    pixels are a double only where all telling headers are equal as well.
    """
    return [volume for part in _parts(slices, 0) for volume in _by_order(part, fingerprint, findings)]


def _parts(slices: list[Slice], start: int) -> list[list[Slice]]:
    clean: bool | None = None
    for at in range(start, len(TELLING)):
        one = TELLING[at]
        if not one.always:
            clean = _clean(slices) if clean is None else clean
            if clean:
                return [slices]
        parts = _grouped(slices, one.keyword)
        if len(parts) > 1 and (one.always or _helps(parts, slices)):
            return [p for part in parts for p in _parts(part, at + 1)]
    return [slices]


def _grouped(slices: list[Slice], keyword: str) -> list[list[Slice]]:
    """Slices by the value of a header, in its order. Numbers that differ by no more than rounding are one value."""
    found: dict[Hashable, list[Slice]] = {}
    for s in slices:
        found.setdefault(told(s, keyword), []).append(s)
    parts: list[list[Slice]] = []
    last: Hashable = None
    for key in sorted(found, key=_sortable):
        if parts and _alike(last, key):
            parts[-1].extend(found[key])
        else:
            parts.append(list(found[key]))
            last = key
    return parts


def _alike(a: Hashable, b: Hashable) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-4 * max(abs(a), abs(b))
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) == 2:  # pixel spacing
        return all(isinstance(v, float) and isinstance(w, float) and abs(v / w - 1) <= SAME_SPACING
                   for v, w in zip(a, b, strict=True))  # fmt: skip
    return False


def _sortable(key: Hashable) -> tuple[int, float, str]:
    if key is None:
        return (-1, 0.0, "")
    if isinstance(key, tuple) and key and isinstance(key[0], float):
        return (0, key[0], str(key))
    return (0, float(key), "") if isinstance(key, (int, float)) else (1, 0.0, str(key))


def _heights(slices: list[Slice]) -> list[list[int]]:
    return levels([s.place for s in slices if s.place is not None])


def _extra(slices: list[Slice]) -> tuple[int, int]:
    """(slices beyond the first of each place, most slices of one place)."""
    groups = _heights(slices)
    return len(slices) - len(groups), max(len(g) for g in groups)


def _clean(slices: list[Slice]) -> bool:
    return _extra(slices)[0] == 0 and _even(slices)


def _even(slices: list[Slice]) -> bool:
    """Steps are the usual one or whole numbers of it: a stack, with gaps perhaps."""
    groups = _heights(slices)
    if len(groups) < 3:
        return True
    positions = np.asarray([slices[g[0]].place.position for g in groups])  # type: ignore[union-attr]
    normal = slices[0].place.normal  # type: ignore[union-attr]
    heights = (positions - positions[0]) @ normal
    steps = np.diff(heights)
    ratio = steps / usual_step(steps)
    return bool(whole_steps(ratio, EVEN, MOST_GAP).all()) or only_rounded(positions, heights)


def _helps(parts: list[list[Slice]], whole: list[Slice]) -> bool:
    """Whether this division leaves fewer slices at one place, or even stacks of an uneven one; not mere crumbs."""
    extra, most = _extra(whole)
    if extra:
        left = sum(_extra(p)[0] for p in parts)
        return left < extra and len(parts) <= max(2 * most, 2) and len(parts) < len(whole)
    return min(len(p) for p in parts) >= 3 and _interleaved(parts) and all(_even(p) for p in parts)


def _interleaved(parts: list[list[Slice]]) -> bool:
    """Whether the parts lie among one another; those that follow one another are regions of one stack."""
    owner = {id(s): k for k, part in enumerate(parts) for s in part}
    normal = parts[0][0].place.normal  # type: ignore[union-attr]
    ordered = sorted(
        (s for part in parts for s in part),
        key=lambda s: float(np.dot(s.place.position, normal)),  # type: ignore[union-attr]
    )
    runs = 1 + sum(owner[id(a)] != owner[id(b)] for a, b in pairwise(ordered))
    return runs > len(parts)


def _by_order(
    part: list[Slice], fingerprint: Callable[[Slice], str], findings: Findings
) -> list[list[Slice]]:
    """Volumes of slices that no header divides: doubles dropped, the rest by the order of acquisition."""
    groups = [[part[i] for i in g] for g in _heights(part)]
    several = [g for g in groups if len(g) > 1]
    if not several:
        return [[g[0] for g in groups]]
    distinct = {id(g): _distinct(g, fingerprint) for g in several}
    most = max(len(d) for d in distinct.values())
    dropped = 0
    for k, group in enumerate(groups):
        if len(group) > 1:
            # Equal pictures are doubles, unless further volumes need them: blank slices are alike in all of them.
            keep = distinct[id(group)] if most == 1 else sorted(group, key=_rank)
            dropped += len(group) - len(keep)
            groups[k] = keep
    if dropped:
        findings.warn("DuplicateSlices", f"{dropped} slices were there twice and were left out.")
    if most == 1:
        return [[g[0] for g in groups]]
    for order in (_by_number, _by_clock):
        swept = _sweeps(groups, order)
        largest = max(len(v) for v in swept)
        if (
            len(swept) == max(len(g) for g in groups)
            and largest >= MOST_LOST * len(groups)
            and _orders(part, order)
        ):
            return swept
    count = max(len(g) for g in groups)
    return [[g[v] for g in groups if len(g) > v] for v in range(count)]


def _orders(part: list[Slice], order: Callable[[Slice], tuple[float, ...]]) -> bool:
    """Whether this order tells all slices apart: one that does not is that of the files, and says nothing."""
    return len({order(s) for s in part}) == len(part)


def _distinct(group: list[Slice], fingerprint: Callable[[Slice], str]) -> list[Slice]:
    seen: dict[Hashable, Slice] = {}
    for one in sorted(group, key=_rank):
        headers = tuple(told(one, t.keyword) for t in TELLING)
        seen.setdefault((headers, fingerprint(one)), one)
    return list(seen.values())


def _sweeps(groups: list[list[Slice]], order: Callable[[Slice], tuple[float, ...]]) -> list[list[Slice]]:
    """A new volume begins where a place comes again, in this order of the slices."""
    at = {id(s): k for k, group in enumerate(groups) for s in group}
    volumes: list[dict[int, Slice]] = []
    for one in sorted((s for g in groups for s in g), key=order):
        if not volumes or at[id(one)] in volumes[-1]:
            volumes.append({})
        volumes[-1][at[id(one)]] = one
    return [[volume[k] for k in sorted(volume)] for volume in volumes]


def _by_number(one: Slice) -> tuple[float, ...]:
    return (number(one.header, "InstanceNumber", 0.0) or 0.0, float(one.frame))


def clock(one: Slice) -> float:
    """Seconds of acquisition, or of content; 0 when unsaid."""
    for keyword in ("FrameAcquisitionDateTime", "AcquisitionDateTime"):
        if (found := seconds_of(value(one.header, keyword))) is not None:
            return found
    for date, time in (("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime")):
        if (found := clock_of(one.header, date, time)) is not None:
            return found
    return 0.0


def _by_clock(one: Slice) -> tuple[float, ...]:
    return (clock(one), *_by_number(one))


def _rank(one: Slice) -> tuple[float, ...]:
    """Order of slices of one place: acquisition, time point, echo, trigger, clock, number."""
    keywords = ("AcquisitionNumber", "TemporalPositionIdentifier", "EchoNumbers", "TriggerTime")
    return (*(number(one.header, k, 0.0) or 0.0 for k in keywords), *_by_clock(one))


def unplaced_rank(one: Slice) -> tuple[float, ...]:
    """Order of slices without a place: acquisition, time point, echo, number, location."""
    keywords = (
        "AcquisitionNumber",
        "TemporalPositionIdentifier",
        "EchoNumbers",
        "TriggerTime",
        "InstanceNumber",
    )
    ranks = tuple(number(one.header, k, 0.0) or 0.0 for k in keywords)
    return (*ranks, number(one.header, "SliceLocation", 0.0) or 0.0, float(one.frame))


def by_kind(slices: list[Slice]) -> list[list[Slice]]:
    """Pictures of one place, divided by what kind they are (magnitude and phase, echo) where that gives equal parts."""
    for one in TELLING:
        if not one.kind:
            continue
        parts = _grouped(slices, one.keyword)
        sizes = {len(p) for p in parts}
        if len(parts) > 1 and len(sizes) == 1 and sizes.pop() > 2:
            return [p for part in parts for p in by_kind(part)]
    return [slices]


def difference(one: list[Slice], others: Sequence[list[Slice]]) -> str:
    """What sets this volume apart from the others, in words and numbers of ours: 'echo time 5 ms', or ''."""
    for t in TELLING:
        if not t.words:
            continue
        mine = told(one[0], t.keyword)
        if not isinstance(mine, float) or any(
            told(s, t.keyword) != mine for s in one[:: max(1, len(one) // 4)]
        ):
            continue
        if any(told(o[0], t.keyword) != mine for o in others):
            return t.words.format(mine)
    return ""
