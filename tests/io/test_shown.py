"""Numbers and picture are one: for every reader, `frames()` is the window in force applied to `values()`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.study import Study
from tests.io.dicom_makers import middles, shown_as_windowed, side_by_side
from tests.io.makers import (
    CR_CLASS,
    cine,
    clip_bytes,
    ct_series,
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

Opener = Callable[..., Study]
SHARED = Path(__file__).resolve().parents[3] / "shared"
MADE: dict[str, Callable[[], bytes]] = {
    "png 8": lambda: picture_bytes(ramp(high=255).astype(np.uint8)),
    "png 16": lambda: picture_bytes(ramp()),
    "tiff float": lambda: picture_bytes(ramp().astype(np.float32), "TIFF"),
    "jpeg": lambda: picture_bytes(np.dstack([ramp(high=255)] * 3).astype(np.uint8), "JPEG"),
    "dicom inverted": lambda: dicom_bytes(
        dicom(ramp(high=4095), CR_CLASS, Modality="CR", PhotometricInterpretation="MONOCHROME1")
    ),
    "dicom signed": lambda: dicom_bytes(dicom((ramp().astype(int) - 500).astype(np.int16), Modality="MR")),
    "dicom 32": lambda: dicom_bytes(dicom(ramp().astype(np.uint32) * 1000, Modality="MR")),
    "dicom series": lambda: series_zip(ct_series()),
    "dicom scales": lambda: series_zip(
        [s for k in range(4) for s in ct_series((3.0 * k,), RescaleSlope=1 + k)]
    ),
    "dicom volumes": lambda: series_zip(side_by_side(2, 4, lambda v, k: {"EchoTime": 5.0 + v})),
    "dicom in time": lambda: series_zip(side_by_side(6, 1, lambda v, k: {"TriggerTime": 30.0 * v})),
    "dicom enhanced": lambda: dicom_bytes(enhanced_ct()),
    "dicom loop": lambda: dicom_bytes(jpeg_cine()),
    "dicom colour": lambda: dicom_bytes(cine()),
    "nifti": lambda: nifti_bytes(grid()),
    "nifti big endian": lambda: nifti_bytes(grid().astype(">i2")),
    "nifti double": lambda: nifti_bytes(grid() / 7.0),
    "nifti scaled": lambda: nifti_bytes(grid(), scl_slope=0.5, scl_inter=-20.0),
    "nrrd": lambda: nrrd_bytes(grid()),
    "nrrd big endian": lambda: nrrd_bytes(grid().byteswap(), endian="big"),
    "mha": lambda: mha_bytes(grid()),
    "mha big endian": lambda: mha_bytes(grid().byteswap(), BinaryDataByteOrderMSB="True"),
    "clip": clip_bytes,
}


@pytest.mark.parametrize("name", MADE)
def test_every_reader(open_bytes: Opener, name: str) -> None:
    ending = ".zip" if MADE[name]()[:2] == b"PK" else ""
    study = open_bytes(MADE[name](), "file" + ending)
    for shown in (
        study,
        *(study.with_window(w) for w in ((300.0, 50.0), (10.0, 4000.0)) if study.channels == 1),
    ):
        assert shown_as_windowed(shown) <= 1
    assert study.dtype.isnative
    assert len(middles(study)) == len(study)


def corpus() -> Iterator[tuple[str, Path]]:
    """Every hostile case, and the volumes, series and stills of the shared data."""
    if not SHARED.is_dir():
        return
    for case in json.loads((SHARED / "hostile/index.json").read_text())["cases"]:
        yield case["id"], SHARED / "hostile" / case["path"]
    series = {p.parent for p in (SHARED / "data").rglob("*.dcm")}
    files = [
        p for ending in ("*.nii.gz", "*.nii", "*.nrrd", "*.mha") for p in (SHARED / "data").rglob(ending)
    ]
    pictures = [p for ending in ("*.png", "*.jpg") for p in sorted((SHARED / "data").rglob(ending))[::200]]
    for path in [*sorted(series), *sorted(files), *pictures]:
        yield str(path.relative_to(SHARED)), path


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared corpora are not here")
def test_every_file_of_the_corpora() -> None:
    wrong: dict[str, Any] = {}
    seen = 0
    for name, path in corpus():
        try:
            study = open_study(path)
        except StudyError:
            continue
        with study:
            seen += 1
            try:
                off = shown_as_windowed(study)
            except StudyError:
                continue
            if off > 1 or not study.dtype.isnative:
                wrong[name] = off
    assert seen > 100
    assert wrong == {}
