"""The product's own door: the same pictures as the training bank, in every plane, under the product's window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed import open_study
from omnivmed.inference.batch import Read
from omnivmed.pruning import KeepMask
from omnivmed.study import Study
from omnivmed.vision import NANO_BUDGET, Patches, sample_frames
from train.nano.data.bank import Entry, decode
from train.nano.data.index import Record, build_index
from train.nano.data.views import Item
from train.nano.measure.door import Door, place_of, write_series


class Eyes:
    """In place of a model: keeps what it was shown."""

    budget = NANO_BUDGET

    def masked(self, patches: Patches, mask: KeepMask) -> Any:
        return Read(patches.kind, tuple(mask.kept_per_frame.tolist()), None, patches, mask)


@pytest.fixture
def door(data_folder: Path, tmp_path: Path) -> Iterator[Door]:
    with Door(data_folder, tmp_path, Eyes()) as made:  # type: ignore[arg-type]
        yield made


def record(data_folder: Path, source: str) -> Record:
    return next(r for r in build_index(data_folder) if r.source == source)


def entry(data_folder: Path, source: str) -> Entry:
    return decode(data_folder, record(data_folder, source))


def test_a_volume_in_every_plane_is_the_volume_of_the_bank(door: Door, data_folder: Path) -> None:
    one = entry(data_folder, "mri_stroke")  # grows by 100 to the left, by 1 to the front and to the head
    for axis, plane in enumerate(("axial", "coronal", "sagittal")):
        door.recut(open_study(door.file(one.record)), plane)
        with open_study(door.at / "series") as cut:
            assert cut.plane == plane
            assert cut.spacing_mm == pytest.approx((2, 2, 2), abs=1e-3)
        study = door.opened(one.record, plane)
        assert isinstance(study, Study)
        assert study.plane == plane
        assert len(study) == one.array.shape[axis]
        for index in (3, 17):
            values = study.values(k := place_of(one, Item(one.record.id, plane, index), study), k + 1)[0]
            bank = one.array
            expected = (bank[index], bank[::-1, index, :], bank[::-1, :, index])[axis]
            np.testing.assert_allclose(values, expected, atol=0.1)


def test_a_slice_becomes_a_still_by_way_of_the_screen(door: Door, data_folder: Path) -> None:
    one = entry(data_folder, "mri_stroke")
    opened = door.still(one, Item(one.record.id, "coronal", 20))
    patches, mask = opened.reads[0].visual, opened.reads[0].mask
    assert opened.kind == patches.kind == "image"
    assert opened.labels["plane"] == "coronal"
    assert mask.kept == mask.total == opened.kept[1]
    assert patches.grid_thw[0] == 1
    black, same = opened.reads[1].visual, opened.reads[1].mask
    assert same is mask
    assert (black.patches == -1).all()


def test_a_volume_is_taken_as_the_product_takes_it(door: Door, data_folder: Path) -> None:
    one = entry(data_folder, "mri_stroke")
    whole = door.sequence(one, "axial", None)
    with open_study(data_folder / one.record.path) as study:
        patches, mask = whole.reads[0].visual, whole.reads[0].mask
        assert patches.frame_index.tolist() == sample_frames(study, NANO_BUDGET).tolist()
        assert patches.window == study.window
    assert mask.kept == mask.total, "threshold None prunes nothing"
    pruned = door.sequence(one, "sagittal", 0.1)
    assert pruned.kept[0] < pruned.kept[1]
    assert pruned.labels["plane"] == "sagittal"


def test_members_of_archives_and_files_are_opened(door: Door, data_folder: Path) -> None:
    for source in ("mednist", "cxr_nih"):
        one = entry(data_folder, source)
        patches = door.still(one, Item(one.record.id)).reads[0].visual
        assert patches.source_size == one.array.shape[:2]


def test_values_outside_sixteen_bits_come_back(tmp_path: Path) -> None:
    values = np.linspace(-1e5, 2e5, 4 * 6 * 5, dtype=np.float32).reshape(4, 6, 5)
    affine = np.array([[0, 0, -2.0, 9], [0, -2.0, 0, 5], [3.0, 0, 0, 1], [0, 0, 0, 1]])
    write_series(values, affine, "MR", tmp_path)
    with open_study(tmp_path) as study:
        np.testing.assert_allclose(study.values(), values, atol=5)
        assert study.spacing_mm == pytest.approx((3, 2, 2))
        assert study.affine is not None
        np.testing.assert_allclose(study.affine, affine, atol=1e-3)
