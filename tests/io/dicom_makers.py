"""DICOM files of the kinds that readers get wrong: volumes side by side, pictures in time, groups, streams, tiles."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from omnivmed.study import Study
from tests.io.makers import AXIAL, dicom

MR_CLASS = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_CLASS = "1.2.840.10008.5.1.4.1.1.4.1"
US_CLASS = "1.2.840.10008.5.1.4.1.1.6.1"


def mr_slice(value: int, height: float, **tags: Any) -> Dataset:
    """An axial MR picture of 12 x 16 pixels, its middle of this value, at this height in mm."""
    pixels = np.full((12, 16), value, np.uint16)
    pixels[0, :3] = 3000
    base = {
        "Modality": "MR",
        "PixelSpacing": [1.5, 1.5],
        "ImageOrientationPatient": list(AXIAL),
        "ImagePositionPatient": [-12.0, -9.0, float(height)],
        "SliceThickness": 4.0,
    }
    return dicom(pixels, MR_CLASS, **(base | tags))


def side_by_side(volumes: int, slices: int, tell: Any, **tags: Any) -> list[Dataset]:
    """Volumes of one series, shuffled: middle 100 + 400 v + 10 k at height 4 k; `tell(v, k)` gives the headers that
    differ between them."""
    made = [
        mr_slice(100 + 400 * v + 10 * k, 4.0 * k, **(tags | tell(v, k))) for v in range(volumes) for k in range(slices)
    ]  # fmt: skip
    return [made[i] for i in np.random.default_rng(3).permutation(len(made))]


def groups(**macros: dict[str, Any]) -> Dataset:
    """A functional group of these macros."""
    group = Dataset()
    for name, attributes in macros.items():
        macro = Dataset()
        for keyword, content in attributes.items():
            setattr(macro, keyword, content)
        setattr(group, name, [macro])
    return group


def multi_frame(
    pixels: np.ndarray, sop: str, shared: Dataset, own: Sequence[Dataset], **tags: Any
) -> Dataset:
    """A file with functional groups."""
    return dicom(
        pixels,
        sop,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=list(own),
        **tags,
    )


def packed(ds: Dataset, frames: Sequence[bytes], syntax: str) -> Dataset:
    """The same file with these code streams as its pixels."""
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.PixelData = encapsulate([f + b"\0" * (len(f) % 2) for f in frames])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def jpeg(
    pixels: np.ndarray, ids: bytes | None = None, adobe: int | None = None, plain: bool = False
) -> bytes:
    """Baseline JPEG of RGB pixels. `plain`: without JFIF; `ids`: component ids; `adobe`: an APP14 marker with this
    transform, 0 for samples that are RGB as they stand."""
    out = io.BytesIO()
    as_rgb = adobe == 0 or ids == b"RGB"
    picture = Image.fromarray(pixels)
    if as_rgb:  # the three planes are written as if they were YCbCr, so that nothing is converted
        picture = Image.merge("YCbCr", picture.split())
    picture.save(out, "JPEG", quality=97, subsampling=0)
    data = bytearray(out.getvalue())
    length = int.from_bytes(data[4:6], "big")
    if plain or as_rgb:
        del data[2 : 4 + length]
    if adobe is not None:
        data[2:2] = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([adobe])
    if ids is not None:
        frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
        for k, name in enumerate(ids):
            data[frame + 10 + 3 * k] = name
            data[scan + 5 + 2 * k] = name
    return bytes(data)


def lossless_jpeg(grey: np.ndarray, bits: int, shortest: bool) -> bytes:
    """ITU-T T.81 process 14 with the predictor to the left. Differences are numbers modulo 2**bits: written as the one
    of smaller size (`shortest`), or as they come."""
    height, width = grey.shape
    samples = grey.astype(int)
    left = np.concatenate([np.full((height, 1), 0), samples[:, :-1]], axis=1)
    left[1:, 0] = samples[:-1, 0]
    left[0, 0] = 1 << (bits - 1)
    text: list[str] = []
    for difference in (samples - left).ravel().tolist():
        if shortest:
            difference = (difference + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        size = abs(difference).bit_length()
        code = difference if difference > 0 else difference + (1 << size) - 1
        text.append(f"{size:05b}" + (f"{code:0{size}b}" if size else ""))
    stream = "".join(text)
    stream += "1" * (-len(stream) % 8)
    coded = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    frame = bytes([bits]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x01\x01\x11\x00"
    parts = [(0xC3, frame), (0xC4, table), (0xDA, b"\x01\x01\x00\x01\x00\x00")]
    segments = b"".join(
        b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2, "big") + body for marker, body in parts
    )
    return b"\xff\xd8" + segments + coded + b"\xff\xd9"


def middles(study: Study) -> list[float]:
    """The value in the middle of every slice or frame."""
    values = study.values()
    return [float(np.mean(v[v.shape[0] // 2, v.shape[1] // 2])) for v in values]


def shown_as_windowed(study: Study) -> float:
    """Grey levels by which the picture is off the window in force applied to the values; 0 for colour."""
    if study.channels == 3:
        return float(np.abs(study.frames(0, 1).astype(float) - study.values(0, 1)).max())
    assert study.window is not None
    level, width = study.window
    values = np.nan_to_num(study.values(0, 1), nan=-np.inf)
    grey = np.clip((values - level) / width + 0.5, 0, 1) * 255
    return float(np.abs(study.frames(0, 1)[..., 0] - (255 - grey if study.inverted else grey)).max())
