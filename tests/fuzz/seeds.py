"""One small good file per reader and encoding: what the fuzzer starts from, the same bytes in every run."""

from __future__ import annotations

import itertools
from functools import cache
from unittest import mock

import numpy as np
from pydicom.uid import JPEG2000Lossless, RLELossless

from tests.io.makers import (
    CR_CLASS,
    cine,
    clip_bytes,
    ct_series,
    ct_slice,
    dicom,
    dicom_bytes,
    enhanced_ct,
    grid,
    jpeg_cine,
    mha_bytes,
    nifti_bytes,
    nrrd_bytes,
    picture_bytes,
    ramp,
    series_zip,
)


@cache
def seeds() -> dict[str, bytes]:
    """Name to bytes."""
    numbers = (f"1.2.826.0.1.{n}" for n in itertools.count(1))
    with mock.patch("tests.io.makers.generate_uid", side_effect=numbers):
        return _seeds()


def _seeds() -> dict[str, bytes]:
    rgb = np.dstack([ramp(20, 24, 0, 255)] * 3).astype(np.uint8)
    found = {
        "png": picture_bytes(rgb),
        "png16": picture_bytes(ramp()),
        "jpeg": picture_bytes(rgb, "JPEG"),
        "gif": picture_bytes(rgb, "GIF"),
        "bmp": picture_bytes(rgb, "BMP"),
        "tiff": picture_bytes(rgb, "TIFF", compression="tiff_lzw"),
        "webp": picture_bytes(rgb, "WEBP"),
        "dicom": dicom_bytes(ct_slice(0, 60)),
        "cine": dicom_bytes(cine(3)),
        "jpeg-cine": dicom_bytes(jpeg_cine(3)),
        "enhanced": dicom_bytes(enhanced_ct()),
        "series": series_zip(ct_series((0, 2.5, 5))),
        "nifti": nifti_bytes(grid()),
        "nifti-gz": nifti_bytes(grid(), packed=True),
        "nifti2": nifti_bytes(grid(), second=True),
        "nrrd": nrrd_bytes(grid()),
        "nrrd-gz": nrrd_bytes(grid(), "gzip"),
        "mha": mha_bytes(grid()),
        "mha-z": mha_bytes(grid(), True),
        "mp4": clip_bytes(6, "mp4", "libx264"),
        "mkv": clip_bytes(6, "matroska", "mpeg4"),
        "webm": clip_bytes(6, "webm", "libvpx-vp9"),
        "avi": clip_bytes(6, "avi", "mjpeg"),
        "mpeg": clip_bytes(6, "mpeg", "mpeg2video"),
    }
    for name, syntax in (("rle", RLELossless), ("j2k", JPEG2000Lossless)):
        ds = dicom(ramp(32, 40), CR_CLASS, Modality="CR")
        ds.compress(syntax, generate_instance_uid=False)
        found[name] = dicom_bytes(ds)
    return found
