"""Several volumes in one series: told apart by their headers, all of them in one flat list; and what is no stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from omnivmed.study import Study
from tests.io.dicom_makers import (
    ENHANCED_MR_CLASS,
    groups,
    middles,
    mr_slice,
    multi_frame,
    side_by_side,
)
from tests.io.makers import (
    AXIAL,
    CT_CLASS,
    ENHANCED_CT_CLASS,
    ct_slice,
    dicom,
    dicom_bytes,
    series_zip,
    zip_bytes,
)

Opener = Callable[..., Study]


def all_of(open_bytes: Opener, data: bytes, name: str = "a.zip") -> list[Study]:
    """Everything in the list, opened."""
    first = open_bytes(data, name)
    return [open_bytes(data, name, series=i) for i in range(max(1, len(first.series)))]


@pytest.mark.parametrize(
    ("tell", "words"),
    [
        (lambda v, k: {"EchoTime": 5.0 + 5 * v}, "echo time 5 ms"),
        (lambda v, k: {"EchoNumbers": v + 1, "InstanceNumber": k + 1}, "echo 1"),
        (lambda v, k: {"TemporalPositionIdentifier": v + 1}, "time point 1"),
        (lambda v, k: {"DiffusionBValue": 1000.0 * v}, "b 0"),
        (lambda v, k: {"ImageType": ["ORIGINAL", "PRIMARY", "MP"[v], "ND"]}, "volume 1 of 2"),
        (lambda v, k: {"AcquisitionNumber": v + 1, "AcquisitionTime": f"1200{2 * k + v:02d}"}, "acquisition 1"),
        (lambda v, k: {"TriggerTime": 40.0 * v}, "0 ms after the trigger"),
        (lambda v, k: {"InversionTime": 900.0 - 100 * v}, "inversion time 800 ms"),
        (lambda v, k: {"AcquisitionTime": f"1{v}00{k:02d}"}, "volume 1 of 2"),
        (lambda v, k: {"InstanceNumber": 10 * v + k}, "volume 1 of 2"),
        (lambda v, k: {"PixelSpacing": [1.5 + v, 1.5 + v]}, "volume 1 of 2"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("lost", [False, True])
def test_two_volumes_of_one_series(open_bytes: Opener, tell: Any, words: str, lost: bool) -> None:
    slices = side_by_side(2, 6, tell)
    if lost:  # the fourth slice of the first volume
        slices = [s for s in slices if s.pixel_array[6, 8] != 130]
    found = all_of(open_bytes, series_zip(slices))
    whole = [
        [100.0 + 400 * v + 10 * k for k in range(6) if not (lost and (v, k) == (0, 3))] for v in range(2)
    ]
    assert sorted(middles(s) for s in found) == whole
    assert all(s.spacing_mm is not None and s.spacing_mm[0] == pytest.approx(4.0) for s in found)
    assert all({"MultiVolume", "MixedSeries"} & set(s.warnings) for s in found)
    assert words in " | ".join(entry["label"] for entry in found[0].series)


def test_blank_slices_are_alike_in_all_volumes(open_bytes: Opener) -> None:
    for tell in (
        lambda t, k: {"TemporalPositionIdentifier": t + 1},
        lambda t, k: {"InstanceNumber": 6 * t + k},
    ):
        slices = side_by_side(3, 6, tell)
        for one in slices:
            if one.ImagePositionPatient[2] == 0:
                one.PixelData = bytes(len(one.PixelData))
        found = all_of(open_bytes, series_zip(slices))
        assert [s.shape[0] for s in found] == [6, 6, 6]
        assert [middles(s)[1] for s in found] == [110.0, 510.0, 910.0]


def test_doubles_have_equal_headers_too(open_bytes: Opener) -> None:
    once = side_by_side(1, 5, lambda v, k: {})
    study = open_bytes(series_zip([*once, *side_by_side(1, 5, lambda v, k: {})]), "a.zip")
    assert (study.shape[0], "DuplicateSlices" in study.warnings, study.series) == (5, True, [])
    later = side_by_side(1, 5, lambda v, k: {"EchoTime": 9.0})
    found = all_of(open_bytes, series_zip([*once, *later]), "b.zip")
    assert [s.shape[0] for s in found] == [5, 5], "equal pictures of another echo are no doubles"


@pytest.mark.parametrize("number", [None, 3, 99])
def test_one_more_picture_of_one_place_does_not_cut_the_stack(open_bytes: Opener, number: int | None) -> None:
    slices = side_by_side(1, 6, lambda v, k: {} if number is None else {"InstanceNumber": 2 * k})
    slices.insert(2, mr_slice(777, 8.0, **({} if number is None else {"InstanceNumber": number})))
    found = all_of(open_bytes, series_zip(slices))
    assert [len(s) for s in found] == [6, 1]


def test_a_second_pass_a_little_beside_the_first(open_bytes: Opener) -> None:
    slices = [
        mr_slice(100 + 400 * v + 10 * k, 4.0 * k + 0.07 * v, AcquisitionNumber=v + 1)
        for v in range(2)
        for k in range(6)
    ]
    found = all_of(open_bytes, series_zip(slices))
    assert [s.shape[0] for s in found] == [6, 6]
    assert all(s.spacing_mm is not None and s.spacing_mm[0] == pytest.approx(4.0) for s in found)


def test_headers_that_vary_within_a_volume_do_not_divide_it(open_bytes: Opener) -> None:
    """One acquisition per slice, every second slice in a second pass, two thicknesses one after the other."""
    one_each = [
        mr_slice(100 + k, 4.0 * k, AcquisitionNumber=k, AcquisitionTime=f"1200{k:02d}") for k in range(8)
    ]
    passes = [mr_slice(100 + k, 4.0 * k, AcquisitionNumber=k % 2 + 1) for k in range(8)]
    heights = [*np.arange(6) * 2.5, *(12.5 + 5.0 * np.arange(1, 6))]
    regions = [ct_slice(h, 60, SliceThickness=2.5 if h <= 12.5 else 5.0, KVP=120) for h in heights]
    for slices in (one_each, passes, regions):
        study = open_bytes(series_zip(slices), "a.zip")
        assert (study.shape[0], study.series) == (len(slices), [])


@pytest.mark.parametrize("tilt", [0.0005, 0.01, -0.4])
def test_directions_are_compared_by_their_angle(open_bytes: Opener, tilt: float) -> None:
    def turned(k: int) -> list[float]:
        e = tilt + (1e-5 if k % 2 else -1e-5)
        c, s = float(np.cos(e)), float(np.sin(e))
        return [c, s, 0.0, -s, c, 0.0]

    slices = [mr_slice(100 + k, 4.0 * k, ImageOrientationPatient=turned(k)) for k in range(9)]
    study = open_bytes(series_zip(slices), "a.zip")
    assert (study.shape[0], study.series) == (9, [])


def test_everything_is_in_one_flat_list(open_bytes: Opener) -> None:
    """Two enhanced files of two volumes, a series of two echoes, and a still."""
    members = {}
    for f in range(2):
        pixels = np.stack(
            [np.full((8, 10), 1000 * (f + 1) + 100 * t + k, np.uint16) for t in range(2) for k in range(4)]
        )
        own = [
            groups(PlanePositionSequence={"ImagePositionPatient": [0, 0, 3.0 * k]},
                   FrameContentSequence={"TemporalPositionIndex": t + 1})
            for t in range(2) for k in range(4)
        ]  # fmt: skip
        shared = groups(
            PlaneOrientationSequence={"ImageOrientationPatient": list(AXIAL)},
            PixelMeasuresSequence={"PixelSpacing": [1, 1]},
        )
        members[f"e{f}"] = dicom_bytes(
            multi_frame(pixels, ENHANCED_MR_CLASS, shared, own, Modality="MR", SeriesInstanceUID=f"1.2.{f}")
        )
    for i, one in enumerate(side_by_side(2, 5, lambda v, k: {"EchoTime": 5.0 + v}, SeriesInstanceUID="1.9")):
        members[f"s{i}"] = dicom_bytes(one)
    members["x"] = dicom_bytes(dicom(np.full((30, 30), 7, np.uint16), Modality="CR", SeriesInstanceUID="1.7"))
    found = all_of(open_bytes, zip_bytes(members))
    assert len(found) == 7
    firsts = [middles(s)[0] for s in found]
    assert sorted(firsts) == [7.0, 100.0, 500.0, 1000.0, 1100.0, 2000.0, 2100.0]
    assert [s.series[i]["frames"] for i, s in enumerate(found)] == [len(s) for s in found]
    assert [s.series[i]["kind"] for i, s in enumerate(found)] == [s.kind for s in found]


def at_one_place(tell: Callable[[int], dict[str, Any]], n: int = 8) -> list[Dataset]:
    made = [mr_slice(100 + 50 * k, 0.0, **tell(k)) for k in range(n)]
    return [made[i] for i in np.random.default_rng(1).permutation(n)]


@pytest.mark.parametrize(
    ("tell", "step_s"),
    [
        (lambda k: {"TriggerTime": 35.0 * k}, 0.035),
        (lambda k: {"AcquisitionDate": "20200229", "AcquisitionTime": f"1159{52 + 2 * k:02d}.5" if k < 4
                    else f"1200{2 * k - 8:02d}.5"}, 2.0),
        (lambda k: {"AcquisitionDateTime": f"2020010112000{k}.250000"}, 1.0),
        (lambda k: {"ContentTime": f"1000{3 * k:02d}"}, 3.0),
        (lambda k: {"FrameReferenceTime": 1500.0 + 1500.0 * k}, 1.5),
        (lambda k: {"TemporalPositionIdentifier": k + 1, "TemporalResolution": 250.0}, 0.25),
        (lambda k: {"InstanceNumber": k + 1}, None),
    ],
)  # fmt: skip
def test_pictures_of_one_place_are_a_clip_with_their_times(
    open_bytes: Opener, tell: Any, step_s: float | None
) -> None:
    study = open_bytes(series_zip(at_one_place(tell)), "a.zip")
    assert (study.kind, study.shape, study.series) == ("video", (8, 12, 16), [])
    assert middles(study) == [100.0 + 50 * k for k in range(8)]
    assert study.times_s is not None
    assert np.allclose(np.diff(study.times_s), step_s or 1 / 15)
    assert any("do not say when" in note for note in study.notes) == (step_s is None)
    assert study.spacing_mm == (None, 1.5, 1.5)
    assert study.affine is None
    assert study.edge_letters() == ("R", "L", "A", "P")


def test_magnitude_and_phase_of_a_cine_are_two_clips(open_bytes: Opener) -> None:
    slices = [
        mr_slice(100 + 400 * p + k, 0.0, TriggerTime=30.0 * k, ImageType=["ORIGINAL", "PRIMARY", "MP"[p]])
        for p in range(2)
        for k in range(6)
    ]
    found = all_of(open_bytes, series_zip(slices))
    assert [(s.kind, len(s)) for s in found] == [("video", 6)] * 2
    assert [np.ptp(middles(s)) for s in found] == [5, 5]


def test_views_from_all_sides_are_one_thing_to_scroll(open_bytes: Opener) -> None:
    slices = []
    for k in (4, 1, 6, 0, 3, 2, 5):
        c, s = float(np.cos(k * 0.3)), float(np.sin(k * 0.3))
        slices.append(mr_slice(100 + k, 0.0, ImageOrientationPatient=[c, s, 0, 0, 0, -1], InstanceNumber=k + 1,
                               ContentTime=f"1200{(7 * k) % 10:02d}"))  # fmt: skip
    study = open_bytes(series_zip(slices), "a.zip")
    assert (study.kind, middles(study)) == ("video", [100.0 + k for k in range(7)])
    assert (study.affine, study.edge_letters()) == (None, None)


def test_pictures_without_a_place(open_bytes: Opener) -> None:
    """Ultrasound of one series is scrolled; radiographs are views of their own."""
    for modality, count in (("US", 1), ("XA", 1), ("DX", 4)):
        made = [
            dicom(np.full((8, 10), 40 + k, np.uint8), CT_CLASS, Modality=modality, InstanceNumber=k)
            for k in range(4)
        ]
        study = open_bytes(series_zip(made[::-1]), f"{modality}.zip")
        assert max(1, len(study.series)) == count
        if count == 1:
            assert (study.kind, middles(study)) == ("video", [40.0, 41.0, 42.0, 43.0])


def test_enhanced_frames_of_one_place(open_bytes: Opener) -> None:
    """Perfusion in one file: scale and window from the shared groups, times from each frame's own."""
    pixels = np.stack([np.full((8, 10), 1000 + 10 * k, np.uint16) for k in (3, 0, 2, 1)])
    own = [
        groups(FrameContentSequence={"FrameAcquisitionDateTime": f"20200101235959.{k}00000" if k < 2
                                     else f"20200102000000.{k}00000"})
        for k in (3, 0, 2, 1)
    ]  # fmt: skip
    shared = groups(
        PlanePositionSequence={"ImagePositionPatient": [0, 0, 9]},
        PlaneOrientationSequence={"ImageOrientationPatient": list(AXIAL)},
        PixelMeasuresSequence={"PixelSpacing": [2, 1]},
        PixelValueTransformationSequence={"RescaleSlope": 1, "RescaleIntercept": -1000, "RescaleType": "HU"},
        FrameVOILUTSequence={"WindowCenter": 15, "WindowWidth": 40},
    )
    study = open_bytes(dicom_bytes(multi_frame(pixels, ENHANCED_CT_CLASS, shared, own)))
    assert (study.kind, study.unit, study.window) == ("video", "HU", (15.0, 40.0))
    assert middles(study) == [0.0, 10.0, 20.0, 30.0]
    assert study.times_s is not None
    assert np.allclose(study.times_s, [0, 0.1, 1.2, 1.3], atol=1e-4)
    assert study.pixel_aspect == 2.0
