"""DICOM label maps (Segmentation Type LABELMAP, PS3.3 C.8.20.2): pixels hold segment numbers.

What a segment is called is free text in the header and stays there. Its coded type (PS3.3 C.8.20.4) is looked up in
pydicom's own dictionary of the standard's codes, and that dictionary's word is the name; without one it is a number.
"""

from __future__ import annotations

import re
from typing import Any

import pydicom

from omnivmed.io import dicom
from omnivmed.io.job import Findings
from omnivmed.labels import Colour, Label, colour_of

MOST_LABELS = 256  # named ones; all are drawn
_WHITE = (0.95047, 1.0, 1.08883)  # D65, of CIELab values (PS3.3 C.10.7.1.1)


def is_label_map(header: Any) -> bool:
    """Whether numbers of this file are labels; palettes were turned to colours by the decoder already."""
    return (
        str(dicom.value(header, "SegmentationType", "")).strip().upper() == "LABELMAP"
        and str(dicom.value(header, "PhotometricInterpretation", "")).strip().upper() == "MONOCHROME2"
    )


def background_of(header: Any) -> int:
    """The number that is no label: Pixel Padding Value, else 0."""
    found = dicom.integer(header, "PixelPaddingValue")
    return found if 0 <= found <= 65535 else 0


def labels_of(header: Any, findings: Findings) -> tuple[Label, ...]:
    """The labels of a label map in order of their numbers; none for anything else."""
    if not is_label_map(header):
        return ()
    findings.note("Colours stand for labels, black for what has none; the values are the labels' numbers.")
    segments = dicom.value(header, "SegmentSequence")
    found: dict[int, Label] = {}
    if isinstance(segments, (list, pydicom.sequence.Sequence)):
        for segment in segments[:MOST_LABELS]:
            number = dicom.integer(segment, "SegmentNumber")
            if 0 <= number <= 65535 and number != background_of(header):
                found[number] = Label(number, name_of(segment, number), shown_colour(segment, number))
    return tuple(found[number] for number in sorted(found))


def name_of(segment: Any, number: int) -> str:
    """The dictionary's word for what the segment is of, with its side; "label 3" where it has none."""
    word = _meaning(dicom.value(segment, "SegmentedPropertyTypeCodeSequence"))
    if word is None:
        return f"label {number}"
    kind = dicom.value(segment, "SegmentedPropertyTypeCodeSequence")
    side = _meaning(dicom.value(kind[0], "SegmentedPropertyTypeModifierCodeSequence"))
    return (word if side is None else f"{word}, {side.lower()}")[:80]


def _meaning(sequence: Any) -> str | None:
    """pydicom's word for the first code of a sequence."""
    if not isinstance(sequence, (list, pydicom.sequence.Sequence)) or not sequence:
        return None
    scheme = str(dicom.value(sequence[0], "CodingSchemeDesignator", "")).strip()
    code = str(dicom.value(sequence[0], "CodeValue", "")).strip()
    return _words(scheme).get(code)


_KNOWN: dict[str, dict[str, str]] = {}


def _words(scheme: str) -> dict[str, str]:
    """Code → word of the schemes that segments use. Loaded when the first label map is read: it takes a moment."""
    if scheme not in ("SCT", "DCM", "FMA"):
        return {}
    if scheme not in _KNOWN:
        from pydicom.sr.codedict import Collection

        try:
            concepts = Collection(scheme).concepts
        except KeyError:
            concepts = {}
        _KNOWN[scheme] = {str(code.value): plain(str(code.meaning)) for code in concepts.values()}
    return _KNOWN[scheme]


def plain(meaning: str) -> str:
    """ "Liver structure (body structure)" → "Liver": SNOMED's class of a word is not for a legend."""
    return re.sub(r"( structure)?( \([^()]*\))?$", "", meaning) or meaning


def shown_colour(segment: Any, number: int) -> Colour:
    """Recommended Display CIELab Value as sRGB where it is usable and not nearly black, else the palette's."""
    lab = dicom.numbers(segment, "RecommendedDisplayCIELabValue", 3)
    if lab is None or not all(0 <= v <= 65535 for v in lab):
        return colour_of(number)
    rgb = from_cielab(lab[0] / 65535 * 100, lab[1] / 65535 * 255 - 128, lab[2] / 65535 * 255 - 128)
    return rgb if max(rgb) >= 64 else colour_of(number)


def from_cielab(lightness: float, a: float, b: float) -> Colour:
    """sRGB 0..255 of CIE L*a*b* (0..100, -128..127) under D65."""
    fy = (lightness + 16) / 116
    x, y, z = (
        white * (f**3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29))
        for white, f in zip(_WHITE, (fy + a / 500, fy, fy - b / 200), strict=True)
    )
    linear = (
        3.2406 * x - 1.5372 * y - 0.4986 * z,
        -0.9689 * x + 1.8758 * y + 0.0415 * z,
        0.0557 * x - 0.2040 * y + 1.0570 * z,
    )

    def encode(value: float) -> int:
        value = min(max(value, 0.0), 1.0)
        value = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
        return round(255 * value)

    r, g, b8 = (encode(v) for v in linear)
    return (r, g, b8)
