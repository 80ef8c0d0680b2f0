"""Pictures, pairs and wordings: what the expert is told is true."""

from __future__ import annotations

import numpy as np
import pytest

from train.draw.data.balance import Balance
from train.draw.data.edits import coarse, draw_opacity, lungs, sequence_pairs
from train.draw.data.pictures import SIDE, Pictures, Row, smear_views, square
from train.draw.text import instructions
from train.draw.text.wordings import FORMS, key_of, wordings


def chest() -> np.ndarray:
    """Two dark lungs in a bright body."""
    image = np.full((SIDE, SIDE), 150, np.uint8)
    image[24:96, 16:54] = image[24:96, 74:112] = 60
    return np.repeat(image[..., None], 3, -1)


def test_a_picture_becomes_square_without_being_stretched() -> None:
    wide = np.full((50, 100), 200, np.uint8)
    out = square(wide)
    assert out.shape == (SIDE, SIDE, 3)
    assert (out[:30] == 0).all()
    assert (out[40:88] == 200).all()
    views = smear_views(np.zeros((90, 120, 3), np.uint8), np.random.default_rng(0), 5)
    assert all(view.shape[0] == view.shape[1] >= 54 for view in views)


def test_opacities_lie_in_a_lung_where_their_words_say() -> None:
    image, rng = chest(), np.random.default_rng(1)
    where = lungs(image)
    assert where[60, 30]
    assert not where[60, 64]
    sides, zones = set(), set()
    for _ in range(60):
        one = draw_opacity(image, rng)
        assert one is not None
        changed = np.abs(one.picture.astype(int) - image).mean(-1)
        assert changed[one.mask].mean() > 20
        assert changed[~one.mask].mean() < 2
        rows, columns = np.nonzero(one.mask)
        assert (columns.mean() > SIDE / 2) == (one.side == "left")  # looked at face to face
        expected = ("upper", "middle", "lower")[min(2, int((rows.mean() - 24) * 3 / 72))]
        near_border = min(abs(rows.mean() - 48), abs(rows.mean() - 72)) < 4
        assert one.zone == expected or near_border
        sides.add(one.side)
        zones.add(one.zone)
    assert (len(sides), len(zones)) == (2, 3)
    assert draw_opacity(np.full_like(image, 255), rng) is None


def test_coarse_pictures_hold_a_sixteenth_of_the_numbers() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    assert np.array_equal(coarse(noise), coarse(noise))
    assert coarse(noise).std() < noise.std() / 2
    flat = np.full((SIDE, SIDE, 3), 77, np.uint8)
    assert np.array_equal(coarse(flat), flat)


def test_sequences_are_paired_within_one_visit_and_slice() -> None:
    rows = [
        Row(
            f"mri_open_ms/lo_patient03_{visit}_{name}.nii.gz",
            "mri_open_ms",
            "p3",
            "train",
            {},
            "axial",
            index,
        )
        for visit in ("study1", "study2")
        for name in ("T1W", "FLAIR")
        for index in (4, 5)
    ]
    pairs = sequence_pairs(Pictures(np.zeros((8, 1)), rows), "train")
    assert len(pairs) == 8
    for a, b in pairs:
        assert rows[a].index == rows[b].index
        assert rows[a].record.rpartition("_")[0] == rows[b].record.rpartition("_")[0]
        assert rows[a].record != rows[b].record


@pytest.mark.parametrize("modality", sorted(FORMS))
def test_wordings_name_nothing_that_is_not_so(modality: str) -> None:
    organ = {"ultrasound": "lung", "microscopy": "blood"}.get(modality, "chest")
    labels = {"modality": modality, "organ": organ, "plane": "coronal", "sequence": "T2", "view": "AP"}
    key = key_of(labels)
    assert key is not None
    trained, held = wordings(key), wordings(key, held_out=True)
    assert len(trained) > 5
    assert not set(trained) & set(held)
    for text in trained + held:
        assert not any(word in text for word in ("axial", "sagittal", "T1", "FLAIR", "PA", "{", "  "))
    bare = key_of({"modality": modality, "organ": organ})
    assert bare is not None
    assert not any("coronal" in text or "T2" in text or " ," in text for text in wordings(bare))


def test_what_has_no_wording_is_not_asked_for() -> None:
    assert key_of({"modality": "endoscopy", "organ": "abdomen"}) is None
    assert key_of({"modality": "ultrasound", "organ": "heart"}) is None
    assert key_of({"modality": "CT"}) is None


def test_held_out_instructions_are_never_trained_on() -> None:
    for ask in (
        instructions.sharpen,
        lambda held=False: instructions.translate("FLAIR", held),
        lambda held=False: instructions.insert("left", "lower", held),
        instructions.remove,
    ):
        assert ask()
        assert ask(True)
        assert not set(ask()) & set(ask(True))


def test_rare_kinds_are_drawn_more_often_than_they_occur() -> None:
    keys = [("common",)] * 900 + [("rare",)] * 100
    balance = Balance(np.arange(1000), keys)
    drawn = balance.draw(np.random.default_rng(0), 4000)
    assert (drawn >= 900).mean() == pytest.approx(0.25, abs=0.03)
    assert np.array_equal(drawn, balance.draw(np.random.default_rng(0), 4000))
