"""DICOM by itself: photometry, scale, windows, cine, enhanced files, damage."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEG2000Lossless, RLELossless

from omnivmed.errors import StudyError
from omnivmed.limits import PUBLIC, Limits
from omnivmed.study import Study
from tests.io.makers import CR_CLASS, cine, ct_slice, dicom, dicom_bytes, enhanced_ct, jpeg_cine, ramp

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]


def test_ct_slice_is_an_image_in_hounsfield_units(open_bytes: Opener) -> None:
    study = open_bytes(dicom_bytes(ct_slice(5.0, 60, BodyPartExamined="HEAD")), "IM0001")
    assert (study.kind, study.shape, study.unit, study.modality) == ("image", (1, 20, 24), "HU", "CT")
    assert study.values()[0, 4, 6] == 60
    assert study.dtype == np.uint16
    assert study.window == (40.0, 400.0)
    assert study.spacing_mm == (None, 0.8, 0.7)
    assert (study.plane, study.body_part) == ("axial", "HEAD")
    assert study.edge_letters() == ("R", "L", "A", "P")
    assert ("file", 40.0, 400.0) in study.presets
    assert ("brain", 40.0, 80.0) in study.presets
    assert study.warnings == ["Stretched"]


def test_monochrome1_is_shown_inverted_and_read_plain(open_bytes: Opener) -> None:
    pixels = ramp(high=4095)
    plain = dicom(pixels, CR_CLASS, Modality="CR")
    other = dicom(pixels, CR_CLASS, Modality="CR", PhotometricInterpretation="MONOCHROME1")
    a, b = open_bytes(dicom_bytes(plain)), open_bytes(dicom_bytes(other), "b")
    assert (a.inverted, b.inverted) == (False, True)
    assert np.array_equal(a.values(), b.values())
    assert np.array_equal(a.frames(), 255 - b.frames())
    assert a.digest != b.digest


@pytest.mark.parametrize(
    ("tags", "low"),
    [
        ({"RescaleSlope": 2, "RescaleIntercept": -10}, -10.0),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, 0.0),
        ({"RescaleSlope": "", "RescaleIntercept": -3}, 0.0),
    ],
)
def test_scale_of_values(open_bytes: Opener, tags: dict[str, Any], low: float) -> None:
    study = open_bytes(dicom_bytes(dicom(ramp(), **tags)))
    assert study.values().min() == low
    assert ("BadHeader" in study.warnings) == (low == 0.0)


def test_ct_without_a_scale_is_told(open_bytes: Opener) -> None:
    study = open_bytes(dicom_bytes(dicom(ramp())))
    assert study.warnings == ["BadHeader"]
    assert study.unit == "raw"


@pytest.mark.parametrize(
    ("width", "window"), [(0, None), (0.5, None), (80, (40.0, 80.0)), ([0, 60], (50.0, 60.0))]
)
def test_windows_of_the_file(open_bytes: Opener, width: Any, window: Any) -> None:
    centre = [40, 50] if isinstance(width, list) else 40
    study = open_bytes(
        dicom_bytes(dicom(ramp(), CR_CLASS, Modality="CR", WindowCenter=centre, WindowWidth=width))
    )
    assert study.window is not None
    assert study.window[1] > 1
    if window is not None:
        assert study.window == window


def test_window_that_shows_nothing_is_left_out(open_bytes: Opener) -> None:
    study = open_bytes(
        dicom_bytes(dicom(ramp(), CR_CLASS, Modality="CR", WindowCenter=99999, WindowWidth=10))
    )
    assert study.frames().max() > 200
    assert any("left out" in note for note in study.notes)


def test_modality_lut_is_applied(open_bytes: Opener) -> None:
    lut = Dataset()
    lut.LUTDescriptor = [256, 0, 16]
    lut.LUTData = [3 * i for i in range(256)]
    lut["LUTData"].VR = "US"
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    study = open_bytes(dicom_bytes(dicom(pixels, CR_CLASS, Modality="CR", ModalityLUTSequence=[lut])))
    assert np.array_equal(study.values()[0], 3.0 * pixels)


def test_falling_voi_lut_inverts(open_bytes: Opener) -> None:
    lut = Dataset()
    lut.LUTDescriptor = [256, 0, 8]
    lut.LUTData = [255 - i for i in range(256)]
    lut["LUTData"].VR = "US"
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    study = open_bytes(dicom_bytes(dicom(pixels, CR_CLASS, Modality="CR", VOILUTSequence=[lut])))
    assert study.inverted
    assert study.frames()[0, 0, 0, 0] > study.frames()[0, 15, 15, 0]


def test_padding_stays_out_of_the_window(open_bytes: Opener) -> None:
    pixels = ramp(40, 50, 1000, 2000)
    pixels[:, :20] = 0
    shown = open_bytes(dicom_bytes(dicom(pixels, CR_CLASS, Modality="CR", PixelPaddingValue=0)))
    assert shown.window is not None
    assert shown.window[0] - shown.window[1] / 2 > 900


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_equals_plain(open_bytes: Opener, syntax: str) -> None:
    ds = dicom(ramp(64, 80), CR_CLASS, Modality="CR", BitsStored=12, HighBit=11)
    plain = open_bytes(dicom_bytes(ds)).stored()[0].copy()
    ds.compress(syntax, generate_instance_uid=False)
    packed = open_bytes(dicom_bytes(ds), "packed")
    assert np.array_equal(packed.stored()[0], plain)


def test_colour_palette_and_planes(open_bytes: Opener) -> None:
    rgb = np.zeros((8, 10, 3), np.uint8)
    rgb[:4] = (255, 0, 0)
    rgb[4:] = (10, 20, 200)
    assert np.array_equal(open_bytes(dicom_bytes(dicom(rgb))).frames()[0], rgb)
    planar = dicom(rgb, PlanarConfiguration=1)
    planar.PixelData = np.ascontiguousarray(rgb.transpose(2, 0, 1)).tobytes()
    planar["PixelData"].VR = "OB"
    assert np.array_equal(open_bytes(dicom_bytes(planar), "p").frames()[0], rgb)
    index = np.zeros((8, 10), np.uint8)
    index[4:] = 1
    palette = dicom(index, PhotometricInterpretation="PALETTE COLOR")
    for name, values in (("Red", (255, 10)), ("Green", (0, 20)), ("Blue", (0, 200))):
        setattr(palette, f"{name}PaletteColorLookupTableDescriptor", [2, 0, 8])
        setattr(palette, f"{name}PaletteColorLookupTableData", bytes(values))
    assert np.array_equal(open_bytes(dicom_bytes(palette), "q").frames()[0], rgb)


def test_cine_is_a_clip_with_times(open_bytes: Opener) -> None:
    study = open_bytes(dicom_bytes(cine()))
    assert (study.kind, study.shape, study.channels) == ("video", (6, 16, 20), 3)
    assert study.times_s is not None
    assert np.allclose(np.diff(study.times_s), 0.040)
    assert [int(f[0, 0, 0]) for f in study.frames()] == [40, 55, 70, 85, 100, 115]
    vector = open_bytes(dicom_bytes(cine(FrameTime=None, FrameTimeVector=[0, 40, 40, 80, 40, 40])), "v")
    assert vector.times_s is not None
    assert np.allclose(vector.times_s, [0, 0.04, 0.08, 0.16, 0.2, 0.24])


def test_long_cine_is_read_lazily(open_bytes: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnivmed.io.dicom_frames.EAGER_BYTES", 1000)
    study = open_bytes(dicom_bytes(jpeg_cine()))
    assert study.kind == "video"
    assert study.take([4, 0, 4])[:, 0, 0, 0].tolist() == [100, 40, 100]


def test_fewer_frames_than_declared(open_bytes: Opener) -> None:
    study = open_bytes(dicom_bytes(jpeg_cine(5, declared=9)))
    assert len(study) == 5
    assert "Partial" in study.warnings


def test_enhanced_frames_are_sorted_and_scaled_each(open_bytes: Opener) -> None:
    study = open_bytes(dicom_bytes(enhanced_ct()))
    assert (study.kind, study.shape) == ("volume", (4, 20, 24))
    assert study.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    markers = study.values()[:, 5, 8]
    assert np.allclose(markers, [50, 60, 70, 80], atol=1.0)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Rows": 0}, "Corrupt"),
        ({"Rows": None}, "Corrupt"),
        ({"Rows": 65535, "Columns": 65535}, "TooLarge"),
        ({"NumberOfFrames": 4}, "Corrupt"),
        ({"NumberOfFrames": -3}, "Corrupt"),
        ({"SamplesPerPixel": 7}, "Unsupported"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, "NotAnImage"),
    ],
)
def test_headers_that_lie(refuse_bytes: Refuser, tags: dict[str, Any], code: str) -> None:
    assert refuse_bytes(dicom_bytes(dicom(ramp(), **tags))).code == code


def test_deflated_and_its_bomb(open_bytes: Opener, refuse_bytes: Refuser) -> None:
    ds = dicom(ramp(), CR_CLASS, Modality="CR", TransferSyntaxUID="1.2.840.10008.1.2.1.99")
    data = dicom_bytes(ds)
    assert np.array_equal(open_bytes(data).values()[0], ramp())
    start = 144 + int.from_bytes(data[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    bomb = data[:start] + packer.compress(bytes(100_000_000)) + packer.flush()
    assert refuse_bytes(bomb).code == "TooLarge"
    assert refuse_bytes(data[:-20]).code == "Corrupt"


def test_unread_compression(refuse_bytes: Refuser) -> None:
    ds = jpeg_cine(2)
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.102")
    assert refuse_bytes(dicom_bytes(ds)).code == "Unsupported"


def test_cut_files(refuse_bytes: Refuser) -> None:
    data = dicom_bytes(dicom(ramp()))
    assert refuse_bytes(data[:-200]).code == "Corrupt"
    assert refuse_bytes(data[:300]).code in ("Corrupt", "NotAnImage")


def test_jpeg_larger_inside_than_outside(refuse_bytes: Refuser) -> None:
    ds = jpeg_cine(1)
    raw = bytearray(ds.PixelData)
    where = raw.find(b"\xff\xc0")
    raw[where + 5 : where + 9] = b"\xff\xdc\xff\xdc"
    ds.PixelData = bytes(raw)
    ds["PixelData"].is_undefined_length = True
    ds.NumberOfFrames = 1
    assert refuse_bytes(dicom_bytes(ds)).code == "Corrupt"


def test_burned_in_text_is_told_and_asked_for_in_public(open_bytes: Opener) -> None:
    said = dicom_bytes(dicom(ramp(), CR_CLASS, Modality="CR", BurnedInAnnotation="YES"))
    local, public = open_bytes(said), open_bytes(said, "p", limits=PUBLIC)
    assert "BurnedIn" in local.warnings
    assert (local.needs_confirmation, public.needs_confirmation) == (False, True)
    assert "BurnedIn" in open_bytes(dicom_bytes(cine()), "u").warnings
    assert "BurnedIn" not in open_bytes(dicom_bytes(cine(BurnedInAnnotation="NO")), "n").warnings
    assert "BurnedIn" not in open_bytes(dicom_bytes(dicom(ramp(), CR_CLASS, Modality="CR")), "c").warnings


def test_bare_data_set_without_preamble(open_bytes: Opener) -> None:
    data = dicom_bytes(ct_slice(0, 70))
    assert open_bytes(data[132:], "IM1").values()[0, 5, 8] == 70


def test_raw_limit_counts_all_frames(refuse_bytes: Refuser) -> None:
    limits = Limits(raw_voxel_bytes=20 * 24 * 2 - 1)
    assert refuse_bytes(dicom_bytes(ct_slice(0, 70)), limits=limits).code == "TooLarge"


DX_CLASS = "1.2.840.10008.5.1.4.1.1.1.1"


@pytest.mark.parametrize(
    ("tags", "spacing", "where", "said"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.3]}, (0.2, 0.3), "detector", "at the detector: the file"),
        (
            {"ImagerPixelSpacing": [0.15, 0.3], "EstimatedRadiographicMagnificationFactor": 1.5},
            (0.1, 0.2),
            "estimate",
            "divided by the magnification of 1.5",
        ),
        # A factor that cannot be is none.
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 0},
            (0.2, 0.2),
            "detector",
            "at the detector: the file",
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 0.5},
            (0.2, 0.2),
            "detector",
            "at the detector: the file",
        ),
        # Repeated in Pixel Spacing for readers that know no other, and not calibrated (PS3.3 10.7.1.3).
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]},
            (0.2, 0.2),
            "detector",
            "at the detector: the file",
        ),
        (
            {
                "ImagerPixelSpacing": [0.3, 0.3],
                "PixelSpacing": [0.3, 0.3],
                "EstimatedRadiographicMagnificationFactor": 1.2,
            },
            (0.25, 0.25),
            "estimate",
            "divided by the magnification of 1.2",
        ),
        # Calibrated: in the patient, and not divided again.
        (
            {
                "ImagerPixelSpacing": [0.2, 0.2],
                "PixelSpacing": [0.18, 0.18],
                "PixelSpacingCalibrationType": "GEOMETRY",
                "EstimatedRadiographicMagnificationFactor": 1.11,
            },
            (0.18, 0.18),
            "patient",
            None,
        ),
        (
            {
                "ImagerPixelSpacing": [0.2, 0.2],
                "PixelSpacing": [0.2, 0.2],
                "PixelSpacingCalibrationType": "FIDUCIAL",
            },
            (0.2, 0.2),
            "patient",
            None,
        ),
        ({"PixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "patient", None),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "detector", "at the detector: the file"),
    ],
)
def test_lengths_of_a_radiograph_say_where_they_hold(
    open_bytes: Opener, tags: dict[str, Any], spacing: tuple[float, float], where: str, said: str | None
) -> None:
    study = open_bytes(dicom_bytes(dicom(ramp(), DX_CLASS, Modality="DX", **tags)), "r")
    assert study.spacing_mm is not None
    assert study.spacing_mm[1:] == pytest.approx(spacing)
    assert study.spacing_at == where
    lengths = [note for note in study.notes if "detector" in note]
    assert (not lengths) if said is None else (said in lengths[0])
