"""NIfTI, NRRD, MetaImage and FreeSurfer as people have them: units, times, components, orientations that disagree."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.limits import Limits
from omnivmed.study import Study
from omnivmed.window import apply_window
from tests.io.makers import (
    ct_series,
    dicom_bytes,
    grid,
    mha_bytes,
    nifti_bytes,
    nrrd_bytes,
    put,
    zip_bytes,
)
from tests.io.test_volumes import check_world

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]

TILTED = np.array([[1.6, -1.2, 0, -9], [1.2, 1.6, 0, 4], [0, 0, 3, 21], [0, 0, 0, 1.0]])


def two_orientations(sform: np.ndarray, qform: np.ndarray, **header: object) -> bytes:
    image = nib.Nifti1Image(grid(), sform)
    image.set_sform(sform, 1)
    image.set_qform(qform, 1)
    for name, value in header.items():
        image.header[name] = value
    return image.to_bytes()


def patched(data: bytes, at: int, form: str, *values: float) -> bytes:
    return data[:at] + struct.pack("<" + form, *values) + data[at + struct.calcsize("<" + form) :]


# -- orientation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qfac", [0.0, 1.0, 0.25])
@pytest.mark.parametrize("second", [False, True])
def test_qfac_that_is_not_minus_one_is_plus_one(open_bytes: Opener, qfac: float, second: bool) -> None:
    kind: type[nib.Nifti1Image] = nib.Nifti2Image if second else nib.Nifti1Image
    image = kind(grid(), None)
    image.set_qform(TILTED, 1)
    image.set_sform(None, 0)
    data = image.to_bytes()
    data = patched(data, 104, "d", qfac) if second else patched(data, 76, "f", qfac)
    study = open_bytes(data, "a.nii")
    check_world(study, grid(), TILTED)
    assert "NoOrientation" not in study.warnings


def test_qfac_minus_one_mirrors_the_third_axis(open_bytes: Opener) -> None:
    mirrored = TILTED.copy()
    mirrored[:3, 2] *= -1
    image = nib.Nifti1Image(grid(), None)
    image.set_qform(mirrored, 1)
    image.set_sform(None, 0)
    assert image.header["pixdim"][0] == -1
    check_world(open_bytes(image.to_bytes(), "a.nii"), grid(), mirrored)


def test_orientations_that_disagree_are_told_and_can_be_chosen(open_bytes: Opener) -> None:
    other = np.diag([-2.0, 2, 3, 1])
    data = two_orientations(TILTED, other)
    first = open_bytes(data, "a.nii")
    assert "BadHeader" in first.warnings
    assert any("sform and qform" in n for n in first.notes)
    assert [("sform" in e["label"], "qform" in e["label"]) for e in first.series] == [
        (True, False),
        (False, True),
    ]
    check_world(first, grid(), TILTED)
    check_world(open_bytes(data, "b.nii", series=1), grid(), other)


def test_orientations_of_a_series_in_time_are_one_flat_list(open_bytes: Opener) -> None:
    values = np.stack([grid(), grid() + 500], axis=3)
    image = nib.Nifti1Image(values, TILTED)
    image.set_qform(np.diag([2.0, 2, 3, 1]), 1)
    data = image.to_bytes()
    found = [open_bytes(data, f"{i}.nii", series=i) for i in range(4)]
    assert [s.values().min() for s in found] == [0, 500, 0, 500]
    places = [np.asarray(s.affine) for s in found]
    assert np.allclose(places[0], places[1])
    assert not np.allclose(places[1], places[2])
    assert len({e["label"] for e in found[0].series}) == 4


@pytest.mark.parametrize("shift", [0.0, 0.02])
def test_orientations_equal_within_rounding_are_one(open_bytes: Opener, shift: float) -> None:
    near = TILTED.copy()
    near[:3, 3] += shift
    study = open_bytes(two_orientations(TILTED, near), "a.nii")
    assert study.warnings == []
    assert study.series == []


def test_a_sheared_sform_is_told(open_bytes: Opener) -> None:
    sheared = np.diag([2.0, 2, 3, 1])
    sheared[1, 2] = 0.6
    image = nib.Nifti1Image(grid(), sheared)
    study = open_bytes(image.to_bytes(), "a.nii")
    assert study.warnings == ["GantryTilt"]
    assert any("right angles" in n for n in study.notes)
    check_world(study, grid(), sheared)


# -- units, windows, intents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "factor"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
def test_nifti_units(open_bytes: Opener, code: int, factor: float) -> None:
    study = open_bytes(nifti_bytes(grid(), np.diag([2.0, 2, 3, 1]), xyzt_units=code), "a.nii")
    assert study.spacing_mm == pytest.approx((3 * factor, 2 * factor, 2 * factor))


@pytest.mark.parametrize(
    ("unit", "factor"), [("um", 1e-3), ("micrometers", 1e-3), ("µm", 1e-3), ("cm", 10.0), ("mm", 1.0)]
)
def test_nrrd_units(open_bytes: Opener, unit: str, factor: float) -> None:
    data = nrrd_bytes(grid(), **{"space units": " ".join([f'"{unit}"'] * 3)})
    study = open_bytes(data, "a.nrrd")
    assert study.spacing_mm == pytest.approx((3 * factor, 2 * factor, 2 * factor))
    scaled = np.diag([-2.0, -2, 3, 1]) @ np.diag([1.0, 1, 1, 1])
    scaled[:3, 3] = (-10, -20, 30)
    scaled[:3] *= factor
    check_world(study, grid(), scaled)


def test_nrrd_spacings_have_units_of_their_own(open_bytes: Opener) -> None:
    bare = {"space": "", "space directions": "", "space origin": "", "spacings": "20 20 30"}
    study = open_bytes(nrrd_bytes(grid(), units='"um" "um" "um"', **bare), "a.nrrd")
    assert study.spacing_mm == pytest.approx((0.03, 0.02, 0.02))


def test_an_unknown_unit_gives_no_size(open_bytes: Opener) -> None:
    study = open_bytes(nrrd_bytes(grid(), **{"space units": '"furlong" "furlong" "furlong"'}), "a.nrrd")
    assert study.spacing_mm is None
    assert study.affine is None
    assert "BadHeader" in study.warnings


def test_mha_units(open_bytes: Opener) -> None:
    assert open_bytes(mha_bytes(grid(), DistanceUnits="um"), "a.mha").spacing_mm == pytest.approx(
        (0.003, 0.002, 0.002)
    )


def test_cal_min_and_max_are_the_window_of_the_file(open_bytes: Opener) -> None:
    study = open_bytes(nifti_bytes(grid(), scl_slope=2, scl_inter=10, cal_min=100, cal_max=300), "a.nii")
    assert study.window == (200.0, 200.0)
    assert study.with_window((5, 10)).with_window(None).window == (200.0, 200.0)
    for low, high in ((0, 0), (300, 100), (np.nan, 3), (1, np.inf)):
        plain = open_bytes(nifti_bytes(grid(), cal_min=low, cal_max=high), "b.nii")
        assert plain.window == open_bytes(nifti_bytes(grid()), "c.nii").window


@pytest.mark.parametrize(("code", "word"), [(1006, "displacement"), (1007, "vectors")])
def test_vector_fields_are_named(open_bytes: Opener, code: int, word: str) -> None:
    values = np.stack([grid() + 100 * k for k in range(3)], axis=-1)[:, :, :, None, :].astype(np.float32)
    data = nifti_bytes(values, intent_code=code)
    study = open_bytes(data, "a.nii")
    assert any(word in n and str(code) in n for n in study.notes)
    assert [e["label"] for e in study.series] == [f"component {k} of 3" for k in (1, 2, 3)]
    assert open_bytes(data, "b.nii", series=2).values().min() == 200


# -- time -----------------------------------------------------------------------------------------------------------


def slice_over_time(axis: int) -> np.ndarray:
    """(x, y, z, t) int16 with one place along `axis`, six times; every number another."""
    shape = [7, 5, 4]
    shape[axis] = 1
    return np.arange(int(np.prod(shape)) * 6, dtype=np.int16).reshape(*shape, 6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("unit", "step", "seconds"), [(8, 0.5, 0.5), (16, 40.0, 0.04), (0, 2.0, 2.0)])
def test_one_slice_over_time_is_a_clip(
    open_bytes: Opener, axis: int, unit: int, step: float, seconds: float
) -> None:
    values = slice_over_time(axis)
    image = nib.Nifti1Image(values, np.diag([2.0, 2, 2, 1]))
    image.header["xyzt_units"] = 2 | unit
    image.header["pixdim"][4] = step
    study = open_bytes(image.to_bytes(), "a.nii")
    assert (study.kind, study.shape[0], study.series) == ("video", 6, [])
    assert study.times_s is not None
    assert np.allclose(study.times_s, seconds * np.arange(6))
    still = open_bytes(nifti_bytes(values[..., 3], np.diag([2.0, 2, 2, 1])), "b.nii")
    assert np.array_equal(study.values(3, 4)[0], still.values()[0])
    assert study.edge_letters() == still.edge_letters()
    assert study.spacing_mm == still.spacing_mm
    remote = open_bytes(image.to_bytes(), "c.nii", isolated=True)
    assert np.array_equal(remote.values(), study.values())
    assert np.array_equal(remote.frames(), study.frames())


def test_a_stack_over_time_is_a_list_with_times(open_bytes: Opener) -> None:
    image = nib.Nifti1Image(np.stack([grid() + k for k in range(3)], axis=3), np.eye(4))
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 2500
    study = open_bytes(image.to_bytes(), "a.nii")
    assert [e["label"] for e in study.series] == [
        "volume 1 of 3, at 0 s",
        "volume 2 of 3, at 2.5 s",
        "volume 3 of 3, at 5 s",
    ]


NRRD_TIMES = [
    {
        "space directions": "(2,0,0) (0,2,0) (0,0,3) none",
        "kinds": "domain domain domain time",
        "spacings": "nan nan nan 40",
        "units": '"" "" "" "ms"',
    },
    {
        "space": "left-posterior-superior-time",
        "space directions": "(2,0,0,0) (0,2,0,0) (0,0,3,0) (0,0,0,0.04)",
        "space origin": "(10,20,30,0)",
        "space units": '"mm" "mm" "mm" "s"',
        "kinds": "space space space time",
    },
]


@pytest.mark.parametrize("fields", NRRD_TIMES)
def test_nrrd_over_time(open_bytes: Opener, fields: dict[str, str]) -> None:
    values = slice_over_time(2)
    study = open_bytes(nrrd_bytes(values, **fields), "a.nrrd")
    assert (study.kind, study.shape) == ("video", (6, 5, 7))
    assert study.times_s is not None
    assert np.allclose(study.times_s, 0.04 * np.arange(6))
    assert np.array_equal(study.values(), values[:, :, 0].transpose(2, 1, 0))
    stack = np.stack([grid(), grid() + 1000], axis=3)
    shown = [open_bytes(nrrd_bytes(stack, **fields), f"{i}.nrrd", series=i) for i in range(2)]
    assert [s.values().max() for s in shown] == [239, 1239]
    check_world(shown[0], grid(), np.array([[-2.0, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]))


def test_times_that_nobody_gave_are_not_told(open_bytes: Opener) -> None:
    stack = open_bytes(nifti_bytes(np.stack([grid(), grid()], axis=3), xyzt_units=2), "a.nii")
    assert [e["label"] for e in stack.series] == ["volume 1 of 2", "volume 2 of 2"]
    clip = open_bytes(nifti_bytes(slice_over_time(2), xyzt_units=2), "b.nii")
    assert clip.kind == "video"
    assert any("gives no times" in n for n in clip.notes)


@pytest.mark.parametrize("kind", ["list", "time"])
def test_nrrd_with_time_first(open_bytes: Opener, refuse_bytes: Refuser, kind: str) -> None:
    """As 3D Slicer writes sequences: every voxel with all its times."""
    fields = {
        "kinds": f"{kind} domain domain domain",
        "space directions": "none (2,0,0) (0,2,0) (0,0,3)",
        "spacings": "0.5 nan nan nan",
    }
    values = slice_over_time(2)
    data = nrrd_bytes(np.moveaxis(values, 3, 0), "gzip", **fields)
    study = open_bytes(data, "a.nrrd", isolated=True)
    assert (study.kind, study.shape) == ("video", (6, 5, 7))
    assert study.times_s is not None
    assert np.allclose(study.times_s, 0.5 * np.arange(6))
    assert np.array_equal(study.values(), values[:, :, 0].transpose(2, 1, 0))
    stack = nrrd_bytes(np.stack([grid(), grid() + 1000]), "raw", **fields)
    shown = [open_bytes(stack, f"{i}.nrrd", series=i) for i in range(2)]
    assert [s.values().max() for s in shown] == [239, 1239]
    assert [e["label"] for e in shown[0].series] == ["volume 1 of 2, at 0 s", "volume 2 of 2, at 0.5 s"]
    assert refuse_bytes(stack[:-40], "b.nrrd").code == "Corrupt"


def test_mha_over_time(open_bytes: Opener) -> None:
    turn = "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"
    fields: dict[str, Any] = {"TransformMatrix": turn, "Offset": "10 20 30 0", "ElementSpacing": "2 2 3 0.5"}
    values = slice_over_time(2)
    study = open_bytes(mha_bytes(values, **fields), "a.mha")
    assert (study.kind, study.shape) == ("video", (6, 5, 7))
    assert study.times_s is not None
    assert np.allclose(study.times_s, 0.5 * np.arange(6))
    stack = open_bytes(mha_bytes(np.stack([grid(), grid() + 1], axis=3), **fields), "b.mha")
    assert len(stack.series) == 2
    check_world(stack, grid(), np.array([[-2.0, 0, 0, -10], [0, -2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]))


# -- several numbers per voxel --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_components_of_nrrd(open_bytes: Opener, dtype: type, encoding: str) -> None:
    values: np.ndarray = np.stack([(grid() % 50) + 50 * k for k in range(4)]).astype(dtype)
    data = nrrd_bytes(
        values,
        encoding,
        kinds="vector domain domain domain",
        **{"space directions": "none (2,0,0) (0,2,0) (0,0,3)"},
    )
    shown = [open_bytes(data, f"{i}.nrrd", series=i) for i in range(4)]
    for k, study in enumerate(shown):
        assert np.array_equal(study.values(), values[k].transpose(2, 1, 0))
        assert len(study.series) == 4
        assert study.warnings == ["MultiVolume"]
    assert open_bytes(data, "d.nrrd").values().max() == values[0].max()


def test_components_of_mha(open_bytes: Opener) -> None:
    values = np.stack([grid() + 1000 * k for k in range(2)])
    data = mha_bytes(values, NDims="3", DimSize="6 8 5", ElementNumberOfChannels="2")
    assert [open_bytes(data, f"{i}.mha", series=i).values().max() for i in range(2)] == [239, 1239]


def test_colour_stays_colour(open_bytes: Opener) -> None:
    values = np.stack([grid() % 200] * 3).astype(np.uint8)
    data = nrrd_bytes(
        values, kinds="RGB-color domain domain domain", **{"space directions": "none (2,0,0) (0,2,0) (0,0,3)"}
    )
    study = open_bytes(data, "a.nrrd")
    assert (study.channels, study.series) == (3, [])


def test_components_stay_within_the_limits(refuse_bytes: Refuser) -> None:
    fields = {"kinds": "vector domain domain domain", "space directions": "none (1,0,0) (0,1,0) (0,0,1)"}
    huge = nrrd_bytes(np.zeros((2, 2, 2, 2), np.int16), sizes="4000 20000 20000 1", **fields)
    assert refuse_bytes(huge, "a.nrrd").code == "TooLarge"
    many = nrrd_bytes(np.zeros((2, 2, 2, 2), np.int16), sizes="100000 2 2 2", **fields)
    assert refuse_bytes(many, "a.nrrd").code == "Unsupported"


# -- more containers ------------------------------------------------------------------------------------------------


def pair_of(values: np.ndarray, affine: np.ndarray, big: bool = False) -> tuple[bytes, bytes]:
    header = nib.Nifti1Header(endianness=">" if big else "<")
    image = nib.Nifti1Pair(values.astype(values.dtype.newbyteorder(">" if big else "<")), affine, header)
    head, body = io.BytesIO(), io.BytesIO()
    image.to_file_map({"header": nib.FileHolder(fileobj=head), "image": nib.FileHolder(fileobj=body)})
    return head.getvalue(), body.getvalue()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pair_in_a_zip(open_bytes: Opener, big: bool, packed: bool) -> None:
    header, numbers = pair_of(grid(), TILTED, big)
    if packed:
        numbers = gzip.compress(numbers)
    data = zip_bytes({"a/brain.hdr": header, "a/brain.img" + (".gz" if packed else ""): numbers})
    check_world(open_bytes(data, "a.zip"), grid(), TILTED)
    check_world(open_bytes(data, "b.zip", isolated=True), grid(), TILTED)


def test_pairs_by_list_and_alone(tmp_path: Path, refuse_bytes: Refuser) -> None:
    header, numbers = pair_of(grid(), TILTED)
    paths = [put(tmp_path, "brain.img", numbers), put(tmp_path, "brain.hdr", header)]
    with open_study(paths) as study:
        check_world(study, grid(), TILTED)
    assert refuse_bytes(zip_bytes({"brain.hdr": header}), "a.zip").code == "Unsupported"
    assert refuse_bytes(header, "brain.hdr").code == "Unsupported"
    cut = zip_bytes({"brain.hdr": header, "brain.img": numbers[:-10]})
    assert refuse_bytes(cut, "b.zip").code == "Corrupt"


def test_two_pairs_are_two_studies(open_bytes: Opener) -> None:
    one, two = pair_of(grid(), TILTED), pair_of(grid() + 500, TILTED)
    data = zip_bytes({"a.hdr": one[0], "a.img": one[1], "b.hdr": two[0], "b.img": two[1]})
    assert [open_bytes(data, f"{i}.zip", series=i).values().min() for i in range(2)] == [0, 500]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_freesurfer_volumes(open_bytes: Opener, packed: bool, dtype: type) -> None:
    values: np.ndarray = (grid() % 200).astype(dtype)
    data = nib.MGHImage(values, TILTED).to_bytes()
    study = open_bytes(gzip.compress(data) if packed else data, "a.mgz" if packed else "a.mgh")
    check_world(study, values, TILTED)
    assert study.warnings == []


def test_freesurfer_frames_and_damage(open_bytes: Opener, refuse_bytes: Refuser) -> None:
    data = nib.MGHImage(np.stack([grid(), grid() + 500], axis=3), TILTED).to_bytes()
    assert [open_bytes(data, f"{i}.mgh", series=i).values().min() for i in range(2)] == [0, 500]
    assert refuse_bytes(data[:400], "a.mgh").code == "Corrupt"
    packed = bytearray(gzip.compress(data))
    packed[-6] ^= 0xFF
    assert refuse_bytes(bytes(packed), "a.mgz").code == "Corrupt"
    untold = data[:28] + b"\x00\x00" + data[30:]
    assert "NoOrientation" in open_bytes(untold, "b.mgh").warnings


TarMode = Literal["w", "w:gz", "w:bz2", "w:xz"]


def tar_bytes(files: dict[str, bytes], mode: TarMode = "w:gz", **changes: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in changes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "a.tar.gz"), ("w", "a.tar")])
def test_a_series_in_a_tar(open_bytes: Opener, mode: TarMode, name: str) -> None:
    files = {f"scan/{i}.dcm": dicom_bytes(d) for i, d in enumerate(ct_series())}
    study = open_bytes(tar_bytes(files | {"scan/._0.dcm": b"x"}, mode), name)
    assert (study.kind, study.shape[0], study.warnings) == ("volume", 8, [])
    assert open_bytes(tar_bytes(files, mode), "b" + name, isolated=True).shape == study.shape


def test_tars_keep_the_promises_of_zips(refuse_bytes: Refuser) -> None:
    good = {"a.nii": nifti_bytes(grid())}
    assert refuse_bytes(tar_bytes({"../a.nii": good["a.nii"]}), "a.tar.gz").code == "UnsafeArchive"
    assert refuse_bytes(tar_bytes({"/a.nii": good["a.nii"]}), "a.tar.gz").code == "UnsafeArchive"
    link = tar_bytes({"a.nii": b""}, type=tarfile.SYMTYPE, linkname="/etc/hostname")
    assert refuse_bytes(link, "a.tar.gz").code == "UnsafeArchive"
    assert refuse_bytes(tar_bytes({"a": bytes(8 << 20)}), "a.tar.gz").code == "UnsafeArchive"
    assert refuse_bytes(tar_bytes(good)[:-30], "a.tar.gz").code == "Corrupt"
    several = {f"{i}.nii": good["a.nii"] for i in range(4)}
    assert refuse_bytes(tar_bytes(several), "a.tgz", limits=Limits(zip_members=3)).code == "TooLarge"
    assert refuse_bytes(tar_bytes(several, "w"), "a.tar", limits=Limits(zip_bytes=1000)).code == "TooLarge"
    assert refuse_bytes(tar_bytes({"b.tar": tar_bytes(good)}), "a.tar").code == "UnsafeArchive"


def test_several_reasons_are_said_to_be_several(refuse_bytes: Refuser) -> None:
    files = {"a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(600), "b.rar": b"Rar!" + bytes(600)}
    error = refuse_bytes(zip_bytes(files), "a.zip")
    assert error.code == "Unsupported"
    assert "2 reasons" in error.message


# -- numbers and picture are one ------------------------------------------------------------------------------------

GREY = {
    "a.nii": nib.Nifti1Image(grid().astype(">i2"), TILTED, nib.Nifti1Header(endianness=">")).to_bytes(),
    "b.nii": nifti_bytes(grid(), scl_slope=-2.0, scl_inter=30),
    "c.nii": nifti_bytes(grid().astype(np.float64) / 7),
    "d.nrrd": nrrd_bytes(grid().astype(">i2"), endian="big"),
    "e.mha": mha_bytes(grid().astype(">i2"), BinaryDataByteOrderMSB="True"),
    "f.mgh": nib.MGHImage(grid(), TILTED).to_bytes(),
    "g.nii": nifti_bytes(slice_over_time(0), cal_min=20, cal_max=90),
    "h.nrrd": nrrd_bytes(
        np.stack([grid().astype(">i2")] * 2),
        endian="big",
        kinds="vector domain domain domain",
        **{"space directions": "none (2,0,0) (0,2,0) (0,0,3)"},
    ),
}


@pytest.mark.parametrize("name", GREY)
def test_the_picture_is_the_window_on_the_numbers(open_bytes: Opener, name: str) -> None:
    study = open_bytes(GREY[name], name)
    assert study.dtype.isnative
    assert study.window is not None
    shown = apply_window(study.values(), *study.window)
    assert np.abs(study.frames()[..., 0].astype(int) - shown).max() <= 1
    assert study.frames().std() > 5
