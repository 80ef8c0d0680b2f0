"""Limits to the last unit (promise A2): what just fits is opened, one more is TooLarge and the limit is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from omnivmed.errors import StudyError
from omnivmed.io import open_study, pool
from omnivmed.limits import LOCAL, PUBLIC, Limits, size
from omnivmed.study import Study
from tests.io.makers import (
    cine,
    clip_bytes,
    ct_series,
    ct_slice,
    dicom_bytes,
    grid,
    mha_bytes,
    nifti_bytes,
    nrrd_bytes,
    picture_bytes,
    put,
    ramp,
    series_zip,
    zip_bytes,
)

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]
PICTURE = picture_bytes(ramp(24, 32))
SLICE = dicom_bytes(ct_slice(0, 60))  # 20 x 24
SERIES = series_zip(ct_series((0, 2.5, 5)))  # 3 x 20 x 24, 2 bytes each
CLIP = clip_bytes(30)  # 64 x 48, 25 per second
CINE = dicom_bytes(cine(6))  # 6 x 16 x 20
PAIR = zip_bytes({"a.dcm": SLICE, "b.txt": b"words"})
GRID = grid()
# (what, file, limit, the largest value at which it is refused)
CASES: list[tuple[str, bytes, str, Any]] = [
    ("picture", PICTURE, "image_pixels", 24 * 32),
    ("picture-bytes", PICTURE, "raw_voxel_bytes", 24 * 32 * 2),
    ("dicom", SLICE, "image_pixels", 20 * 24),
    ("dicom-bytes", SLICE, "raw_voxel_bytes", 20 * 24 * 2),
    ("series-bytes", SERIES, "raw_voxel_bytes", 3 * 20 * 24 * 2),
    ("series-voxels", SERIES, "volume_voxels", 3 * 20 * 24),
    ("cine-frames", CINE, "video_frames", 6),
    ("nifti-bytes", nifti_bytes(GRID), "raw_voxel_bytes", GRID.nbytes),
    ("nifti-voxels", nifti_bytes(GRID, packed=True), "volume_voxels", GRID.size),
    ("nrrd-voxels", nrrd_bytes(GRID), "volume_voxels", GRID.size),
    ("mha-voxels", mha_bytes(GRID, True), "volume_voxels", GRID.size),
    ("clip-pixels", CLIP, "video_pixels", 64 * 48),
    ("clip-seconds", CLIP, "video_seconds", 29 / 25),
    ("clip-frames", CLIP, "video_frames", 30),
    ("zip-members", PAIR, "zip_members", 2),
    ("zip-bytes", PAIR, "zip_bytes", len(SLICE) + 5),
]


@pytest.mark.parametrize(("data", "limit", "needs"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a2_what_just_fits_opens_and_one_more_is_refused(
    open_bytes: Opener, refuse_bytes: Refuser, data: bytes, limit: str, needs: Any
) -> None:
    fits: dict[str, Any] = {limit: needs}
    study = open_bytes(data, limits=Limits(**fits))
    assert study.frames(0, 1).dtype == np.uint8
    less = needs - 1 if isinstance(needs, int) else needs - 0.01
    short: dict[str, Any] = {limit: less}
    error = refuse_bytes(data, limits=Limits(**short))
    assert error.code == "TooLarge"
    assert "limit" in error.message
    assert any(c.isdigit() for c in error.message)


def test_a2_uploads_and_folders(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", PICTURE)
    put(tmp_path, "b.png", PICTURE)
    open_study(path, isolated=False, limits=Limits(upload_bytes=len(PICTURE))).close()
    with pytest.raises(StudyError, match="limit") as caught:
        open_study(path, isolated=False, limits=Limits(upload_bytes=len(PICTURE) - 1))
    assert caught.value.code == "TooLarge"
    with pytest.raises(StudyError, match="more than 1 files, which is the limit") as caught:
        open_study(tmp_path, isolated=False, limits=Limits(folder_files=1))
    assert caught.value.code == "TooLarge"


def test_a2_packed_dicom_is_bounded_before_it_is_parsed(open_bytes: Opener, refuse_bytes: Refuser) -> None:
    data = dicom_bytes(ct_slice(0, 60, TransferSyntaxUID=DeflatedExplicitVRLittleEndian))
    assert open_bytes(data).shape == (1, 20, 24)
    error = refuse_bytes(data, limits=Limits(inflate_bytes=500))
    assert error.code == "TooLarge"
    assert "limit" in error.message


@pytest.mark.skipif(not pool.supported(), reason="needs fork and descriptors over Unix sockets")
def test_a2_the_door_checks_again_what_a_worker_asks_for(tmp_path: Path) -> None:
    path = put(tmp_path, "a.nii", nifti_bytes(GRID))
    open_study(path, limits=Limits(volume_voxels=GRID.size)).close()
    with pytest.raises(StudyError, match="limit"):
        open_study(path, limits=Limits(volume_voxels=GRID.size - 1))


def test_a2_the_promised_limits_hold_and_are_told_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    from omnivmed.cli.doctor import _decoder
    from omnivmed.ui.page.parts import footer

    assert (PUBLIC.upload_bytes, LOCAL.upload_bytes) == (256 * 2**20, 2 * 2**30)
    for limits in (PUBLIC, LOCAL):
        assert (limits.image_pixels, limits.video_pixels, limits.video_seconds) == (
            64_000_000,
            8_300_000,
            14_400,
        )
        assert (limits.zip_members, limits.zip_bytes) == (4_000, 512 * 2**20)
        # A volume as large as allowed fits into a worker beside the packed file it came from.
        assert 2 * limits.raw_voxel_bytes + limits.inflate_bytes < limits.worker_memory
    assert PUBLIC.volume_voxels == 256_000_000
    assert all(
        getattr(PUBLIC, f.name) <= getattr(LOCAL, f.name)
        for f in fields(Limits)
        if f.name not in ("confirm_burned_in", "open_clips")
    )
    _decoder()
    told = capsys.readouterr().out
    for limits in (PUBLIC, LOCAL):
        page = footer(limits, "nano")
        for what, much in limits.describe():
            assert much in told, what
            assert f"{what} {much}" in page
    assert "process of its own" in told
    if pool.supported():
        assert all(wall in told for wall in pool.FAMILY.walls)
    assert size(256 * 2**20) == "256 MB"
