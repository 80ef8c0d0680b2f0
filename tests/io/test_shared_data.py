"""Every real image, volume and clip of the shared collection opens, in the worker, with sane facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivmed.io import open_study

pytestmark = pytest.mark.slow

SUFFIXES = (".png", ".jpg", ".dcm", ".gz", ".nrrd", ".mp4", ".mov", ".mpeg")


def test_all_files_open(shared_dir: Path) -> None:
    files = [p for p in sorted((shared_dir / "data").rglob("*")) if p.suffix in SUFFIXES]
    assert len(files) > 1000
    for path in files:
        with open_study(path, isolated=path.suffix != ".jpg") as study:
            assert study.warnings == ["BurnedIn"] or not study.warnings or path.suffix == ".dcm", path.name
            shown = study.take([len(study) // 2])
            assert shown.dtype == np.uint8
            assert shown.shape == (1, *study.shape[1:], 3)
            assert np.isfinite(study.values(0, 1)).all()


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        ("ct_head_ge/dicom_series", (14, 512, 512)),
        ("totalseg_ct/dicom_series", (20, 512, 512)),
        ("mri_studyforrest/t1w_dicom_series_40slices.zip", (40, 384, 274)),
    ],
)
def test_series_open(shared_dir: Path, place: str, shape: tuple[int, int, int]) -> None:
    with open_study(shared_dir / "data" / place) as study:
        assert study.shape == shape
        assert study.plane == "axial"
        assert study.edge_letters() == ("R", "L", "A", "P")


@pytest.mark.parametrize("name", ["mri_stroke/T1.nii.gz", "mri_vs_seg/vs_seg_001_t1.nii.gz"])
def test_volumes_are_shown_axial(shared_dir: Path, name: str) -> None:
    with open_study(shared_dir / "data" / name) as study:
        assert (study.kind, study.plane) == ("volume", "axial")
        assert study.edge_letters() == ("R", "L", "A", "P")


def test_clips_read_to_their_end(shared_dir: Path) -> None:
    for path in sorted((shared_dir / "data" / "us_pocus").glob("*.m*"))[::4]:
        with open_study(path) as study:
            last = study.take([len(study) - 1, 0])
            assert last.shape[0] == 2
            assert study.warnings == []
