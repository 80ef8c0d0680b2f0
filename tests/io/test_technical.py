"""Technical tags that leave the worker: numbers within bounds and defined terms, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from omnivmed import open_study
from omnivmed.io.report import info_of
from omnivmed.io.technical import BY_NAME, TAGS, passed, technical_of
from tests.io.makers import cine, ct_series, dicom, dicom_bytes, nifti_bytes, put, ramp, series_zip


def header(**tags: object) -> Dataset:
    ds = Dataset()
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return ds


def test_a_header_tells_how_the_picture_was_made(tmp_path: Path) -> None:
    ds = dicom(
        ramp(),
        SliceThickness="2.5",
        KVP="120",
        ContrastBolusAgent="Omnipaque for Jane Doe",
        ViewPosition="PA",
    )
    with open_study(put(tmp_path, "one.dcm", dicom_bytes(ds))) as study:
        told = study.technical
        assert told["slice_thickness_mm"] == 2.5
        assert told["tube_kv"] == 120
        assert told["contrast"] == "named"
        assert told["view_position"] == "PA"
        assert "Jane" not in repr(study.info)


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ("Iohexol", "named"),
        ("NONE", "none"),
        ("no", "none"),
        ("", None),
        ("  ", None),
        ("non-contrast", "none"),
    ],
)
def test_contrast_is_told_as_named_or_none_and_an_empty_tag_tells_nothing(
    agent: str, told: str | None
) -> None:
    assert dict(technical_of(header(ContrastBolusAgent=agent))).get("contrast") == told


def test_damaged_numbers_and_words_of_no_list_stay_inside() -> None:
    ds = header(
        SliceThickness="-3",
        KVP="1e9",
        ViewPosition="SMITH JOHN",
        ScanningSequence=["SE", "DOE"],
        BitsStored=12,
    )
    assert technical_of(ds) == (("bits_stored", 12.0),)
    assert dict(technical_of(header(ScanningSequence=["GR", "IR"])))["scanning_sequence"] == "GR\\IR"


@pytest.mark.parametrize(
    "pair", [("name", "Doe"), ("view_position", "DOE"), ("tube_kv", "nan"), ("tube_kv", 1e9)]
)
def test_a_report_from_the_worker_is_checked_again(pair: tuple[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        passed(*pair)
    assert info_of.__module__ == "omnivmed.io.report"


def test_no_tag_of_the_list_may_name_a_person_place_date_or_device() -> None:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    assert len(BY_NAME) == len(TAGS)
    for tag in TAGS:
        vr = dictionary_VR(tag_for_keyword(tag.keyword) or 0)
        assert (
            vr in ("DS", "US", "CS") or tag.name == "contrast"
        )  # numbers and codes; of the agent only that it is named
        assert bool(tag.terms) != (tag.high > tag.low)


def test_a_modality_that_no_header_names_is_said_to_be_from_the_numbers(tmp_path: Path) -> None:
    values = np.full((12, 40, 40), -1000, np.int16)
    values[3:9, 10:30, 10:30] = 40
    values[5, 20, 20] = 900
    with open_study(put(tmp_path, "ct.nii", nifti_bytes(values))) as study:
        assert (study.modality, study.modality_from) == ("CT", "numbers")
    with open_study(put(tmp_path, "ct.zip", series_zip(ct_series()))) as study:
        assert (study.modality, study.modality_from) == ("CT", "header")


def test_frame_times_that_no_file_gives_are_said_to_be_assumed(tmp_path: Path) -> None:
    told, silent = cine(FrameTime="40"), cine()
    for name in (
        "FrameTime",
        "CineRate",
        "RecommendedDisplayFrameRate",
        "FrameTimeVector",
        "FrameIncrementPointer",
    ):
        if name in silent:
            delattr(silent, name)
    with open_study(put(tmp_path, "told.dcm", dicom_bytes(told))) as study:
        assert study.times_from == "file"
    with open_study(put(tmp_path, "silent.dcm", dicom_bytes(silent))) as study:
        assert study.times_from == "assumed"
