"""Stills by Pillow, with an allow-list: the format found in the bytes, and no other plug-in, gets to see the file."""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from omnivmed import provenance
from omnivmed.errors import StudyError
from omnivmed.io.facts import stored_facts
from omnivmed.io.job import Desk, Findings, Reading, Upload, check_plane
from omnivmed.limits import Limits
from omnivmed.study_info import StudyInfo
from omnivmed.window import Window, auto_window

# Declared sizes are checked here against the limits, before Pillow decodes anything.
Image.MAX_IMAGE_PIXELS = None
MAX_ASPECT = 200  # a strip longer than this has no picture in it

_PILLOW = {"png": "PNG", "jpeg": "JPEG", "gif": "GIF", "tiff": "TIFF", "bmp": "BMP", "webp": "WEBP"}
_DAMAGED = "The picture is cut or damaged; export it again."


def read_image(upload: Upload, found: str, limits: Limits, desk: Desk) -> Reading:
    """One still: grey as stored (8 or 16 bits, 32-bit integer or float), everything else as 8-bit RGB.

    EXIF orientation is applied, transparency is laid over black, animations and page stacks show their first picture.
    """
    findings = Findings()
    with upload.open() as file:
        try:
            with Image.open(file, formats=[_PILLOW[found]]) as picture:
                check_plane(picture.height, picture.width, limits)
                _check_shape(picture.height, picture.width)
                _note_frames(picture, found, findings)
                if found in ("gif", "webp", "tiff"):
                    picture.seek(0)
                picture.load()
                upright: Image.Image = picture
                with contextlib.suppress(Exception):  # a damaged EXIF block only costs the turn it asks for
                    upright = ImageOps.exif_transpose(picture)
                pixels = _pixels(upright)
                inverted = _white_is_zero(picture)
                origin = provenance.origin_of(picture.info, pixels)
        except StudyError:
            raise
        except UnidentifiedImageError:
            raise StudyError("Corrupt", _DAMAGED) from None
        except (Image.DecompressionBombError, MemoryError):
            raise StudyError(
                "TooLarge",
                f"The picture unpacks to more than the limit of {limits.image_pixels / 1e6:.0f} million pixels; "
                "send a smaller one.",
            ) from None
        except (
            OSError,
            SyntaxError,
            ValueError,
            EOFError,
            struct.error,
            zlib.error,
            KeyError,
            IndexError,
            TypeError,
        ):
            raise StudyError("Corrupt", _DAMAGED) from None
    array = desk.allocate((1, *pixels.shape), pixels.dtype)
    array[0] = pixels
    rgb = pixels.ndim == 3
    if not rgb and pixels.dtype.kind == "f" and not np.all(np.isfinite(pixels)):
        findings.warn("NonFinite", "The picture holds values that are not numbers; they are shown black.")
    if origin is not None:
        findings.warn("Synthetic", origin.sentence)
    auto = None if rgb else auto_window(pixels)
    info = StudyInfo(
        kind="image",
        channels=3 if rgb else 1,
        window=None if rgb else full_range(pixels) or auto,
        file_window=None if rgb else full_range(pixels),
        auto_window=auto,
        unit="rgb" if rgb else "raw",
        inverted=inverted and not rgb,
    )
    return Reading(findings.into(stored_facts(info, array)), array)


def _white_is_zero(picture: Image.Image) -> bool:
    """A grey TIFF whose lowest value is white (PhotometricInterpretation 0, TIFF 6.0 section 4) and stays so: Pillow
    turns bilevel and 8-bit samples on loading, wider ones it leaves."""
    told = getattr(picture, "tag_v2", None)
    return told is not None and told.get(262) == 0 and picture.mode not in ("1", "L")


def _check_shape(rows: int, columns: int) -> None:
    if rows * columns < 2:
        raise StudyError("Unsupported", "The picture is a single pixel; there is nothing to see in it.")
    if max(rows, columns) > MAX_ASPECT * min(rows, columns):
        raise StudyError(
            "Unsupported",
            f"The picture is a strip of {columns} x {rows} pixels; crop it to what should be seen.",
        )


def _note_frames(picture: Image.Image, found: str, findings: Findings) -> None:
    count = int(getattr(picture, "n_frames", 1)) if found in ("gif", "webp", "tiff", "png") else 1
    if count > 1:
        what = "pages" if found == "tiff" else "frames"
        findings.warn("Animated", f"The file holds {count} {what}; the first is shown.")


def _pixels(picture: Image.Image) -> NDArray[np.generic]:
    """(H,W) grey in its own depth or (H,W,3) uint8."""
    mode = picture.mode
    if mode == "1":
        return np.asarray(picture.convert("L"))
    if mode == "L":
        return np.asarray(picture)
    if mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if mode == "I":
        wide = np.asarray(picture)
        if wide.size and wide.min() >= 0 and wide.max() <= 65535:
            return wide.astype(np.uint16)
        return wide.astype(np.int32)
    if mode == "F":
        return np.asarray(picture).astype(np.float32)
    if mode == "LA":
        grey, alpha = (np.asarray(band, dtype=np.uint16) for band in picture.split())
        return ((grey * alpha + 127) // 255).astype(np.uint8)
    if mode in ("RGBA", "PA", "La", "RGBa") or (mode == "P" and "transparency" in picture.info):
        rgba = np.asarray(picture.convert("RGBA"))
        alpha = rgba[..., 3:].astype(np.uint16)
        return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)
    return np.asarray(picture.convert("RGB"))


def full_range(pixels: NDArray[np.generic]) -> Window | None:
    """The window of a grey picture without one: the whole range of its depth, so that nothing is clipped.

    16-bit files often carry 10 to 14 bits: the range ends at the next power of two. None for float and signed values.
    """
    if pixels.dtype == np.uint8:
        return (127.5, 255.0)
    if pixels.dtype != np.uint16:
        return None
    top = int(pixels.max(initial=0))
    bits = next(b for b in (8, 10, 12, 14, 16) if top < 2**b)
    high = float(2**bits - 1)
    return (high / 2.0, high)
