"""Technical facts of a DICOM header that may leave the worker: a closed list of numbers and defined terms.

What is here answers questions about how a picture was made. Nothing names a person, a place, a date or a device, and no
free text passes: words are terms of the standard's own lists, numbers lie within physical bounds. The name of a
contrast agent is free text too: only that one is named is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omnivmed.io.dicom import integer, item, number, value

Technical = tuple[tuple[str, str | float], ...]


@dataclass(frozen=True)
class Tag:
    """One tag. name: ours, with its unit. keyword, number: DICOM's. paragraph: of PS3.3. terms: the defined terms of a
    word; low, high: bounds of a number."""

    name: str
    keyword: str
    number: str
    paragraph: str
    terms: frozenset[str] = frozenset()
    low: float = 0.0
    high: float = 0.0


def _terms(words: str) -> frozenset[str]:
    return frozenset(words.split())


TAGS: tuple[Tag, ...] = (
    Tag("slice_thickness_mm", "SliceThickness", "(0018,0050)", "C.7.6.2", low=0.01, high=500.0),
    Tag("contrast", "ContrastBolusAgent", "(0018,0010)", "C.7.6.4", _terms("named none")),
    Tag("view_position", "ViewPosition", "(0018,5101)", "C.8.1.1, C.8.11.5",
        _terms("AP PA LL RL RLD LLD RLO LLO LAT CC MLO ML LM")),
    Tag("laterality", "ImageLaterality", "(0020,0062)", "C.8.11.2", _terms("R L B U")),
    Tag("scanning_sequence", "ScanningSequence", "(0018,0020)", "C.8.3.1", _terms("SE IR GR EP RM")),
    Tag("repetition_time_ms", "RepetitionTime", "(0018,0080)", "C.8.3.1", low=0.1, high=100_000.0),
    Tag("echo_time_ms", "EchoTime", "(0018,0081)", "C.8.3.1", low=0.01, high=10_000.0),
    Tag("field_tesla", "MagneticFieldStrength", "(0018,0087)", "C.8.3.1", low=0.01, high=25.0),
    Tag("tube_kv", "KVP", "(0018,0060)", "C.8.2.1, C.8.7.2", low=1.0, high=1000.0),
    Tag("bits_stored", "BitsStored", "(0028,0101)", "C.7.6.3", low=1.0, high=64.0),
)  # fmt: skip
BY_NAME = {tag.name: tag for tag in TAGS}
#: What sites write into Contrast/Bolus Agent when none was given.
NO_AGENT = frozenset(
    {"NO", "NONE", "N", "NIL", "WITHOUT", "NATIVE", "NATIV", "UNENHANCED", "NON CONTRAST", "0"}
)


def technical_of(header: Any) -> Technical:
    """(name, word or number) of every tag in the header that passes; absent and damaged ones are left out."""
    found = ((tag.name, _contrast(header) if tag.name == "contrast" else _read(header, tag)) for tag in TAGS)
    return tuple((name, told) for name, told in found if told is not None)


def passed(name: Any, told: Any) -> tuple[str, str | float]:
    """The pair, checked against the list once more. Raises KeyError, ValueError or TypeError."""
    tag = BY_NAME[name]
    if tag.terms:
        words = str(told).split("\\")
        if not words or any(word not in tag.terms for word in words):
            raise ValueError("term")
        return tag.name, str(told)
    if not tag.low <= float(told) <= tag.high:
        raise ValueError("number")
    return tag.name, float(told)


def _read(header: Any, tag: Tag) -> str | float | None:
    if not tag.terms:
        told = integer(header, tag.keyword, -1) if tag.name == "bits_stored" else number(header, tag.keyword)
        return float(told) if told is not None and tag.low <= told <= tag.high else None
    found = value(header, tag.keyword)
    if found is None and tag.name == "laterality":
        found = value(header, "Laterality")  # (0020,0060), of the series (C.7.3.1)
    if found is None:
        return None
    words = [str(w).strip().upper() for w in ([found] if isinstance(found, str) else found)]
    return "\\".join(words) if words and all(word in tag.terms for word in words) else None


def _contrast(header: Any) -> str | None:
    """Whether an agent is named: by its text, or by the item of the enhanced module (C.7.6.4b). An empty value (it is
    of type 2) says nothing."""
    if item(header, "ContrastBolusAgentSequence") is not None:
        return "named"
    found = value(header, "ContrastBolusAgent")
    if found is None:
        return None
    word = " ".join(str(found).upper().replace("-", " ").split())
    return "none" if word in NO_AGENT else "named"
