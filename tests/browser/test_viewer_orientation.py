"""Left is left: a mark at the patient's left, front and head end, from files of every orientation, on the screen.

The mark's place is known in patient millimetres, so the test does not trust the letters: it looks where the mark
lies in each plane as the viewer draws it. That the browser draws `screen(...)` is held by test_viewer_browser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.io import open_study
from omnivmed.study import Study
from omnivmed.ui.canvas.planes import plane_specs
from tests.ui.canvas.test_payload import screen

EDGES = {"axial": list("RLAP"), "coronal": list("RLSI"), "sagittal": list("APSI")}
SIZE = 24  # voxels per axis; 2 mm each


def rotation(degrees: float) -> np.ndarray:
    """About the patient's long axis."""
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


def marked(affine: np.ndarray) -> np.ndarray:
    """int16 (SIZE, SIZE, SIZE) over index (i, j, k): 1000 near RAS (-15, 15, 15) mm (left, front, head)."""
    index = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), -1)
    ras = index @ affine[:3, :3].T + affine[:3, 3]
    inside = np.linalg.norm(ras - [-15, 15, 15], axis=-1) < 6
    return np.where(inside, np.int16(1000), np.int16(0))


def centred(directions: np.ndarray) -> np.ndarray:
    """Affine whose columns are `directions` times 2 mm, with the volume's middle at the origin."""
    affine = np.eye(4)
    affine[:3, :3] = directions * 2.0
    affine[:3, 3] = -affine[:3, :3] @ np.full(3, (SIZE - 1) / 2)
    return affine


NIFTI = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "LAS": np.diag([-1.0, 1.0, 1.0]),
    "RAI": np.diag([1.0, 1.0, -1.0]),
    "coronal order": np.eye(3)[:, [0, 2, 1]],
    "sagittal order, all reversed": -np.eye(3)[:, [1, 2, 0]],
    "oblique 20 degrees": rotation(20),
    "oblique, left-handed": rotation(-15) @ np.diag([-1.0, 1.0, 1.0]),
}
DICOM = {
    "axial": ([1, 0, 0], [0, 1, 0]),
    "axial, prone": ([-1, 0, 0], [0, -1, 0]),
    "coronal": ([1, 0, 0], [0, 0, -1]),
    "sagittal": ([0, 1, 0], [0, 0, -1]),
    "axial, oblique 20 degrees": ([np.cos(0.35), np.sin(0.35), 0], [-np.sin(0.35), np.cos(0.35), 0]),
}


def check(study: Study) -> None:
    values = study.values()
    where = [round(float(v)) for v in np.argwhere(values > 500).mean(axis=0)]
    specs = plane_specs(study)
    assert sorted(str(s["name"]) for s in specs) == ["axial", "coronal", "sagittal"]
    for spec in specs:
        picture = screen(values, spec, where[spec["axis"]])
        down, across = np.argwhere(picture > 500).mean(axis=0) / picture.shape
        assert down < 0.5, (spec, "front and head are up")
        assert (across < 0.5) == (spec["name"] == "sagittal"), (
            spec,
            "left is right on the screen, front is left",
        )
        assert spec["letters"] == EDGES[spec["name"]]


@pytest.mark.parametrize("name", NIFTI)
def test_nifti(tmp_path: Path, name: str) -> None:
    nib: Any = pytest.importorskip("nibabel")
    affine = centred(NIFTI[name])
    path = tmp_path / "v.nii.gz"
    nib.save(nib.Nifti1Image(marked(affine), affine), path)
    with open_study(path, isolated=False) as study:
        check(study)


@pytest.mark.parametrize("name", DICOM)
def test_dicom(tmp_path: Path, name: str) -> None:
    pydicom: Any = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    across, down = (np.array(v, float) for v in DICOM[name])
    normal = np.cross(across, down)
    lps_to_ras = np.diag([-1.0, -1.0, 1.0])
    affine = centred(lps_to_ras @ np.stack([across, down, normal], axis=1))
    volume = marked(affine)  # (column, row, slice)
    series = generate_uid()
    for k in range(SIZE):
        data = pydicom.Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality = series, generate_uid(), "CT"
        data.InstanceNumber = SIZE - k
        data.ImageOrientationPatient = [*across, *down]
        corner = affine @ [0, 0, k, 1]
        data.ImagePositionPatient = list(lps_to_ras @ corner[:3])
        data.PixelSpacing, data.SliceThickness = [2.0, 2.0], 2.0
        data.Rows = data.Columns = SIZE
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        data.PixelData = np.ascontiguousarray(volume[:, :, k].T).tobytes()
        data.save_as(tmp_path / f"{k:03d}.dcm", enforce_file_format=True)
    with open_study(tmp_path, isolated=False) as study:
        check(study)
