"""The size of a pixel: in which tag a modality keeps it, and whether it holds in the patient or at the detector."""

from __future__ import annotations

from typing import Any

import pydicom

from omnivmed.io.dicom import integer, number, numbers, value
from omnivmed.io.job import Findings
from omnivmed.study_info import SpacingAt

# Where the size of a pixel is kept, (row, column) in mm, asked in this order; docs/formats.md has the table in words.
SPACING_TAGS = (
    "PixelSpacing",  # in the patient, or calibrated (PS3.3 10.7.1.1)
    "ImagerPixelSpacing",  # at the detector: CR, DX, XA (PS3.3 C.8.11.4)
    "ImagePlanePixelSpacing",  # RT image: at the receptor (PS3.3 C.8.8.2)
    "ObjectPixelSpacingInCenterOfBeam",  # enhanced XA (PS3.3 C.8.19.6.9.1)
    "NominalScannedPixelSpacing",  # digitized film (PS3.3 C.8.6.1)
)
_TWO_DIMENSIONS, _CENTIMETRES = 1, 3  # Region Spatial Format, Physical Units (PS3.3 C.8.5.5.1)

# Those of them that are not in the patient: a projection there is larger than what it shows.
AT_DETECTOR = ("ImagerPixelSpacing", "ImagePlanePixelSpacing", "NominalScannedPixelSpacing")
MOST_MAGNIFICATION = 20.0  # a point at 5 % of the way from the source; more is damage


def pixel_spacing(header: Any) -> tuple[float, float] | None:
    """(row step, column step) in mm, from the first tag that has it, else from the regions of an ultrasound.

    Spacing at the detector is divided by the magnification factor where the file gives one; see `spacing_at`.
    """
    found = _spacing_tag(header)
    if found is None:
        return _region_spacing(header)
    keyword, (row, column) = found
    factor = magnification(header) if at_detector(header, keyword) else None
    return (row, column) if factor is None else (row / factor, column / factor)


def spacing_at(header: Any) -> SpacingAt:
    """Where `pixel_spacing` holds: in the patient, at the detector, or estimated from there by the magnification."""
    found = _spacing_tag(header)
    if found is None or not at_detector(header, found[0]):
        return "patient"
    return "detector" if magnification(header) is None else "estimate"


def at_detector(header: Any, keyword: str) -> bool:
    """Whether this tag's spacing is that of the detector, film or image plane rather than the patient's.

    Pixel Spacing of a projection is, too, where it only repeats Imager Pixel Spacing and no calibration is named
    (PS3.3 10.7.1.3).
    """
    if keyword != "PixelSpacing":
        return keyword in AT_DETECTOR
    own, imager = (numbers(header, name, 2) for name in ("PixelSpacing", "ImagerPixelSpacing"))
    return own is not None and own == imager and not value(header, "PixelSpacingCalibrationType")


def magnification(header: Any) -> float | None:
    """Estimated Radiographic Magnification Factor, of source to detector by source to patient (PS3.3 C.8.11.4)."""
    factor = number(header, "EstimatedRadiographicMagnificationFactor")
    return factor if factor is not None and 1 <= factor <= MOST_MAGNIFICATION else None


def note_spacing(header: Any, findings: Findings) -> None:
    """Say it where lengths are not the patient's own."""
    where = spacing_at(header)
    if where == "detector":
        findings.note(
            "Lengths are those at the detector: the file does not say how much larger than the patient the picture is."
        )
    elif where == "estimate":
        findings.note(
            f"Lengths are estimates: those at the detector, divided by the magnification of {magnification(header):g} "
            "that the file gives."
        )


def _spacing_tag(header: Any) -> tuple[str, tuple[float, float]] | None:
    """The first tag that gives a usable pair, and the pair."""
    for keyword in SPACING_TAGS:
        pair = numbers(header, keyword, 2)
        if pair is not None and min(pair) > 0:
            return keyword, (pair[0], pair[1])
    return None


def _region_spacing(header: Any) -> tuple[float, float] | None:
    """Of an ultrasound: that of its one region, or of all two-dimensional ones where they agree."""
    regions = value(header, "SequenceOfUltrasoundRegions")
    if not isinstance(regions, (list, pydicom.sequence.Sequence)):
        return None
    flat = [r for r in regions if integer(r, "RegionSpatialFormat") == _TWO_DIMENSIONS]
    if not flat and len(regions) == 1:
        flat = list(regions)
    found: list[tuple[float, float]] = []
    for region in flat:
        x, y = number(region, "PhysicalDeltaX"), number(region, "PhysicalDeltaY")
        units = [integer(region, f"PhysicalUnits{axis}Direction") for axis in "XY"]
        if units != [_CENTIMETRES, _CENTIMETRES] or not x or not y:
            return None
        found.append((abs(y) * 10.0, abs(x) * 10.0))
    if not found or any(abs(a / b - 1) > 0.01 for pair in found for a, b in zip(pair, found[0], strict=True)):
        return None
    return found[0]


def pixel_aspect(header: Any) -> float:
    """Height of a pixel by its width where only their ratio is given (PS3.3 C.7.6.3.1.7); 1 when unsaid."""
    pair = numbers(header, "PixelAspectRatio", 2)
    if pair is None or min(pair) <= 0 or not 0.05 <= pair[0] / pair[1] <= 20:
        return 1.0
    return pair[0] / pair[1]
