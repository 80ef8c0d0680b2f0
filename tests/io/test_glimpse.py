"""One slice to look at while a long stack is read: the right one, the right way round, at the window of the whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.io.dicom_file import HEADER_BYTES, open_file
from omnivmed.io.job import Upload
from omnivmed.limits import LOCAL
from omnivmed.study import Study
from tests.io.makers import ct_series, dicom_bytes, grid, nifti_bytes, put, series_zip, zip_bytes

Z = 60
HEIGHTS = tuple(2.5 * i for i in range(Z))
OBLIQUE = np.array([[-1.9, -0.6, 0, 5], [0.6, -1.9, 0, 7], [0, 0, 3, -20], [0, 0, 0, 1]], float)
SAGITTAL = np.array([[0, 0, 3, 5], [2, 0, 0, 7], [0, 2, 0, -20], [0, 0, 0, 1]], float)
Y_COARSE = np.diag([1.0, 4.0, 1.0, 1.0])

FILES: dict[str, Callable[[], bytes]] = {
    "zip of DICOM, feet first": lambda: series_zip(ct_series(HEIGHTS)),
    "zip of DICOM, head first": lambda: series_zip(ct_series(HEIGHTS[::-1])),
    "zip of DICOM, prone": lambda: series_zip(
        ct_series(HEIGHTS, ImageOrientationPatient=[-1.0, 0.0, 0.0, 0.0, -1.0, 0.0])
    ),
    "NIfTI": lambda: nifti_bytes(grid(z=Z)),
    "NIfTI, packed, left to right": lambda: nifti_bytes(
        grid(z=Z), np.diag([-2.0, 2.0, -3.0, 1]), packed=True
    ),
    "NIfTI, oblique": lambda: nifti_bytes(grid(z=Z), OBLIQUE, packed=True),
    "NIfTI, sagittal": lambda: nifti_bytes(grid(z=Z), SAGITTAL),
}


def glimpses(path: Path) -> tuple[Study, list[Study]]:
    seen: list[Study] = []
    return open_study(path, glimpse=seen.append), seen


@pytest.mark.parametrize("name", FILES)
def test_it_is_a_slice_of_the_whole(tmp_path: Path, name: str) -> None:
    study, seen = glimpses(put(tmp_path, "study" + (".zip" if "zip" in name else ".nii"), FILES[name]()))
    with study:
        assert len(seen) == 1
        one = seen[0]
        assert (one.kind, one.shape) == ("volume", (1, *study.shape[1:]))
        same = [
            i for i in range(study.shape[0]) if np.array_equal(study.stored(i, i + 1)[0], one.stored()[0])
        ]
        assert len(same) == 1
        assert abs(same[0] - Z // 2) <= 1
        assert one.affine is not None
        assert study.affine is not None
        at = study.affine @ [same[0], 0, 0, 1]
        np.testing.assert_allclose(one.affine[:3, 3], at[:3], atol=1e-3)
        np.testing.assert_allclose(one.affine[:3, 1:3], study.affine[:3, 1:3], atol=1e-6)
        assert one.edge_letters() == study.edge_letters()
        assert (one.unit, one.plane, one.modality) == (study.unit, study.plane, study.modality)
        np.testing.assert_allclose(one.spacing_mm, study.spacing_mm)  # type: ignore[arg-type]
        if "DICOM" in name:
            assert one.window == study.window


def test_none_of_short_stacks_and_of_grids_whose_slices_run_across(tmp_path: Path) -> None:
    for data in (nifti_bytes(grid(z=12)), nifti_bytes(grid(y=50, z=Z), Y_COARSE), series_zip(ct_series())):
        study, seen = glimpses(put(tmp_path, "file", data))
        study.close()
        assert seen == []


def test_a_damaged_end_is_still_told(tmp_path: Path) -> None:
    """What was shown early does not make a cut file good."""
    data = nifti_bytes(grid(z=Z), packed=True)
    with pytest.raises(StudyError):
        glimpses(put(tmp_path, "cut.nii.gz", data[: int(len(data) * 0.9)]))


def test_raising_from_it_cancels(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(study: Study) -> None:
        raise Enough

    with pytest.raises(Enough):
        open_study(put(tmp_path, "study.zip", series_zip(ct_series(HEIGHTS))), glimpse=stop)


def test_headers_of_members_come_from_their_first_bytes_or_from_the_whole() -> None:
    opened: list[int] = []

    def member(data: bytes) -> Upload:
        def whole() -> io.BytesIO:
            opened.append(len(data))
            return io.BytesIO(data)

        return Upload(".dcm", len(data), whole, lambda n: data[:n])

    small = dicom_bytes(ct_series()[0])
    file = open_file(member(small), LOCAL)
    assert opened == [], "the pixels need not be unpacked"
    assert "PixelData" not in file.header
    assert file.element is not None
    assert (file.header.Rows, file.element.length) == (20, 20 * 24 * 2)
    assert len(file.pixel_bytes()) == 20 * 24 * 2
    assert opened == [len(small)]
    long = ct_series()[0]
    long.add_new(0x00091010, "OB", b"z" * HEADER_BYTES)
    assert open_file(member(dicom_bytes(long)), LOCAL).element is not None
    assert len(opened) == 2, "the pixels are not in sight"


def test_a_header_longer_than_the_first_bytes_is_read_whole(tmp_path: Path) -> None:
    long = ct_series(HEIGHTS[:4], ImageComments="x" * 10_000, PatientComments="y" * 10_000)
    for one in long:
        one.add_new(0x00091010, "OB", b"z" * HEADER_BYTES)
    members = {f"{i}.dcm": dicom_bytes(one) for i, one in enumerate(long)}
    path = put(tmp_path, "study.zip", zip_bytes(members, zipfile.ZIP_DEFLATED))
    with open_study(path, isolated=False) as study:
        assert study.shape == (4, 20, 24)
