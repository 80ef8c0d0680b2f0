"""Stills: depth, colour, orientation, animation, damage and bombs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from omnivmed.errors import StudyError
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.io.makers import picture_bytes, ramp

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]


def colours() -> np.ndarray:
    picture = np.zeros((12, 16, 3), np.uint8)
    picture[:6, :8], picture[:6, 8:], picture[6:, :8] = (220, 20, 20), (20, 200, 20), (20, 20, 220)
    return picture


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header declares this size, with a handful of data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG"])
def test_colour_formats(open_bytes: Opener, kind: str) -> None:
    options = (
        {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    )
    study = open_bytes(picture_bytes(colours(), kind, **options))
    assert (study.kind, study.shape, study.channels, study.unit, study.window) == (
        "image",
        (1, 12, 16),
        3,
        "rgb",
        None,
    )
    assert np.abs(study.frames()[0].astype(int) - colours()).max() <= (12 if kind == "JPEG" else 0)
    assert study.warnings == []


def test_grey_keeps_its_depth(open_bytes: Opener) -> None:
    deep = ramp(24, 32, 0, 65535)
    study = open_bytes(picture_bytes(deep))
    assert study.dtype == np.uint16
    assert study.window == (32767.5, 65535.0)
    assert np.array_equal(study.values()[0], deep)
    shown = study.frames()[0, ..., 0]
    assert shown.min() == 0
    assert shown.max() == 255
    assert abs(int(shown[12, 16]) - round(deep[12, 16] / 257)) <= 1


def test_twelve_bits_in_sixteen_are_not_black(open_bytes: Opener) -> None:
    study = open_bytes(picture_bytes(ramp(24, 32, 0, 4000)))
    assert study.window == (2047.5, 4095.0)
    assert study.frames().max() > 240


def test_exif_turn_is_applied_and_a_bad_one_ignored(open_bytes: Opener) -> None:
    for orientation, shape in ((6, (1, 16, 12)), (77, (1, 12, 16))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        study = open_bytes(picture_bytes(colours(), "JPEG", exif=exif))
        assert study.shape == shape


def test_transparency_lies_over_black(open_bytes: Opener) -> None:
    rgba = np.dstack([colours(), np.full((12, 16), 128, np.uint8)])
    assert abs(int(open_bytes(picture_bytes(rgba)).frames()[0, 0, 0, 0]) - 110) <= 1


def test_animation_shows_its_first_frame_and_says_so(open_bytes: Opener) -> None:
    out = io.BytesIO()
    frames = [Image.fromarray(np.full((10, 12), 60 * k, np.uint8)) for k in range(3)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    study = open_bytes(out.getvalue())
    assert study.warnings == ["Animated"]
    assert study.frames()[0, 0, 0, 0] == 0


def test_pages_show_the_first_and_say_so(open_bytes: Opener) -> None:
    out = io.BytesIO()
    pages = [Image.fromarray(np.full((10, 12), 60 * k, np.uint8)) for k in range(3)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    assert open_bytes(out.getvalue()).warnings == ["Animated"]


def test_wrong_ending_is_told(open_bytes: Opener) -> None:
    assert open_bytes(picture_bytes(colours()), "scan.dcm").warnings == ["WrongExtension"]
    assert open_bytes(picture_bytes(colours()), "scan.unheard").warnings == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_cut_pictures_are_refused(refuse_bytes: Refuser, kind: str) -> None:
    rng = np.random.default_rng(0)
    data = picture_bytes(rng.integers(0, 255, (40, 50, 3), np.uint8), kind)
    assert refuse_bytes(data[: len(data) * 2 // 3]).code == "Corrupt"


def test_declared_size_is_refused_before_decoding(refuse_bytes: Refuser, open_bytes: Opener) -> None:
    assert refuse_bytes(png_claiming(40_000, 40_000)).code == "TooLarge"
    limits = Limits(image_pixels=192)
    assert open_bytes(picture_bytes(colours()), limits=limits).shape == (1, 12, 16)
    assert refuse_bytes(picture_bytes(colours()), limits=Limits(image_pixels=191)).code == "TooLarge"


def test_strips_and_single_pixels_are_refused(refuse_bytes: Refuser) -> None:
    assert refuse_bytes(picture_bytes(np.zeros((2, 3000), np.uint8))).code == "Unsupported"
    assert refuse_bytes(picture_bytes(np.zeros((1, 1), np.uint8))).code == "Unsupported"


def test_float_tiff_with_holes(open_bytes: Opener) -> None:
    values = np.linspace(-1, 1, 120, dtype=np.float32).reshape(10, 12)
    values[3, 3] = np.nan
    study = open_bytes(picture_bytes(values, "TIFF"))
    assert study.warnings == ["NonFinite"]
    assert study.frames()[0, 3, 3, 0] == 0
    assert np.isnan(study.values()[0, 3, 3])


def plain_tiff(pixels: np.ndarray, photometric: int) -> bytes:
    """An uncompressed grey TIFF in one strip."""
    raw = pixels.tobytes()
    tags = [(256, pixels.shape[1]), (257, pixels.shape[0]), (258, 8 * pixels.dtype.itemsize), (259, 1)]
    tags += [(262, photometric), (273, 8), (277, 1), (278, pixels.shape[0]), (279, len(raw))]
    if pixels.dtype.kind == "f":
        tags.append((339, 3))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, content) for tag, content in tags)
    return (
        b"II*\0" + struct.pack("<I", 8 + len(raw)) + raw + struct.pack("<H", len(tags)) + entries + bytes(4)
    )


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_zero_may_be_white(open_bytes: Opener, dtype: str) -> None:
    """TIFF PhotometricInterpretation 0 is shown as the negative of 1, whatever the depth."""
    pixels = ramp(high=250).astype(dtype)
    black, white = (open_bytes(plain_tiff(pixels, p), f"{p}.tif") for p in (1, 0))
    assert np.abs(white.frames().astype(int) - (255 - black.frames())).max() <= 1
    assert black.frames()[0, 0, 0, 0] < 20 < 200 < white.frames()[0, 0, 0, 0]
