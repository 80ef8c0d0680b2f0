"""Label maps: the first label is not the background, colours and names are the segments', no header text leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.io.dicom_labels import from_cielab
from omnivmed.labels import PALETTE, colour_of
from omnivmed.pruning import prune
from tests.io.makers import dicom_bytes, enhanced_ct

LABELMAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.7"


def coded(scheme: str, code: str, meaning: str) -> Sequence:
    item = Dataset()
    item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning = scheme, code, meaning
    return Sequence([item])


def label_map(dtype: type = np.uint8, **tags: object) -> bytes:
    """Liver (1), an unnamed segment (2) and a number without a segment (5), on 0, in axial slices."""
    ds = enhanced_ct()
    count, rows, columns = int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns)
    pixels: np.ndarray = np.zeros((count, rows, columns), dtype)
    pixels[:, 1:4, 2:6] = 1
    pixels[:, 5:8, 2:6] = 2
    pixels[-1, 1:4, 8:10] = 5
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID(LABELMAP_CLASS)
    ds.Modality, ds.SegmentationType = "SEG", "LABELMAP"
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    for groups in (
        ds.get("SharedFunctionalGroupsSequence", []),
        ds.get("PerFrameFunctionalGroupsSequence", []),
    ):
        for group in groups:
            for keyword in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                if keyword in group:
                    delattr(group, keyword)
    liver, other = Dataset(), Dataset()
    liver.SegmentNumber, liver.SegmentLabel = 1, "Zebrowski liver"
    liver.SegmentedPropertyTypeCodeSequence = coded("SCT", "10200004", "Zebrowski")
    liver.RecommendedDisplayCIELabValue = [40000, 45000, 42000]
    other.SegmentNumber, other.SegmentLabel = 2, "Zebrowski lesion"
    other.SegmentedPropertyTypeCodeSequence = coded("99LOCAL", "1", "Zebrowski")
    ds.SegmentSequence = Sequence([liver, other])
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return dicom_bytes(ds)


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_have_colours_and_names_and_the_background_is_black(
    tmp_path: Path, isolated: bool, dtype: type
) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(label_map(dtype=dtype))
    with open_study(path, isolated=isolated) as study:
        assert study.is_label_map
        assert study.background == 0
        assert study.window is None
        assert study.presets == []
        assert [(label.number, label.name) for label in study.labels] == [(1, "Liver"), (2, "label 2")]
        values, frames = study.values(), study.frames()
        assert set(np.unique(values)) == {0, 1, 2, 5}
        assert (frames[values == 0] == 0).all()
        assert (frames[values == 1] == study.labels[0].colour).all()
        assert (frames[values == 2] == colour_of(2)).all()
        assert (frames[values == 5] == colour_of(5)).all()  # drawn although no segment names it
        assert study.labels[0].colour != colour_of(1)  # the file's own
        # What the model and pruning are given tells labels and background apart.
        assert len({tuple(c) for c in frames.reshape(-1, 3)}) == 4
        assert prune(study).kept > 0
        assert study.with_window((1.0, 1.0)).digest == study.digest
        assert "Zebrowski" not in json.dumps([study.labels, study.notes, study.warnings])
        painted = study.with_painted([(0, 0, 4, 6)])
        assert (painted.values()[:, :4, :6] == 0).all()
        assert (painted.frames()[:, :4, :6] == 0).all()


def test_the_background_may_be_another_number(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(label_map(PixelPaddingValue=2))
    with open_study(path) as study:
        assert study.background == 2
        assert [label.number for label in study.labels] == [1]
        values, frames = study.values(), study.frames()
        assert (frames[values == 2] == 0).all()
        assert (frames[values == 0] > 0).any()


def test_damaged_segments_are_numbers(tmp_path: Path) -> None:
    odd = Dataset()
    odd.SegmentNumber = 1
    odd.RecommendedDisplayCIELabValue = [1, 2]
    path = tmp_path / "a.dcm"
    path.write_bytes(label_map(SegmentSequence=Sequence([odd, Dataset()])))
    with open_study(path) as study:
        assert [tuple(label) for label in study.labels] == [(1, "label 1", colour_of(1))]
    path.write_bytes(label_map(SegmentSequence=Sequence([])))
    with open_study(path) as study:
        assert study.labels == ()
        assert (study.frames()[study.values() == 1] == colour_of(1)).all()


def test_a_picture_is_no_label_map(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(label_map(SegmentationType="FRACTIONAL"))
    try:
        with open_study(path) as study:
            assert not study.is_label_map
    except StudyError:
        pass


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [((0, 0, 0), (0, 0, 0)), ((100, 0, 0), (255, 255, 255)), ((53.24, 80.09, 67.20), (255, 0, 0))],
)
def test_cielab(lab: tuple[float, float, float], rgb: tuple[int, int, int]) -> None:
    assert np.allclose(from_cielab(*lab), rgb, atol=2)


def test_page_and_library_have_one_palette() -> None:
    script = Path(__file__).resolve().parents[2] / "omnivmed/ui/canvas/static/lut.js"
    listed = re.search(r"PALETTE = \[(.*?)\];", script.read_text(encoding="utf-8"), re.DOTALL)
    assert listed is not None
    assert json.loads(f"[{listed[1].strip().rstrip(',')}]") == [list(colour) for colour in PALETTE]
