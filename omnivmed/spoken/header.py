"""What the file knows of a study, as rows: kind, geometry, times, window, and the technical tags that may be told.

A pure function of `Study` facts. No name, date or id can be in it: it reads typed fields, never a header. Every row
says where it is from, so that nobody takes a guess for a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from omnivmed.study_info import Described

#: DICOM's word (0008,0060) → what people say, with its article.
MODALITY = {
    "CT": "a CT", "MR": "an MRI", "CR": "an X-ray", "DX": "an X-ray", "RG": "an X-ray",
    "RF": "a fluoroscopy", "XA": "an X-ray angiography", "MG": "a mammogram", "US": "an ultrasound",
    "IVUS": "an intravascular ultrasound", "BDUS": "an ultrasound bone density scan", "PT": "a PET scan",
    "NM": "a scintigraphy", "ES": "an endoscopy", "GM": "a microscopy", "SM": "a slide microscopy",
    "XC": "a photograph", "OP": "an eye photograph", "OPT": "an OCT of the eye", "OCT": "an OCT",
    "IVOCT": "an intravascular OCT",
    "IO": "a dental X-ray", "PX": "a panoramic dental X-ray", "DG": "a diaphanography", "BMD": "a bone density scan",
    "SEG": "a segmentation", "RTDOSE": "a radiotherapy dose", "RTIMAGE": "a radiotherapy image", "TG": "a thermography",
    "LS": "a laser scan",
}  # fmt: skip
#: The same → the value of the attribute "modality" that a model's sentence would name (`spoken.attributes`).
SPOKEN_AS = {
    "CT": "CT", "MR": "MRI", "CR": "X-ray", "DX": "X-ray", "RG": "X-ray", "RF": "X-ray", "XA": "X-ray",
    "IO": "X-ray", "PX": "X-ray", "US": "ultrasound", "IVUS": "ultrasound", "ES": "endoscopy",
    "GM": "microscopy", "SM": "microscopy", "OP": "fundus photograph",
}  # fmt: skip
#: DICOM's body part (0018,0015) → the words for it; the value of "organ" that a model's sentence would name.
BODY = {
    "ABDOMEN": "abdomen", "ABDOMENPELVIS": "abdomen and pelvis", "BRAIN": "brain", "BREAST": "breast",
    "CHEST": "chest", "CHESTABDOMEN": "chest and abdomen", "CSPINE": "cervical spine", "LSPINE": "lumbar spine",
    "TSPINE": "thoracic spine", "SSPINE": "sacral spine", "HEADNECK": "head and neck", "THORAX": "thorax",
    "WHOLEBODY": "whole body",
}  # fmt: skip
ORGAN_AS = {
    "ABDOMEN": "abdomen", "BRAIN": "head", "HEAD": "head", "SKULL": "head", "BREAST": "breast", "CHEST": "chest",
    "THORAX": "chest", "HAND": "hand", "CSPINE": "spine", "LSPINE": "spine", "TSPINE": "spine", "SPINE": "spine",
    "LUNG": "lung", "EYE": "eye", "HEART": "heart",
}  # fmt: skip
SEQUENCES = {
    "SE": "spin echo", "IR": "inversion recovery", "GR": "gradient echo", "EP": "echo planar", "RM": "research mode",
}  # fmt: skip
SIDES = {"R": "right", "L": "left", "B": "both sides", "U": "unpaired"}
VIEWS = {"LL": "left lateral", "RL": "right lateral", "LAT": "lateral"}
HEADER, GEOMETRY, NUMBERS, CHOSEN = "header", "geometry", "its numbers", "chosen here"


@dataclass(frozen=True)
class Row:
    """key: stable name. label, value: for a person. source: where it is from; tag: DICOM's, where it is one."""

    key: str
    label: str
    value: str
    source: str = HEADER
    tag: str = ""


def rows_of(study: Described) -> list[Row]:
    """All that the file tells, in the order of the table; what it is silent about is left out."""
    return [row for make in ROWS for row in make(study)]


def value_of(study: Described, key: str) -> str | None:
    """The value of one row, or None."""
    return next((row.value for row in rows_of(study) if row.key == key), None)


def number(value: float) -> str:
    """At most three digits behind the point, thousands apart."""
    text = f"{value:,.3f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def modality_words(study: Described) -> str | None:
    """What kind the file says it is, with an article: "a CT"."""
    return MODALITY.get(study.modality or "")


def body_words(study: Described) -> str | None:
    """The body part that the file names."""
    part = study.body_part
    return None if part is None else BODY.get(part, part.lower())


def extent_mm(study: Described) -> tuple[float, float, float] | None:
    """(along the slices, rows, columns) in mm from edge to edge, where the spacing is that of the patient."""
    if study.spacing_mm is None or study.spacing_at != "patient":
        return None
    frames, height, width = study.shape
    step, row, column = study.spacing_mm
    places = study.slice_mm
    along = 0.0
    if study.kind == "volume" and step is not None:
        along = float(places[-1] - places[0]) + step if places is not None else frames * step
    return along, height * row, width * column


def rate(study: Described) -> tuple[float, bool] | None:
    """(frames per second, whether evenly spaced) of a clip."""
    times = study.times_s
    if times is None or len(times) < 2 or times[-1] <= times[0]:
        return None
    steps = np.diff(times)
    return float(1 / np.median(steps)) if np.median(steps) > 0 else (len(times) - 1) / float(
        times[-1] - times[0]
    ), bool(np.ptp(steps) <= 0.2 * np.median(steps))


# ------------------------------------------------------------------------------------------------------- the rows


def _kind(study: Described) -> Iterator[Row]:
    words = modality_words(study)
    if words is not None:
        source = HEADER if study.modality_from == "header" else NUMBERS
        yield Row(
            "modality", "Kind", words.split(" ", 1)[1], source, "(0008,0060)" if source == HEADER else ""
        )
    if (part := body_words(study)) is not None:
        yield Row("organ", "Body part", part, HEADER, "(0018,0015)")


def _view(study: Described) -> Iterator[Row]:
    told = study.technical
    if (view := told.get("view_position")) is not None:
        yield Row("view", "View", VIEWS.get(str(view), str(view)), HEADER, "(0018,5101)")
    if (side := told.get("laterality")) is not None:
        yield Row("laterality", "Side", SIDES[str(side)], HEADER, "(0020,0062)")


def _size(study: Described) -> Iterator[Row]:
    frames, height, width = study.shape
    yield Row("matrix", "Matrix", f"{width:,} × {height:,} pixels", GEOMETRY)
    if study.kind == "volume":
        yield Row("slices", "Slices", f"{frames:,}", GEOMETRY)
    if study.kind == "video":
        yield Row("frames", "Frames", f"{frames:,}", GEOMETRY)


def _space(study: Described) -> Iterator[Row]:
    if study.plane is not None:
        yield Row("plane", "Plane", study.plane, GEOMETRY)
    thickness = study.technical.get("slice_thickness_mm")
    if thickness is not None:
        yield Row("thickness", "Slice thickness", f"{number(float(thickness))} mm", HEADER, "(0018,0050)")
    if study.spacing_mm is not None:
        step, row, column = study.spacing_mm
        where = {"patient": "", "detector": " at the detector", "estimate": " (estimated)"}[study.spacing_at]
        if study.kind == "volume" and step is not None:
            uneven = "Uneven" in " ".join(study.warnings) or _uneven(study)
            yield Row(
                "step", "From slice to slice", f"{number(step)} mm{' (not even)' if uneven else ''}", GEOMETRY
            )
        yield Row("spacing", "Pixel size", f"{number(row)} × {number(column)} mm{where}", GEOMETRY)
    extent = extent_mm(study)
    if extent is not None:
        values = [v / 10 for v in (extent if study.kind == "volume" and extent[0] else extent[1:])]
        yield Row("extent", "Covers", " × ".join(number(round(v, 1)) for v in values) + " cm", GEOMETRY)
    letters = study.edge_letters()
    if letters is not None:
        yield Row("edges", "Edges", "left {} · right {} · top {} · bottom {}".format(*letters), GEOMETRY)


def _uneven(study: Described) -> bool:
    places = study.slice_mm
    if places is None or len(places) < 3:
        return False
    steps = np.diff(places)
    return bool(np.ptp(steps) > 0.1 * max(float(np.median(steps)), 1e-6))


def _time(study: Described) -> Iterator[Row]:
    times, found = study.times_s, rate(study)
    if times is None or found is None:
        return
    per_second, even = found
    if study.times_from == "assumed":
        yield Row("rate", "Frame rate", f"not told; {number(round(per_second, 2))} a second assumed", CHOSEN)
        return
    about = "" if even else "about "
    yield Row("rate", "Frame rate", f"{about}{number(round(per_second, 2))} frames a second", HEADER)
    yield Row("duration", "Duration", f"{float(times[-1] - times[0]) + 1 / per_second:.1f} s", HEADER)


def _grey(study: Described) -> Iterator[Row]:
    if study.channels == 3:
        yield Row("colour", "Colour", "in colour", GEOMETRY)
    elif study.is_label_map:
        yield Row("colour", "Colour", "a map of labels", GEOMETRY)
    else:
        yield Row("colour", "Colour", "grey", GEOMETRY)
    if study.window is not None:
        level, width = study.window
        unit = " HU" if study.unit == "HU" else ""
        source = HEADER if study.window == study.info.file_window else CHOSEN
        tag = "(0028,1050), (0028,1051)" if source == HEADER else ""
        yield Row("window", "Window", f"level {number(level)}, width {number(width)}{unit}", source, tag)
    if study.unit == "HU":
        yield Row("unit", "Unit", "Hounsfield units", HEADER if study.modality_from == "header" else NUMBERS)


def _made(study: Described) -> Iterator[Row]:
    told = study.technical
    if (agent := told.get("contrast")) is not None:
        words = "an agent is named" if agent == "named" else "none, the header says"
        yield Row("contrast", "Contrast agent", words, HEADER, "(0018,0010)")
    if (sequence := told.get("scanning_sequence")) is not None:
        words = ", ".join(SEQUENCES[one] for one in str(sequence).split("\\"))
        yield Row("sequence", "Scanning sequence", words, HEADER, "(0018,0020)")
    for key, label, unit, tag in (
        ("repetition_time_ms", "Repetition time", "ms", "(0018,0080)"),
        ("echo_time_ms", "Echo time", "ms", "(0018,0081)"),
        ("field_tesla", "Magnetic field", "T", "(0018,0087)"),
        ("tube_kv", "Tube voltage", "kV", "(0018,0060)"),
    ):
        if (value := told.get(key)) is not None:
            yield Row(key, label, f"{number(float(value))} {unit}", HEADER, tag)
    if (bits := told.get("bits_stored")) is not None:
        yield Row("bits", "Bits a pixel", number(float(bits)), HEADER, "(0028,0101)")


ROWS: tuple[Callable[[Described], Iterator[Row]], ...] = (_kind, _view, _size, _space, _time, _grey, _made)
