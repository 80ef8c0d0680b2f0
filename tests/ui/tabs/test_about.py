"""The table "About this file": what it tells, and that nothing of a patient can get into it."""

from __future__ import annotations

from pathlib import Path

from pydicom._dicom_dict import DicomDictionary

from omnivmed.io import open_study
from omnivmed.spoken.header import rows_of
from omnivmed.ui.page import parts
from omnivmed.ui.visit.samples import SAMPLES
from tests.io.makers import ct_series, dicom_bytes, put

TOKEN = "ZEBROWSKI"
#: Value representations that hold free words (PS3.5, 6.2).
WORDS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}
#: Words by which a file is read; with another one it would be no CT at all.
READ = {
    "Modality", "PhotometricInterpretation", "PatientPosition", "ImageType", "RescaleType", "SpecificCharacterSet",
    "PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique",
}  # fmt: skip


def test_no_words_of_a_header_get_into_the_table(tmp_path: Path) -> None:
    """Every tag of the standard that holds words says the same name; the table says none of it."""
    slices = ct_series()
    filled = 0
    for ds in slices:
        for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
            if vr not in WORDS or retired or keyword in READ or not keyword or tag >> 16 in (0x0000, 0x0002):
                continue
            if keyword not in ds or vr == "PN":
                ds.add_new(tag, vr, TOKEN)
                filled += 1
        ds.BodyPartExamined = ds.ContrastBolusAgent = ds.PatientName = ds.PatientID = TOKEN
        ds.PatientBirthDate = ds.StudyDate = "19620304"
    assert filled > 1000 * len(slices)
    for i, ds in enumerate(slices):
        put(tmp_path, f"{i}.dcm", dicom_bytes(ds))
    with open_study(tmp_path) as study:
        table = parts.about(rows_of(study))
    assert TOKEN.lower() not in table.lower()
    assert "1962" not in table
    for label in ("Kind", "Slices", "Plane", "From slice to slice", "Window", "Contrast agent"):
        assert label in table
    assert "an agent is named" in table


def test_the_samples_have_what_the_table_promises() -> None:
    wanted = {
        "volume": {"plane", "slices", "step", "spacing", "window", "extent"},
        "video": {"frames", "rate", "duration", "matrix"},
        "image": {"matrix", "window"},
    }
    seen = set()
    for sample in SAMPLES:
        with open_study(sample.path) as study:
            keys = {row.key for row in rows_of(study)}
            assert wanted[study.kind] <= keys, (sample.key, wanted[study.kind] - keys)
            seen.add(study.kind)
            assert parts.about(rows_of(study)).startswith("<details><summary>About this file")
    assert seen == set(wanted)
    assert parts.about([]) == ""
