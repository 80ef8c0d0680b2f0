"""Where modalities keep spacing, aspect, place, scale and time; functional groups; display curves; the slice step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from omnivmed.study import Study
from tests.io.dicom_makers import groups, middles, mr_slice, multi_frame
from tests.io.makers import AXIAL, CR_CLASS, ct_series, ct_slice, dicom, dicom_bytes, ramp, series_zip

Opener = Callable[..., Study]
OPT_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.5.4"
ENHANCED_XA_CLASS = "1.2.840.10008.5.1.4.1.1.12.1.1"


def stack_of(n: int, low: int = 100, dtype: Any = np.uint16) -> np.ndarray:
    pixels = np.stack([np.full((10, 12), low + 10 * k, dtype) for k in range(n)])
    pixels[:, 0, 0] = 5
    return pixels


def region(x: int, dx: float, dy: float, shape: int = 1, units: int = 3) -> Dataset:
    one = Dataset()
    one.RegionSpatialFormat, one.RegionDataType, one.RegionFlags = shape, 1, 0
    one.RegionLocationMinX0, one.RegionLocationMaxX1 = x, x + 10
    one.RegionLocationMinY0, one.RegionLocationMaxY1 = 0, 20
    one.PhysicalUnitsXDirection = one.PhysicalUnitsYDirection = units
    one.PhysicalDeltaX, one.PhysicalDeltaY = dx, dy
    return one


@pytest.mark.parametrize(
    ("tags", "spacing"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (None, 0.2, 0.1)),
        ({"ImagePlanePixelSpacing": [0.4, 0.5], "Modality": "RTIMAGE"}, (None, 0.4, 0.5)),
        ({"NominalScannedPixelSpacing": [0.3, 0.3]}, (None, 0.3, 0.3)),
        ({"PixelSpacing": [0.14, 0.15], "ImagerPixelSpacing": [0.2, 0.2]}, (None, 0.14, 0.15)),
        ({"SequenceOfUltrasoundRegions": [region(0, 0.02, -0.03)]}, (None, 0.3, 0.2)),
        ({"SequenceOfUltrasoundRegions": [region(0, 0.02, 0.03), region(12, 0.02, 0.03)]}, (None, 0.3, 0.2)),
        (
            {"SequenceOfUltrasoundRegions": [region(0, 0.02, 0.03), region(12, 0.01, 4.0, 3, 4)]},
            (None, 0.3, 0.2),
        ),
        ({"SequenceOfUltrasoundRegions": [region(0, 0.02, 0.03), region(12, 0.04, 0.06)]}, None),
        ({"SequenceOfUltrasoundRegions": [region(0, 0.02, 0.03, 2, 4)]}, None),
        ({}, None),
    ],
)
def test_where_the_size_of_a_pixel_is_kept(open_bytes: Opener, tags: dict[str, Any], spacing: Any) -> None:
    study = open_bytes(dicom_bytes(dicom(ramp(20, 24), CR_CLASS, **({"Modality": "US"} | tags))))
    assert study.spacing_mm == (None if spacing is None else pytest.approx(spacing))


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize(
    ("ratio", "aspect"), [([2, 1], 2.0), (["3", "4"], 0.75), ([0, 1], 1.0), ([1, 1], 1.0)]
)
def test_a_ratio_alone_gives_true_proportions(
    open_bytes: Opener, frames: int, ratio: Any, aspect: float
) -> None:
    pixels = stack_of(frames, 10, np.uint8)[:frames]
    ds = dicom(pixels if frames > 1 else pixels[0], Modality="OT", PixelAspectRatio=ratio, FrameTime=40)
    study = open_bytes(dicom_bytes(ds), isolated=True)
    assert study.pixel_aspect == pytest.approx(aspect)
    assert ("Stretched" in study.warnings) == (aspect != 1.0)


def tomography(**tags: Any) -> Dataset:
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = [-24, -20, 50], list(AXIAL)
    base: dict[str, Any] = {
        "Modality": "NM", "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"], "PixelSpacing": [4, 4],
        "SpacingBetweenSlices": -3.0, "SliceThickness": 3.0, "SliceVector": [1, 2, 3, 4, 5],
        "DetectorInformationSequence": [detector],
    }  # fmt: skip
    return dicom(stack_of(5), **(base | tags))


def value_at(study: Study, x: float, y: float, z: float) -> float:
    """Value at a place in RAS mm."""
    assert study.affine is not None
    index = np.rint(np.linalg.inv(study.affine) @ [x, y, z, 1])[:3].astype(int)
    return float(study.values()[tuple(index)])


@pytest.mark.parametrize(
    ("tags", "heights"),
    [
        ({}, [50, 47, 44, 41, 38]),
        ({"SpacingBetweenSlices": 3.0}, [50, 53, 56, 59, 62]),
        ({"SliceVector": [3, 1, 5, 2, 4]}, [44, 50, 38, 47, 41]),
        ({"SpacingBetweenSlices": None}, [50, 53, 56, 59, 62]),
    ],
)
def test_nuclear_tomography_lies_in_its_place(
    open_bytes: Opener, tags: dict[str, Any], heights: list[int]
) -> None:
    study = open_bytes(dicom_bytes(tomography(**tags)))
    assert study.kind == "volume"
    assert study.spacing_mm == pytest.approx((3.0, 4.0, 4.0))
    assert [value_at(study, 0, 0, h) for h in heights] == [100 + 10 * k for k in range(5)]


@pytest.mark.parametrize("kind", ["TOMO", "STATIC", "DYNAMIC", "WHOLE BODY"])
def test_nuclear_projections_are_no_volume(open_bytes: Opener, kind: str) -> None:
    phase = Dataset()
    phase.NumberOfFramesInPhase, phase.ActualFrameDuration = 5, 2000
    more = {"PhaseInformationSequence": [phase]} if kind == "DYNAMIC" else {}
    study = open_bytes(dicom_bytes(tomography(ImageType=["ORIGINAL", "PRIMARY", kind, "EMISSION"], **more)))
    assert (study.kind, middles(study)) == ("video", [100.0, 110.0, 120.0, 130.0, 140.0])
    assert study.times_s is not None
    assert study.times_s[1] == pytest.approx(2.0 if kind == "DYNAMIC" else 1 / 15)


@pytest.mark.parametrize(
    "offsets", [[0, -2.5, -5, -7.5], [-30, -32.5, -35, -37.5], [0, 2.5, 5, 7.5], [0, 5, 2.5, 7.5]]
)
def test_dose_is_dose(open_bytes: Opener, offsets: list[float]) -> None:
    dose = dicom(
        stack_of(4, 1000, np.uint32), Modality="RTDOSE", ImagePositionPatient=[-12, -10, -30], PixelSpacing=[2, 2],
        ImageOrientationPatient=list(AXIAL), DoseGridScaling="0.002", DoseUnits="GY", GridFrameOffsetVector=offsets,
    )  # fmt: skip
    study = open_bytes(dicom_bytes(dose))
    for k, offset in enumerate(offsets):
        assert value_at(study, 0, 0, -30 + offset - offsets[0]) == pytest.approx(2.0 + 0.02 * k)
    assert any("Gray" in note for note in study.notes)


def test_spacing_between_slices_without_places_has_no_sign(open_bytes: Opener) -> None:
    tags = {"ImagePositionPatient": None, "SpacingBetweenSlices": -4.5}
    made = [mr_slice(100 + k, 0, InstanceNumber=k, **tags) for k in range(4)]
    study = open_bytes(series_zip(made), "a.zip")
    assert study.spacing_mm == (4.5, 1.5, 1.5)


@pytest.mark.parametrize("where", ["own", "shared", "top"])
def test_frames_without_places_read_all_groups(open_bytes: Opener, where: str) -> None:
    """Spacing, scale and window of a still, a loop and a stack without places, wherever they stand."""
    macros: dict[str, dict[str, Any]] = {
        "PixelMeasuresSequence": {"PixelSpacing": [0.4, 0.2]},
        "PixelValueTransformationSequence": {"RescaleSlope": 2, "RescaleIntercept": -7, "RescaleType": "US"},
        "FrameVOILUTSequence": {"WindowCenter": 230, "WindowWidth": 90},
    }
    top = {k: v for macro in macros.values() for k, v in macro.items()} if where == "top" else {}
    for frames, modality in ((1, "XA"), (4, "XA"), (4, "OPT")):
        own = [groups(**(macros if where == "own" else {})) for _ in range(frames)]
        shared = groups(**(macros if where == "shared" else {}))
        sop = OPT_CLASS if modality == "OPT" else ENHANCED_XA_CLASS
        pixels = stack_of(frames)
        ds = multi_frame(pixels if frames > 1 else pixels[0], sop, shared, own, Modality=modality, **top)
        study = open_bytes(dicom_bytes(ds), f"{modality}{frames}")
        assert study.spacing_mm is not None
        assert study.spacing_mm[1:] == (0.4, 0.2), (frames, modality)
        assert middles(study)[0] == 193.0
        assert study.window == (230.0, 90.0)


UNUSED, STEPS = [0, 0, 0, 0], [0, 9, 9, 9]
FRAME_TIME, VECTOR = 0x00181063, 0x00181065


@pytest.mark.parametrize(
    ("tags", "times"),
    [
        (
            {"FrameTime": 50, "FrameIncrementPointer": FRAME_TIME, "FrameTimeVector": UNUSED},
            [0, 0.05, 0.1, 0.15],
        ),
        (
            {"FrameTime": 50, "FrameIncrementPointer": FRAME_TIME, "FrameTimeVector": STEPS},
            [0, 0.05, 0.1, 0.15],
        ),
        (
            {"FrameTime": 50, "FrameIncrementPointer": VECTOR, "FrameTimeVector": STEPS},
            [0, 0.009, 0.018, 0.027],
        ),
        ({"FrameTimeVector": UNUSED, "CineRate": 10}, [0, 0.1, 0.2, 0.3]),
        ({"RecommendedDisplayFrameRate": 20}, [0, 0.05, 0.1, 0.15]),
    ],
)
def test_times_of_a_loop(open_bytes: Opener, tags: dict[str, Any], times: list[float]) -> None:
    study = open_bytes(dicom_bytes(dicom(stack_of(4, 50, np.uint8), Modality="US", **tags)))
    assert study.times_s is not None
    assert np.allclose(study.times_s, times)


def test_an_s_shaped_curve_is_said(open_bytes: Opener) -> None:
    voi: dict[str, Any] = {"WindowCenter": 500, "WindowWidth": 400, "VOILUTFunction": "SIGMOID"}
    still = dicom(ramp(), CR_CLASS, Modality="DX", **voi)
    loop = dicom(stack_of(4), Modality="XA", FrameTime=40, **voi)
    stack = [mr_slice(300 + 50 * k, 4.0 * k, **voi) for k in range(5)]
    grouped = multi_frame(stack_of(3), ENHANCED_XA_CLASS, groups(FrameVOILUTSequence=voi), [], Modality="XA")
    for data in (dicom_bytes(still), dicom_bytes(loop), series_zip(stack), dicom_bytes(grouped)):
        study = open_bytes(data, "a.zip" if data[:2] == b"PK" else "a")
        assert any("sigmoid" in note for note in study.notes)
    straight = dicom(ramp(), CR_CLASS, Modality="DX", **(voi | {"VOILUTFunction": "LINEAR_EXACT"}))
    assert not any("sigmoid" in note for note in open_bytes(dicom_bytes(straight)).notes)


def heights_of(study: Study) -> np.ndarray:
    assert study.slice_mm is not None
    return study.slice_mm


@pytest.mark.parametrize(
    ("heights", "step", "warning"),
    [
        ([round(0.625 * k - 40, 1) for k in range(40)], 0.625, None),
        ([round(1.25 * k + 3, 1) for k in range(21)], 1.25, None),
        ([round(0.3333 * k, 2) for k in range(30)], 0.3333, None),
        ([2.5 * k - (0.2 if k == 4 else 0) for k in range(12)], 2.5, "NonUniformSpacing"),
        ([2.5 * k - (0.2 if k == 11 else 0) for k in range(12)], 2.5, "NonUniformSpacing"),
        ([4.0 * k for k in range(14) if k not in (5, 6)], 4.0, "MissingSlices"),
        ([0, 1.08, *(5 + 4.5 * k for k in range(12))], 4.5, "NonUniformSpacing"),
        ([*(2.5 * k for k in range(5)), *(10 + 7.3 * k for k in range(1, 9))], 7.3, "NonUniformSpacing"),
        ([0, 3.0, 6.0, 9.0], 3.0, None),
        ([0, 2.0], 2.0, None),
    ],
)
@pytest.mark.parametrize("feet_first", [False, True])
def test_the_step_is_the_usual_one(
    open_bytes: Opener, heights: list[float], step: float, warning: str | None, feet_first: bool
) -> None:
    slices = [ct_slice(h, 50 + k) for k, h in enumerate(heights)]
    if feet_first:
        for one in slices:
            one.ImageOrientationPatient = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    study = open_bytes(series_zip(slices), "a.zip")
    assert study.series == []
    assert study.spacing_mm is not None
    between = study.spacing_mm[0]
    assert between is not None
    assert between == pytest.approx(step, abs=0.002)
    assert between > 0
    assert [w for w in study.warnings if w in ("NonUniformSpacing", "MissingSlices")] == (
        [warning] if warning else []
    )
    assert heights_of(study)[-1] == pytest.approx(heights[-1] - heights[0], abs=0.06)
    assert study.affine is not None
    first, last = (study.affine @ [k, 0, 0, 1] for k in (0, len(heights) - 1))
    if warning != "MissingSlices":  # the affine reaches from the first place to the last
        assert abs(last[2] - first[2]) == pytest.approx(heights[-1] - heights[0], abs=0.06)


def test_plain_series_keep_their_step(open_bytes: Opener) -> None:
    study = open_bytes(series_zip(ct_series()), "a.zip")
    assert study.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert study.warnings == []
