"""Index, splits, decoded pixels and views on a made-up data folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnivmed.vision import NANO_BUDGET, resize_frames, target_size
from train.nano.data.bank import build_bank, decode, load_bank
from train.nano.data.index import (
    PACKAGED_COARSE_CT,
    PACKAGED_CT,
    PACKAGED_MR,
    PACKAGES,
    PYDICOM_FOLDER,
    PYDICOM_STILLS,
    build_index,
    write_splits,
)
from train.nano.data.sampling import Pool
from train.nano.data.views import Item, augment, fit, items_of, picture
from train.nano.text.human import human_questions


def test_no_patient_is_in_two_splits_and_ids_are_unique(data_folder: Path) -> None:
    records = build_index(data_folder)
    splits: dict[str, set[str]] = {}
    for record in records:
        splits.setdefault(record.patient, set()).add(record.split)
    assert all(len(s) == 1 for s in splits.values())
    assert len({r.id for r in records}) == len(records) == 60 + 20 + 4 + 1


def test_real_index_keeps_patients_apart_and_samples_untrained(shared_dir: Path) -> None:
    records = build_index(shared_dir / "data")
    splits: dict[str, set[str]] = {}
    for record in records:
        splits.setdefault(record.patient, set()).add(record.split)
    assert all(len(s) == 1 for s in splits.values())
    assert {r.split for r in records if r.source == "totalseg_ct"} == {"test"}, "the app's CT sample"


def test_committed_splits_match_the_index(shared_dir: Path, tmp_path: Path) -> None:
    packaged = [
        ct := PACKAGES + PACKAGED_CT,
        PACKAGES + PACKAGED_COARSE_CT,
        PACKAGES + PACKAGED_MR,
        *(PACKAGES + PYDICOM_FOLDER + name for name, _ in PYDICOM_STILLS),
    ]
    for path in packaged:  # the index asks only whether they are there
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    records = build_index(shared_dir / "data", tmp_path)
    write_splits(records, tmp_path)
    committed = Path(__file__).parents[4] / "train/nano/splits"
    for name in ("train", "dev", "test"):
        assert (tmp_path / f"{name}.tsv").read_text() == (committed / f"{name}.tsv").read_text()
    assert {r.split for r in records if r.path.startswith(PACKAGES)} == {"train"}
    assert ct in {r.path for r in records}


def test_index_is_deterministic(data_folder: Path) -> None:
    assert build_index(data_folder) == build_index(data_folder)


def test_bank_keeps_pixels_and_orients_volumes_by_the_affine(data_folder: Path, tmp_path: Path) -> None:
    records = build_index(data_folder)
    build_bank(data_folder, records, tmp_path / "bank")
    bank = load_bank(tmp_path / "bank", records)
    assert list(bank) == [r.id for r in records]
    still = next(r for r in records if r.source == "cxr_nih")
    np.testing.assert_array_equal(bank[still.id].array, decode(data_folder, still).array)
    mr = bank["mri_stroke/T1.nii.gz"]
    assert mr.array.shape == (44, 48, 40)
    assert mr.spacing_mm == (2.0, 2.0, 2.0)
    # the patient's left lies on the right of an axial slice, and there the phantom is bright
    axial = picture(mr, Item(mr.record.id, "axial", 20)).astype(int)
    assert axial[:, -1].mean() > axial[:, 0].mean() + 100


def test_items_cover_three_planes_and_views_are_a_function_of_the_seed(
    data_folder: Path, tmp_path: Path
) -> None:
    records = [r for r in build_index(data_folder) if r.kind == "volume"]
    build_bank(data_folder, records, tmp_path / "bank")
    entry = load_bank(tmp_path / "bank", records)["mri_stroke/T1.nii.gz"]
    items = items_of(entry)
    assert {"axial", "coronal"} <= {i.plane for i in items}, "a sagittal slice of the phantom is nearly flat"
    one, two, other = (augment(picture(entry, items[0]), np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert one.shape != other.shape or (one != other).any()
    assert fit(one, 16).shape[2] == 3


def test_draws_depend_on_seed_only(data_folder: Path, tmp_path: Path) -> None:
    records = [r for r in build_index(data_folder) if r.source in ("mednist", "cxr_nih")]
    build_bank(data_folder, records, tmp_path / "bank")
    pool = Pool(load_bank(tmp_path / "bank", records), "train")
    mixture = {"mednist": 0.5, "cxr_nih": 0.5, "absent": 1.0}
    draws = [[pool.draw(mixture, np.random.default_rng((42, step))) for step in range(5)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 1


def test_pictures_get_the_size_and_pixels_the_product_gives_them() -> None:
    for height, width in ((64, 64), (480, 640), (122, 101), (91, 109), (60, 80), (300, 1200)):
        image = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
        for cap in (NANO_BUDGET.image_max_tokens, NANO_BUDGET.frame_max_tokens):
            assert cap
            size = target_size(height, width, merge_size=2, max_tokens=cap)
            rgb = np.repeat(image[..., None], 3, -1)
            np.testing.assert_array_equal(fit(image, cap), resize_frames([rgb], size)[0])


def test_human_questions_are_answered_or_declined(data_folder: Path) -> None:
    labels = {r.id: r.labels for r in build_index(data_folder) if r.source == "vqa_rad"}
    asked = human_questions(data_folder, labels)["vqa_rad/synpic0.jpg"]
    assert [q.form for q in asked] == ["yesno", "refusal"]
    assert asked[0].plain.startswith("No, this is a CT scan")
