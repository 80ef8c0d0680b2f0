"""Imports that every worker shares, done once before the first fork."""

from __future__ import annotations

import contextlib
import importlib

_MODULES = (
    "PIL.Image",
    "PIL.ImageOps",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.TiffImagePlugin",
    "PIL.BmpImagePlugin",
    "PIL.WebPImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.PpmImagePlugin",
    "numpy.ma",
    "encodings.cp437",
    "av.subtitles.stream",
    "pydicom",
    "pydicom.pixels",
    "nibabel.nifti1",
    "nibabel.nifti2",
    "av",
    "omnivmed.io.read",
    "omnivmed.io.image",
    "omnivmed.io.dicom",
    "omnivmed.io.series",
    "omnivmed.io.nifti",
    "omnivmed.io.nrrd",
    "omnivmed.io.mha",
    "omnivmed.io.mgh",
    "omnivmed.io.tar",
    "omnivmed.io.video",
    "omnivmed.io.archive",
)
# Decoder plug-ins are optional: a file that needs a missing one is refused as Unsupported.
_PLUGINS = ("openjpeg", "libjpeg", "rle", "jpeg_ls", "pyjpegls", "pylibjpeg")


def everything() -> None:
    """Import readers and decoder plug-ins."""
    for name in _MODULES:
        importlib.import_module(name)
    for name in _PLUGINS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
