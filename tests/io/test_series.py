"""Series: sorted by position, gaps, doubles, mixtures, tilt; folders, lists and archives of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.limits import Limits
from omnivmed.study import Study
from tests.io.makers import (
    ct_series,
    ct_slice,
    dicom_bytes,
    grid,
    nifti_bytes,
    picture_bytes,
    put,
    ramp,
    series_zip,
    zip_bytes,
)

Opener = Callable[..., Study]
Refuser = Callable[..., StudyError]
HEIGHTS = tuple(2.5 * i for i in range(8))


def markers(study: Study) -> list[float]:
    marks: list[float] = study.values()[:, 5, 8].tolist()
    return marks


def test_sorted_by_position_not_by_name_or_number(open_bytes: Opener) -> None:
    slices = ct_series()
    for i, ds in enumerate(slices):
        ds.InstanceNumber = 100 - i
    shuffled = [slices[i] for i in (5, 2, 7, 0, 3, 1, 6, 4)]
    study = open_bytes(series_zip(shuffled), "a.zip")
    assert (study.kind, study.shape) == ("volume", (8, 20, 24))
    assert markers(study) == [50 + 10 * i for i in range(8)]
    assert study.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert study.plane == "axial"
    assert study.edge_letters() == ("R", "L", "A", "P")
    assert study.dtype == np.uint16
    assert study.warnings == []
    # LPS (-10, -20, 0) of the first voxel is RAS (10, 20, 0)
    assert study.affine is not None
    assert np.allclose(study.affine @ [0, 0, 0, 1], [10, 20, 0, 1])
    assert np.allclose(study.affine @ [1, 2, 3, 1], [10 - 3 * 0.7, 20 - 2 * 0.8, 2.5, 1])


def test_folder_list_and_zip_agree(tmp_path: Path, open_bytes: Opener) -> None:
    slices = [dicom_bytes(d) for d in ct_series()]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    paths = [put(tmp_path / "deep" / "er", f"IM{i}", s) for i, s in enumerate(slices)]
    put(tmp_path, "readme.txt", b"nothing to see")
    hidden = dicom_bytes(ct_slice(20.0, 900))  # another slice: it would be seen
    put(tmp_path, ".hidden", hidden)
    put(tmp_path / "deep", ".DS_Store.dcm", hidden)
    (tmp_path / ".cache").mkdir()
    put(tmp_path / ".cache", "copy.dcm", hidden)
    folder = open_study(tmp_path, isolated=False)
    listed = open_study(reversed(paths), isolated=False)
    members = {f"{i}": s for i, s in enumerate(slices)}
    zipped = open_bytes(zip_bytes({**members, ".hidden": hidden, "__MACOSX/0": hidden}), "x.zip")
    assert folder.content_id == listed.content_id == zipped.content_id
    assert folder.shape == (8, 20, 24)
    assert folder.warnings == zipped.warnings == []


def test_gap_keeps_the_step(open_bytes: Opener) -> None:
    study = open_bytes(series_zip(ct_series([0, 2.5, 5, 12.5, 15])), "a.zip")
    assert study.warnings == ["MissingSlices"]
    assert study.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert study.slice_mm is not None
    assert np.allclose(study.slice_mm, [0, 2.5, 5, 12.5, 15])
    assert any("2 slices are missing" in n for n in study.notes)


def test_uneven_steps_are_told(open_bytes: Opener) -> None:
    assert open_bytes(series_zip(ct_series([0, 2.5, 5, 8.7, 11.2])), "a.zip").warnings == [
        "NonUniformSpacing"
    ]


def test_doubles_are_dropped(open_bytes: Opener) -> None:
    slices = ct_series()
    copies = ct_series()
    study = open_bytes(series_zip([*slices, *copies]), "a.zip")
    assert study.warnings == ["DuplicateSlices"]
    assert len(study) == 8
    same = open_bytes(
        zip_bytes({"a": dicom_bytes(slices[0]), "b": dicom_bytes(slices[0]), "c": dicom_bytes(slices[1])}),
        "b.zip",
    )
    assert len(same) == 2
    assert same.warnings == ["DuplicateSlices"]


def test_time_points_are_volumes_to_choose_from(open_bytes: Opener) -> None:
    early = ct_series(HEIGHTS[:4], AcquisitionNumber=1)
    late = [ct_slice(h, 500 + 10 * i, AcquisitionNumber=2) for i, h in enumerate(HEIGHTS[:4])]
    data = series_zip([late[2], early[1], late[0], early[3], early[0], late[3], early[2], late[1]])
    first = open_bytes(data, "a.zip")
    assert first.warnings == ["MultiVolume"]
    assert markers(first) == [50, 60, 70, 80]
    assert [s["selected"] for s in first.series] == [True, False]
    assert markers(open_bytes(data, "b.zip", series=1)) == [500, 510, 520, 530]
    with pytest.raises(StudyError, match="no series with index 2; the upload has 2, counted from 0"):
        open_bytes(data, "c.zip", series=2)


def test_mixed_series_show_the_largest_and_offer_the_others(open_bytes: Opener) -> None:
    other = ct_series(HEIGHTS[:3], SeriesInstanceUID="1.2.3.5")
    scout = [ct_slice(0, 9, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])]
    data = series_zip([*other, *ct_series(), *scout])
    study = open_bytes(data, "a.zip")
    assert study.warnings == ["MixedSeries"]
    assert len(study) == 8
    assert sorted(s["frames"] for s in study.series) == [1, 3, 8]
    smaller = next(s["index"] for s in study.series if s["frames"] == 3)
    assert len(open_bytes(data, "b.zip", series=smaller)) == 3


def test_gantry_tilt_is_told_and_in_the_affine(open_bytes: Opener) -> None:
    slices = [ct_slice(0, 50 + 10 * i, ImagePositionPatient=[0, 0.6 * i, 2.5 * i]) for i in range(6)]
    study = open_bytes(series_zip(slices), "a.zip")
    assert study.warnings == ["GantryTilt"]
    assert study.affine is not None
    assert np.allclose(study.affine @ [5, 0, 0, 1], [0, -3.0, 12.5, 1])


def test_sagittal_stack_is_turned_to_the_display(open_bytes: Opener) -> None:
    # Rows run to superior and columns to anterior in the file: the display wants inferior and posterior.
    slices = [
        ct_slice(
            0, 50 + 10 * i, ImageOrientationPatient=[0, -1, 0, 0, 0, 1], ImagePositionPatient=[3.0 * i, 0, 0]
        )
        for i in range(5)
    ]
    study = open_bytes(series_zip(slices), "a.zip")
    assert study.plane == "sagittal"
    assert study.edge_letters() == ("A", "P", "S", "I")
    raw = open_bytes(dicom_bytes(slices[0]), "one")
    assert study.affine is not None
    corner = np.linalg.inv(study.affine) @ [0, 0, 0, 1]
    s, r, c = np.round(corner[:3]).astype(int)
    assert study.values()[s, r, c] == raw.values()[0, 0, 0]


def test_slices_with_their_own_scale(open_bytes: Opener) -> None:
    slices = [ct_slice(h, 100, RescaleSlope=1 + k, RescaleIntercept=0) for k, h in enumerate(HEIGHTS[:3])]
    study = open_bytes(series_zip(slices), "a.zip")
    assert markers(study) == [1124, 2248, 3372]
    assert study.stored()[1:] == (1.0, 0.0)


def test_one_damaged_slice_is_left_out_and_told(open_bytes: Opener) -> None:
    data = [dicom_bytes(d) for d in ct_series()]
    data[3] = data[3][:-300]
    study = open_bytes(zip_bytes({f"{i}.dcm": d for i, d in enumerate(data)}), "a.zip")
    assert len(study) == 7
    assert {"Partial", "MissingSlices"} <= set(study.warnings)


def test_one_slice_is_an_image(open_bytes: Opener) -> None:
    assert open_bytes(series_zip(ct_series()[:1]), "a.zip").kind == "image"


def test_progress_counts_and_can_cancel(tmp_path: Path) -> None:
    path = put(tmp_path, "a.zip", series_zip(ct_series()))
    seen: list[tuple[str, int, int]] = []
    open_study(path, isolated=False, progress=lambda *a: seen.append(a)).close()
    assert ("decoding", 8, 8) in seen

    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    for isolated in (True, False):
        with pytest.raises(KeyboardInterrupt):
            open_study(path, isolated=isolated, progress=stop)


def test_archives_of_other_studies(open_bytes: Opener, refuse_bytes: Refuser) -> None:
    volume = open_bytes(zip_bytes({"v.nii": nifti_bytes(grid()), "notes.txt": b"hello"}), "a.zip")
    assert volume.kind == "volume"
    pair = zip_bytes({"a.png": picture_bytes(ramp()), "b.png": picture_bytes(ramp(10, 12))})
    stills = open_bytes(pair, "b.zip")
    assert stills.warnings == ["MixedSeries"]
    assert len(stills.series) == 2
    assert open_bytes(pair, "c.zip", series=1).shape == (1, 10, 12)
    assert refuse_bytes(zip_bytes({"a.txt": b"words"}), "t.zip").code == "NotAnImage"
    assert refuse_bytes(zip_bytes({}), "e.zip").code == "NotAnImage"
    assert refuse_bytes(zip_bytes({"in.zip": pair}), "n.zip").code == "UnsafeArchive"


@pytest.mark.parametrize("name", ["../up.dcm", "/abs.dcm", "a/../../b.dcm", "C:\\x.dcm", "..\\w.dcm"])
def test_names_that_point_outside(refuse_bytes: Refuser, name: str) -> None:
    assert refuse_bytes(zip_bytes({name: b"x"}), "a.zip").code == "UnsafeArchive"


def test_members_that_share_bytes_are_refused(refuse_bytes: Refuser, open_bytes: Opener) -> None:
    """One stored member holds a whole local entry, and the directory lists that entry as a member of its own."""
    inner, name = zip_bytes({"b.png": picture_bytes(ramp())}), "a.bin"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(name), inner)
        (entry,) = zipfile.ZipFile(io.BytesIO(inner)).infolist()
        entry.header_offset = archive.getinfo(name).header_offset + 30 + len(name)
        apart = out.tell()
        archive.filelist.append(entry)
    error = refuse_bytes(out.getvalue(), "o.zip")
    assert error.code == "UnsafeArchive"
    assert "overlap" in error.message
    assert zipfile.ZipFile(out).read("b.png") == picture_bytes(ramp()), (
        "valid but for what the two members share"
    )
    assert apart < len(out.getvalue())
    assert open_bytes(inner, "i.zip").kind == "image"


def test_links_encryption_bombs_and_numbers(refuse_bytes: Refuser) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    assert refuse_bytes(out.getvalue(), "l.zip").code == "UnsafeArchive"
    locked = bytearray(zip_bytes({"a.dcm": b"x" * 100}))
    locked[locked.find(b"PK\x01\x02") + 8] |= 1
    assert refuse_bytes(bytes(locked), "c.zip").code == "UnsafeArchive"
    assert refuse_bytes(zip_bytes({"a": b"\0" * 40_000_000}), "b.zip").code == "UnsafeArchive"
    limits = Limits(zip_members=3)
    assert refuse_bytes(zip_bytes({str(i): b"" for i in range(4)}), "m.zip", limits=limits).code == "TooLarge"
    limits = Limits(zip_bytes=99)
    assert refuse_bytes(zip_bytes({"a": b"x" * 100}), "s.zip", limits=limits).code == "TooLarge"
    whole = zip_bytes({"a.dcm": dicom_bytes(ct_slice(0, 1))})
    assert refuse_bytes(whole[: len(whole) // 2], "h.zip").code == "Corrupt"


def test_damaged_member_costs_only_itself(open_bytes: Opener) -> None:
    data = bytearray(
        zip_bytes({f"{i}.dcm": dicom_bytes(d) for i, d in enumerate(ct_series())}, zipfile.ZIP_STORED)
    )
    data[400] ^= 0xFF
    study = open_bytes(bytes(data), "a.zip")
    assert len(study) == 7
    assert "Partial" in study.warnings


def test_wrong_uploads_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = put(tmp_path, "text.dcm", b"these are only words, nothing else\n")
    wrongs: tuple[Path | list[Path] | str, ...] = (tmp_path / "missing", tmp_path / "empty", text, [], "")
    for wrong in wrongs:
        with pytest.raises(StudyError) as caught:
            open_study(wrong)
        assert caught.value.code == "NotAnImage"
        assert str(tmp_path) not in caught.value.message


def test_upload_limits_to_the_byte(tmp_path: Path) -> None:
    data = picture_bytes(ramp())
    path = put(tmp_path, "a.png", data)
    open_study(path, isolated=False, limits=Limits(upload_bytes=len(data))).close()
    with pytest.raises(StudyError) as caught:
        open_study(path, isolated=False, limits=Limits(upload_bytes=len(data) - 1))
    assert caught.value.code == "TooLarge"
    with pytest.raises(StudyError, match="more than 1 files"):
        open_study([path, path], limits=Limits(folder_files=1))
