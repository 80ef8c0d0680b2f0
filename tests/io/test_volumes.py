"""NIfTI, NRRD and MHA: orientation to the voxel, scale, cut data, bombs, detached data."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, ornt_transform

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.io.orient import radiological, turned_affine
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.io.makers import (
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
)

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]


def check_world(study: Study, values_xyz: np.ndarray, affine_xyz: np.ndarray) -> None:
    """Every voxel of the file is found at its place in the patient."""
    assert study.affine is not None
    shown = study.values()
    inverse = np.linalg.inv(study.affine)
    for index in np.ndindex(values_xyz.shape):
        world = affine_xyz @ [*index, 1.0]
        s, r, c = np.round((inverse @ world)[:3]).astype(int)
        assert shown[s, r, c] == values_xyz[index]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "ASL", "SRA", "RSA"])
def test_any_storage_order_is_shown_axial(open_bytes: Opener, codes: str) -> None:
    base = nib.Nifti1Image(
        grid(6, 8, 5), np.array([[2.0, 0, 0, -7], [0, 2, 0, 5], [0, 0, 2, 11], [0, 0, 0, 1]])
    )
    turned = base.as_reoriented(ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes))))
    values = np.asarray(turned.dataobj)
    study = open_bytes(nifti_bytes(values, turned.affine), "a.nii")
    assert (study.kind, study.plane, study.shape) == ("volume", "axial", (5, 8, 6))
    assert study.edge_letters() == ("R", "L", "A", "P")
    assert study.edge_letters(1) == ("R", "L", "I", "S")
    assert study.edge_letters(2) == ("A", "P", "I", "S")
    check_world(study, values, turned.affine)


@pytest.mark.parametrize(
    ("steps", "plane", "letters"),
    [
        ((1.0, 1.0, 5.0), "axial", ("R", "L", "A", "P")),
        ((1.0, 5.0, 1.0), "coronal", ("R", "L", "S", "I")),
        ((5.0, 1.0, 1.0), "sagittal", ("A", "P", "S", "I")),
    ],
)
def test_the_coarse_axis_is_the_slice_axis(
    open_bytes: Opener, steps: tuple[float, ...], plane: str, letters: tuple[str, ...]
) -> None:
    affine = np.diag([*steps, 1.0])
    study = open_bytes(nifti_bytes(grid(), affine), "a.nii")
    assert study.plane == plane
    assert study.edge_letters() == letters
    assert study.spacing_mm == (5.0, 1.0, 1.0)
    check_world(study, grid(), affine)


@settings(max_examples=60)
@given(st.tuples(*[st.floats(-np.pi, np.pi)] * 3), st.tuples(*[st.floats(0.3, 6.0)] * 3), st.booleans())
def test_turning_is_a_right_handed_relabelling(
    angles: tuple[float, ...], steps: tuple[float, ...], mirrored: bool
) -> None:
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.asarray(steps) * ([-1, 1, 1] if mirrored else [1, 1, 1])
    found = radiological(affine)
    shape = (4, 5, 6)
    new = turned_affine(found, shape)
    numbers = np.arange(120).reshape(shape)
    shown = numbers.transpose(found.axes)[tuple(slice(None, None, -1 if f else 1) for f in found.flips)]
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        place = np.round((np.linalg.inv(new) @ affine @ [*index, 1])[:3]).astype(int)
        assert shown[tuple(place)] == numbers[index]
    # Index axes (column, row, slice) in RAS: columns to the left and so on make a right-handed frame in LPS.
    assert np.linalg.det(new[:3, [2, 1, 0]]) > 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_nifti_versions_and_scale(open_bytes: Opener, packed: bool, second: bool) -> None:
    data = nifti_bytes(grid(), packed=packed, second=second, scl_slope=2.5, scl_inter=-10)
    study = open_bytes(data, "a.nii.gz" if packed else "a.nii")
    assert study.dtype == np.int16
    assert study.values().min() == -10
    assert study.values().max() == 2.5 * 239 - 10
    assert study.warnings == []


def test_slope_zero_means_no_scale(open_bytes: Opener) -> None:
    assert open_bytes(nifti_bytes(grid(), scl_slope=0, scl_inter=7), "a.nii").values().max() == 239


def test_absurd_scales_are_left_out_and_told(open_bytes: Opener) -> None:
    for slope, intercept in ((1e30, 0), (1, np.inf)):
        study = open_bytes(nifti_bytes(grid(), scl_slope=slope, scl_inter=intercept), "a.nii")
        assert study.warnings == ["BadHeader"]
        assert study.values().max() == 239


def test_four_dimensions_show_one_volume(open_bytes: Opener) -> None:
    values = np.stack([grid(), grid() + 1000], axis=3)
    data = nifti_bytes(values, packed=True)
    first, second = open_bytes(data, "a.nii.gz"), open_bytes(data, "b.nii.gz", series=1)
    assert first.warnings == second.warnings == ["MultiVolume"]
    assert len(first.series) == 2
    assert (first.values().max(), second.values().max()) == (239, 1239)


def test_two_dimensions_are_an_image(open_bytes: Opener) -> None:
    study = open_bytes(nifti_bytes(grid()[:, :, 0]), "a.nii")
    assert (study.kind, study.shape) == ("image", (1, 8, 6))


def test_hounsfield_units_are_recognised(open_bytes: Opener) -> None:
    rng = np.random.default_rng(1)
    body = rng.normal(40, 60, (30, 30, 20))
    body[:10] = -1000
    body[25:] = 700
    study = open_bytes(nifti_bytes(body.astype(np.int16)), "a.nii")
    assert (study.modality, study.unit) == ("CT", "HU")
    assert study.window == (40.0, 400.0)
    assert open_bytes(nifti_bytes((body - body.min()).astype(np.int16)), "b.nii").modality is None


def test_a8_letters_only_where_the_file_tells_the_orientation(open_bytes: Opener) -> None:
    told = {
        "a.nii": nifti_bytes(grid(), np.diag([-2.0, 2, 5, 1])),
        "a.zip": series_zip(ct_series()),
        "a.mha": mha_bytes(grid()),
    }
    untold = {
        "b.png": picture_bytes(ramp()),
        "b.nii": nifti_bytes(grid(), sform_code=0, qform_code=0),
        "b.dcm": dicom_bytes(ct_slice(0, 60, ImageOrientationPatient=None, ImagePositionPatient=None)),
        "b.mp4": clip_bytes(4),
    }
    for name, data in (told | untold).items():
        study = open_bytes(data, name)
        assert (study.edge_letters() is not None) == (name in told), name
        assert study.edge_letters(1) is None or name in told, name


def test_no_orientation_gives_no_letters(open_bytes: Opener) -> None:
    study = open_bytes(nifti_bytes(grid(), sform_code=0, qform_code=0), "a.nii")
    assert study.warnings == ["NoOrientation"]
    assert study.edge_letters() is None
    assert study.affine is None
    assert np.array_equal(study.values(), grid().transpose(2, 1, 0))


def test_not_a_number(open_bytes: Opener) -> None:
    values = grid().astype(np.float32)
    values[1, 1, 1] = np.nan
    values[2, 2, 2] = np.inf
    study = open_bytes(nifti_bytes(values), "a.nii")
    assert study.warnings == ["NonFinite"]
    assert study.frames().max() == 255


def test_float64_and_big_endian(open_bytes: Opener) -> None:
    wide = open_bytes(nifti_bytes(grid().astype(np.float64)), "a.nii")
    assert wide.dtype == np.float32
    assert wide.values().max() == 239
    big = nib.Nifti1Image(grid().astype(">i2"), np.eye(4), nib.Nifti1Header(endianness=">"))
    assert np.array_equal(open_bytes(big.to_bytes(), "b.nii").values(), wide.values())


@pytest.mark.parametrize("packed", [False, True])
def test_cut_and_damaged_nifti(refuse_bytes: Refuser, packed: bool) -> None:
    rng = np.random.default_rng(0)
    data = nifti_bytes(rng.integers(0, 1000, (20, 20, 20)).astype(np.int16), packed=packed)
    name = "a.nii.gz" if packed else "a.nii"
    assert refuse_bytes(data[: len(data) // 2], name).code == "Corrupt"
    assert refuse_bytes(data[:200], name).code == "Corrupt"
    if packed:
        wrong_sum = bytearray(data)
        wrong_sum[-6] ^= 0xFF
        assert refuse_bytes(bytes(wrong_sum), name).code == "Corrupt"


def test_impossible_nifti_headers(refuse_bytes: Refuser) -> None:
    dim = np.array([3, 6, 8, 0, 1, 1, 1, 1], np.int16)
    assert refuse_bytes(nifti_bytes(grid(), dim=dim), "a.nii").code == "Corrupt"
    dim[3] = -5
    assert refuse_bytes(nifti_bytes(grid(), dim=dim), "a.nii").code == "Corrupt"
    dim[1:4] = 32767
    assert refuse_bytes(nifti_bytes(grid(), dim=dim), "a.nii").code == "TooLarge"
    assert refuse_bytes(nifti_bytes(grid(), vox_offset=1e9), "a.nii").code == "Corrupt"
    assert refuse_bytes(nifti_bytes(grid(), vox_offset=np.nan), "a.nii").code == "Corrupt"
    assert refuse_bytes(nifti_bytes(grid(), datatype=9999), "a.nii").code in ("Corrupt", "Unsupported")
    assert refuse_bytes(nifti_bytes(grid().astype(np.complex64)), "a.nii").code == "Unsupported"
    assert refuse_bytes(nifti_bytes(grid(), magic=b"ni1"), "a.hdr").code == "Unsupported"


def test_gzip_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    head = nifti_bytes(np.zeros((1, 1, 1), np.int16), dim=np.array([3, 900, 900, 900, 1, 1, 1, 1], np.int16))
    path = put(tmp_path, "a.nii.gz", gzip.compress(head[:352]))
    with pytest.raises(StudyError) as caught:
        open_study(path)
    assert caught.value.code == "TooLarge"


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_nrrd(open_bytes: Opener, encoding: str) -> None:
    study = open_bytes(nrrd_bytes(grid(), encoding), "a.nrrd")
    assert (study.kind, study.plane, study.warnings) == ("volume", "axial", [])
    check_world(study, grid(), np.array([[-2.0, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]))


def test_nrrd_in_ras(open_bytes: Opener) -> None:
    study = open_bytes(nrrd_bytes(grid(), space="right-anterior-superior"), "a.nrrd")
    check_world(study, grid(), np.array([[2.0, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]]))


@pytest.mark.parametrize("packed", [False, True])
def test_mha(open_bytes: Opener, packed: bool) -> None:
    study = open_bytes(mha_bytes(grid(), packed), "a.mha")
    assert study.warnings == []
    check_world(study, grid(), np.array([[-2.0, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]))


def test_data_in_other_files_are_never_followed(refuse_bytes: Refuser, tmp_path: Path) -> None:
    secret = put(tmp_path, "secret.raw", grid().tobytes(order="F"))
    for data in (
        nrrd_bytes(grid(), **{"data file": str(secret)}),
        nrrd_bytes(grid(), datafile="secret.raw"),
        mha_bytes(grid(), ElementDataFile=str(secret)),
        mha_bytes(grid(), ElementDataFile="LIST"),
        mha_bytes(grid(), ElementDataFile="secret.raw"),
    ):
        assert refuse_bytes(data, "a.mha").code == "Unsupported"


def test_impossible_text_headers(refuse_bytes: Refuser, open_bytes: Opener) -> None:
    assert refuse_bytes(nrrd_bytes(grid())[:-50], "a.nrrd").code == "Corrupt"
    assert refuse_bytes(nrrd_bytes(grid(), "gzip")[:-50], "a.nrrd").code == "Corrupt"
    assert refuse_bytes(nrrd_bytes(grid(), sizes="6 8"), "a.nrrd").code == "Corrupt"
    assert refuse_bytes(nrrd_bytes(grid(), sizes="60000 60000 6000"), "a.nrrd").code == "TooLarge"
    assert refuse_bytes(nrrd_bytes(grid(), type="block"), "a.nrrd").code == "Unsupported"
    assert refuse_bytes(nrrd_bytes(grid(), encoding="hex"), "a.nrrd").code == "Unsupported"
    assert refuse_bytes(mha_bytes(grid())[:-50], "a.mha").code == "Corrupt"
    assert refuse_bytes(mha_bytes(grid(), DimSize="6 -8 5"), "a.mha").code == "Corrupt"
    assert refuse_bytes(mha_bytes(grid(), DimSize="60000 60000 6000"), "a.mha").code == "TooLarge"
    assert refuse_bytes(mha_bytes(grid(), ElementType="MET_WORDS"), "a.mha").code == "Unsupported"
    zero = open_bytes(mha_bytes(grid(), ElementSpacing="0 0 0"), "b.mha")
    assert set(zero.warnings) == {"BadHeader", "NoOrientation"}


def test_limits_to_the_byte(open_bytes: Opener, refuse_bytes: Refuser) -> None:
    size = grid().nbytes
    for data, name in (
        (nifti_bytes(grid()), "a.nii"),
        (nrrd_bytes(grid()), "a.nrrd"),
        (mha_bytes(grid()), "a.mha"),
    ):
        assert open_bytes(data, name, limits=Limits(raw_voxel_bytes=size)).kind == "volume"
        error = refuse_bytes(data, name, limits=Limits(raw_voxel_bytes=size - 1))
        assert error.code == "TooLarge"
        assert "limit" in error.message
