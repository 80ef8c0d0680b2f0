"""What the readers say of values and places, against SimpleITK: a second opinion that shares no code with them.

GDCM decodes the DICOM there, ITK parses the volumes. The page never asks it, because it opens files by their path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from omnivmed import open_study
from omnivmed.study import Study
from tests.io.dicom_makers import mr_slice

SHAPE = (9, 14, 11)  # slices, rows, columns
OBLIQUE = (0.9, -0.3, 0.31622777, 0.38, 0.9, -0.21, -0.22, 0.31, 0.92)


def volume(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 2000, shape, dtype=np.int16)


def turned() -> tuple[float, ...]:
    """Directions of an oblique volume, orthonormal to the last bit that matters."""
    q, _ = np.linalg.qr(np.array(OBLIQUE).reshape(3, 3))
    return tuple((q * np.sign(np.linalg.det(q))).ravel().tolist())


def written(path: Path, oblique: bool, compress: bool = False) -> Path:
    image: Any = sitk.GetImageFromArray(volume())  # whose setters have no types
    image.SetSpacing((0.8, 1.1, 2.5))
    image.SetOrigin((-31.0, 12.5, 140.25))
    if oblique:
        image.SetDirection(turned())
    sitk.WriteImage(image, str(path), compress)
    return path


def second(files: Path | list[Path]) -> Any:
    return sitk.ReadImage([str(f) for f in files] if isinstance(files, list) else str(files))


def same_everywhere(study: Study, image: Any, count: int = 200) -> None:
    """Voxels of ours, by their place in the patient, hold the value that the second reader has at this place."""
    values = study.values(0, study.shape[0])
    assert study.affine is not None
    affine = np.asarray(study.affine)
    other = sitk.GetArrayFromImage(image)
    assert sorted(values.shape) == sorted(other.shape)
    rng = np.random.default_rng(1)
    for _ in range(count):
        place = [int(rng.integers(n)) for n in values.shape]
        right, front, up = (affine @ [*place, 1.0])[:3]
        i, j, k = image.TransformPhysicalPointToContinuousIndex((-right, -front, up))  # RAS mm to LPS mm
        nearest = (round(k), round(j), round(i))
        assert np.allclose((k, j, i), nearest, atol=0.02)
        assert values[tuple(place)] == pytest.approx(float(other[nearest]), abs=1e-3)


@pytest.mark.parametrize("oblique", [False, True], ids=["straight", "oblique"])
@pytest.mark.parametrize(
    ("ending", "compress"),
    [("nii", False), ("nii.gz", True), ("nrrd", False), ("nrrd", True), ("mha", False), ("mha", True)],
)
def test_volumes_that_itk_wrote(tmp_path: Path, ending: str, compress: bool, oblique: bool) -> None:
    path = written(tmp_path / f"v.{ending}", oblique, compress)
    with open_study(path) as study:
        same_everywhere(study, second(path))


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, 1)])
def test_nifti_with_scaling_and_turned_axes(tmp_path: Path, flips: tuple[int, int, int]) -> None:
    affine = np.diag([0.9 * flips[0], 1.3 * flips[1], 3.0 * flips[2], 1.0])
    affine[:3, 3] = (-40.0, 25.0, 7.0)
    affine = affine[:, [1, 2, 0, 3]]  # columns of the patient along another axis of the file
    image = nibabel.Nifti1Image(volume(2), affine)
    image.header.set_slope_inter(0.5, -1024.0)
    path = tmp_path / "v.nii"
    image.to_filename(path)
    with open_study(path) as study:
        same_everywhere(study, second(path))


CODINGS = {
    "plain": None,
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_dicom_series_in_each_lossless_coding(tmp_path: Path, coding: str) -> None:
    files = []
    for k in range(6):
        data = mr_slice(300 + 50 * k, 4.0 * k, InstanceNumber=k + 1, RescaleSlope=2.0, RescaleIntercept=-7.0)
        pixels = np.random.default_rng(k).integers(0, 4095, (64, 48), dtype=np.uint16)
        data.Rows, data.Columns = pixels.shape
        data.PixelData = pixels.tobytes()
        if syntax := CODINGS[coding]:
            data.compress(syntax, generate_instance_uid=False)
        files.append(tmp_path / f"{k}.dcm")
        data.save_as(files[-1], enforce_file_format=True)
    shuffled = [files[k] for k in (3, 0, 5, 1, 4, 2)]
    with open_study(shuffled) as study:
        same_everywhere(study, second(files))


def test_the_samples() -> None:
    from omnivmed.resources import samples_dir

    for name in ("ct_abdomen.nii.gz", "mr_head.nii.gz"):
        with open_study(samples_dir() / name) as study:
            same_everywhere(study, second(samples_dir() / name))
    with open_study(samples_dir() / "chest_xray.dcm") as study:
        other = np.squeeze(sitk.GetArrayFromImage(second(samples_dir() / "chest_xray.dcm")))
        # Stored as MONOCHROME1: ours says what is bright when it is shown, the other one what is stored.
        assert study.inverted
        assert np.ptp(study.values(0, 1)[0] + other) == 0
