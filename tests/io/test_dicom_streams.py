"""What a decoder returns is checked: colours, precision, syntax, fragments, delimiters, byte order, tiles, films."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from omnivmed.errors import StudyError
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.io.dicom_makers import (
    US_CLASS,
    groups,
    jpeg,
    lossless_jpeg,
    middles,
    multi_frame,
    packed,
    shown_as_windowed,
)
from tests.io.makers import AXIAL, CR_CLASS, clip_bytes, dicom, dicom_bytes, ramp

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]
BASELINE, LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"


def two_colours() -> np.ndarray:
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8], picture[8:] = (210, 30, 40), (30, 60, 220)
    return picture


def colours_off(study: Study) -> int:
    shown = study.frames(0, 1)[0].astype(int)
    return int(max(np.abs(shown[3, 5] - (210, 30, 40)).max(), np.abs(shown[12, 5] - (30, 60, 220)).max()))


@pytest.mark.parametrize("said", ["RGB", "YBR_FULL_422", "YBR_FULL"])
@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize(
    "stream",
    [
        {},
        {"plain": True},
        {"adobe": 1},
        {"adobe": 0},
        {"ids": b"RGB"},
        {"plain": True, "ids": b"\x00\x01\x02"},
    ],
)
def test_the_stream_knows_its_colours(
    open_bytes: Opener, said: str, planar: int, stream: dict[str, Any]
) -> None:
    ds = dicom(
        two_colours(), US_CLASS, Modality="US", PhotometricInterpretation=said, PlanarConfiguration=planar
    )
    study = open_bytes(dicom_bytes(packed(ds, [jpeg(two_colours(), **stream)], BASELINE)))
    assert colours_off(study) <= 10


@pytest.mark.parametrize(("bits", "low", "high"), [(8, 52, 200), (12, 300, 3500), (16, 1000, 60000)])
@pytest.mark.parametrize("shortest", [False, True])
def test_lossless_jpeg_is_exact(open_bytes: Opener, bits: int, low: int, high: int, shortest: bool) -> None:
    pixels = np.full((20, 24), low, np.uint8 if bits == 8 else np.uint16)
    pixels[5:15, 6:18] = high
    pixels[8:10, 8:10] = (low + high) // 2
    ds = dicom(pixels, US_CLASS, Modality="US", BitsStored=bits, HighBit=bits - 1)
    study = open_bytes(dicom_bytes(packed(ds, [lossless_jpeg(pixels, bits, shortest)], LOSSLESS)))
    assert np.array_equal(study.values()[0], pixels)


@pytest.mark.parametrize("said", [BASELINE, LOSSLESS, JPEG2000Lossless, JPEGLSLossless])
def test_the_stream_knows_its_coding(open_bytes: Opener, said: str) -> None:
    pixels = ramp(40, 48, 0, 250).astype(np.uint8)
    for coding in (JPEG2000Lossless, JPEGLSLossless):
        ds = dicom(pixels, US_CLASS, Modality="US")
        ds.compress(coding, generate_instance_uid=False)
        ds.file_meta.TransferSyntaxUID = UID(said)
        assert np.array_equal(open_bytes(dicom_bytes(ds)).values()[0], pixels)


def test_more_bits_in_the_stream_than_the_header_says(open_bytes: Opener) -> None:
    pixels = ramp(40, 48, 0, 60000)
    for coding in (JPEG2000Lossless, JPEGLSLossless):
        ds = dicom(pixels, CR_CLASS, Modality="CR")
        ds.compress(coding, generate_instance_uid=False)
        ds.BitsStored, ds.HighBit = 12, 11
        assert np.array_equal(open_bytes(dicom_bytes(ds)).values()[0], pixels)


def loop_of(frames: int) -> Dataset:
    """A loop in JPEG 2000, frame k filled with 60 + 10 k; its encoder wants 32 pixels a side."""
    pixels = np.stack([np.full((32, 40), 60 + 10 * k, np.uint8) for k in range(frames)])
    ds = dicom(pixels, US_CLASS, Modality="US", FrameTime=40)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    return ds


def test_a_file_that_lacks_its_last_delimiter_is_whole(open_bytes: Opener) -> None:
    data = dicom_bytes(loop_of(5))
    study = open_bytes(data[:-8])
    assert middles(study) == [60.0, 70.0, 80.0, 90.0, 100.0]
    assert "Partial" not in study.warnings
    assert any("delimiter" in note for note in study.notes)
    cut = open_bytes(data[:-20], "cut")
    assert (middles(cut), "Partial" in cut.warnings) == ([60.0, 70.0, 80.0, 90.0], True)


def test_a_single_picture_that_is_really_cut_is_refused(refuse_bytes: Refuser) -> None:
    ds = dicom(ramp(64, 64), US_CLASS)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    assert refuse_bytes(dicom_bytes(ds)[:-60]).code == "Corrupt"


def test_frames_in_several_fragments_without_an_offset_table(open_bytes: Opener) -> None:
    ds = loop_of(4)
    streams = list(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=4))
    items = b""
    for stream in streams:
        half = len(stream) // 4 * 2
        for part in (stream[:half], stream[half:]):
            part += b"\0" * (len(part) % 2)
            items += b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part
    ds.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + items
    ds["PixelData"].is_undefined_length = True
    assert middles(open_bytes(dicom_bytes(ds))) == [60.0, 70.0, 80.0, 90.0]


def test_three_bytes_a_pixel_are_not_subsampled(open_bytes: Opener) -> None:
    rgb = dicom(two_colours(), US_CLASS, Modality="US", PhotometricInterpretation="YBR_FULL_422")
    assert colours_off(open_bytes(dicom_bytes(rgb))) == 0
    grey = np.stack(
        [ramp(16, 24, 20, 240).astype(np.uint8)] + [np.full((16, 24), 128, np.uint8)] * 2, axis=-1
    )
    ybr = dicom(grey, US_CLASS, Modality="US", PhotometricInterpretation="YBR_FULL_422")
    shown = open_bytes(dicom_bytes(ybr), "y").frames()[0]
    assert np.abs(shown.astype(int) - grey[..., :1]).max() <= 2


def big_endian(ds: Dataset, pixels: np.ndarray, vr: str = "OW") -> bytes:
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    if pixels.dtype.itemsize == 1 and vr == "OW":
        ds.PixelData = np.frombuffer(pixels.tobytes(), "<u2").astype(">u2").tobytes()
    ds["PixelData"].VR = vr
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, implicit_vr=False, little_endian=False, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("dtype", "vr"), [("u1", "OB"), ("u1", "OW"), ("u2", "OW"), ("i2", "OW"), ("u4", "OW"), ("i4", "OW")]
)
@pytest.mark.parametrize("frames", [1, 3])
def test_big_endian_is_shown_as_it_is_read(open_bytes: Opener, dtype: str, vr: str, frames: int) -> None:
    one = (ramp(16, 24, 0, 200).astype(int) - (100 if dtype[0] == "i" else 0)).astype(dtype)
    pixels = np.stack([one + k for k in range(frames)]).astype(dtype) if frames > 1 else one
    ds = dicom(pixels, CR_CLASS, Modality="MR", FrameTime=40, WindowCenter=50, WindowWidth=120)
    study = open_bytes(big_endian(ds, pixels, vr))
    assert study.dtype.isnative
    assert np.array_equal(study.values(), pixels.reshape(frames, 16, 24))
    assert shown_as_windowed(study) <= 1


@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 12), (16, 15)])
@pytest.mark.parametrize("signed", [0, 1])
def test_stored_bits_end_at_the_high_bit(open_bytes: Opener, stored: int, high: int, signed: int) -> None:
    values = ramp(16, 24, 0, 2 ** (stored - 1) - 1).astype(int) * (-1 if signed else 1)
    cells = ((values & (2**stored - 1)) << (high + 1 - stored)).astype(np.uint16)
    if high < 15:
        cells |= np.uint16(1 << 15)  # an old overlay above
    ds = dicom(cells, CR_CLASS, Modality="MR", BitsStored=stored, HighBit=high, PixelRepresentation=signed)
    if not (stored == 16 and high < 15):
        assert np.array_equal(open_bytes(dicom_bytes(ds)).values()[0], values)


def test_a_high_bit_that_cannot_be_meant(open_bytes: Opener) -> None:
    ds = dicom(ramp(16, 24, 0, 4095), CR_CLASS, Modality="MR", BitsStored=12, HighBit=15)
    assert np.array_equal(open_bytes(dicom_bytes(ds)).values()[0], ramp(16, 24, 0, 4095))


def mosaic(n: int, **tags: Any) -> Dataset:
    across = int(np.ceil(np.sqrt(n)))
    picture = np.zeros((across * 8, across * 10), np.uint16)
    for k in range(n):
        r, c = divmod(k, across)
        picture[r * 8 : r * 8 + 8, c * 10 : c * 10 + 10] = 100 + 10 * k
    base = {
        "Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "PixelSpacing": [3, 3],
        "ImageOrientationPatient": list(AXIAL), "SliceThickness": 4, "SpacingBetweenSlices": 4.4,
        "ImagePositionPatient": [-15 - 3 * 10 * (across - 1) / 2, -12 - 3 * 8 * (across - 1) / 2, 20],
    }  # fmt: skip
    return dicom(picture, CR_CLASS, **(base | tags))


def csa(name: str, text: str) -> bytes:
    body = text.encode() + b"\0"
    body += b"\0" * (-len(body) % 4)
    item = len(text).to_bytes(4, "little") + (len(text) + 1).to_bytes(4, "little") + bytes(8) + body
    field = name.encode().ljust(64, b"\0") + (1).to_bytes(4, "little") + b"US\0\0" + (6).to_bytes(4, "little")
    return (
        b"SV10\4\3\2\1"
        + (1).to_bytes(4, "little")
        + b"M\0\0\0"
        + field
        + (1).to_bytes(4, "little")
        + bytes(4)
        + item
    )


@pytest.mark.parametrize("n", [4, 7, 9, 30])
@pytest.mark.parametrize("where", ["tag", "csa"])
def test_a_mosaic_is_cut_into_its_slices(open_bytes: Opener, n: int, where: str) -> None:
    ds = mosaic(n)
    if where == "tag":
        ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", n)
    else:
        block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa("NumberOfImagesInMosaic", str(n)))
    study = open_bytes(dicom_bytes(ds))
    assert (study.kind, study.shape) == ("volume", (n, 8, 10))
    assert middles(study) == [100.0 + 10 * k for k in range(n)]
    assert study.spacing_mm == pytest.approx((4.4, 3, 3))
    assert study.affine is not None
    assert np.allclose(study.affine[:3, 3], [15, 12, 20])
    assert any("mosaic" in note for note in study.notes)


def test_a_mosaic_of_an_untold_number_is_said(open_bytes: Opener) -> None:
    study = open_bytes(dicom_bytes(mosaic(4)))
    assert (study.kind, any("mosaic" in note for note in study.notes)) == ("image", True)


def slide(sparse: bool, **tags: Any) -> tuple[Dataset, np.ndarray]:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 255, (21, 30, 3)).astype(np.uint8)
    padded = np.full((24, 32, 3), 255, np.uint8)
    padded[:21, :30] = whole
    spots = [(r, c) for r in range(0, 24, 8) for c in range(0, 32, 8)]
    if sparse:
        spots = [s for s in spots if s != (8, 16)][::-1]
        whole[8:16, 16:24] = 255
    tiles = np.stack([padded[r : r + 8, c : c + 8] for r, c in spots])
    own = [
        groups(PlanePositionSlideSequence={"RowPositionInTotalImagePixelMatrix": r + 1,
                                           "ColumnPositionInTotalImagePixelMatrix": c + 1})
        for r, c in spots
    ]  # fmt: skip
    shared = groups(PixelMeasuresSequence={"PixelSpacing": [0.001, 0.001]})
    base = {"Modality": "SM", "TotalPixelMatrixRows": 21, "TotalPixelMatrixColumns": 30}
    return multi_frame(tiles, SLIDE_CLASS, shared, own if sparse else [], **(base | tags)), whole


@pytest.mark.parametrize("sparse", [False, True])
def test_a_slide_is_stitched(open_bytes: Opener, sparse: bool) -> None:
    ds, whole = slide(sparse)
    study = open_bytes(dicom_bytes(ds))
    assert (study.kind, study.shape) == ("image", (1, 21, 30))
    assert np.array_equal(study.frames()[0], whole)
    assert study.spacing_mm == (None, 0.001, 0.001)
    small = open_bytes(dicom_bytes(ds), "small", limits=Limits(image_pixels=200))
    assert small.shape == (1, 11, 15)
    assert small.spacing_mm == (None, 0.002, 0.002)
    assert any("1/2" in note for note in small.notes)


@pytest.mark.parametrize(
    ("codec", "container", "syntax"),
    [
        ("libx264", "mp4", "1.2.840.10008.1.2.4.102"),
        ("libx264", "mpegts", "1.2.840.10008.1.2.4.102"),
        ("mpeg2video", "mpegts", "1.2.840.10008.1.2.4.100"),
        ("mpeg2video", "mpeg", "1.2.840.10008.1.2.4.101"),
    ],
)
def test_a_film_inside_a_file_is_played(open_bytes: Opener, codec: str, container: str, syntax: str) -> None:
    film = clip_bytes(20, container, codec)
    for parts in (1, 3):
        cut = [film[i * len(film) // parts : (i + 1) * len(film) // parts] for i in range(parts)]
        if parts > 1 and any(len(p) % 2 for p in cut[:-1]):
            cut = [film[: len(film) // 4 * 2], film[len(film) // 4 * 2 :]]
        frames = np.zeros((20, 48, 64, 3), np.uint8)
        ds = dicom(frames, US_CLASS, Modality="ES", PhotometricInterpretation="YBR_PARTIAL_420")
        packed(ds, cut, syntax)
        study = open_bytes(dicom_bytes(ds), f"{parts}", isolated=True)
        assert (study.kind, study.shape[1:], study.modality) == ("video", (48, 64), "ES")
        assert abs(len(study) - 20) <= 1
        assert study.frames(10, 11)[0, 20, 10].mean() == pytest.approx(30, abs=8)


def test_rle_and_plain_agree_in_colour(open_bytes: Opener) -> None:
    ds = dicom(two_colours(), US_CLASS, Modality="US")
    ds.compress(RLELossless, generate_instance_uid=False)
    assert colours_off(open_bytes(dicom_bytes(ds))) == 0
