"""Each public layout, read from a miniature made by code: what is found, what is left out and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivmed.eval import cholec80, endovis18, m3d, pathvqa, psi_ava, slake, vqa_rad
from omnivmed.eval.files import LayoutError
from omnivmed.eval.media import open_media
from omnivmed.eval.protocol import M3D_CLOSED
from omnivmed.eval.registry import BENCHMARKS, find, find_protocol
from tests.eval import trees


def test_vqa_rad_original(tmp_path: Path) -> None:
    trees.vqa_rad_original(tmp_path)
    train, test = vqa_rad.read(tmp_path, "train"), vqa_rad.read(tmp_path, "test")
    assert [i.id for i in train.items] == ["vqa_rad/1", "vqa_rad/2"]
    assert [i.id for i in test.items] == ["vqa_rad/3", "vqa_rad/4", "vqa_rad/4-2", "vqa_rad/6"]
    # "CLOSED " with a space, answers that are numbers, closed questions that are not yes/no
    assert [(i.closed, i.answer) for i in test.items] == [
        (True, "no"),
        (False, "3"),
        (False, "3"),
        (True, "CT"),
    ]
    assert test.skipped_by_reason() == {"image missing": 1, "no question, answer or answer type": 1}
    assert "official split" in test.note


def test_vqa_rad_by_image_shares_no_image(tmp_path: Path) -> None:
    trees.vqa_rad_original(tmp_path)
    groups = [
        {i.group for i in vqa_rad.read(tmp_path, f"{part}-by-image").items} for part in ("train", "test")
    ]
    assert not groups[0] & groups[1]
    assert groups[0] | groups[1] == {"a.jpg", "b.jpg"}


def test_both_vqa_rad_conventions_differ_on_one_file(tmp_path: Path) -> None:
    trees.vqa_rad_original(tmp_path)
    trees.image_folder(tmp_path / "hub", "test")
    original = vqa_rad.read(tmp_path, "test")
    hub = vqa_rad.read(tmp_path / "hub", "test", "hub")
    assert {i.answer for i in original.items if i.closed} == {"no", "CT"}
    assert {i.answer for i in hub.items if i.closed} == {"yes", "No"}
    assert original.note != hub.note
    with pytest.raises(ValueError, match="hub convention"):
        vqa_rad.read(tmp_path / "hub", "test-by-image", "hub")


def test_vqa_rad_in_the_shared_collection(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "vqa_rad"
    train, test = vqa_rad.read(folder, "train"), vqa_rad.read(folder, "test")
    assert len(train.items) + len(train.skipped) == 2406
    assert len(test.items) + len(test.skipped) == 287
    assert len({i.group for i in test.items} - {i.group for i in train.items}) == 0  # shared images


def test_slake_reads_english_only(tmp_path: Path) -> None:
    trees.slake(tmp_path)
    reading = slake.read(tmp_path, "train")
    assert [i.id for i in reading.items] == ["slake/train/1", "slake/train/3"]
    assert reading.skipped_by_reason() == {"not English": 1, "image missing": 1}


def test_pathvqa(tmp_path: Path) -> None:
    trees.image_folder(tmp_path, "validation")
    reading = pathvqa.read(tmp_path, "validation")
    assert [(i.closed, i.answer) for i in reading.items] == [(True, "yes"), (False, "a cyst"), (True, "No")]
    assert reading.skipped[0].name == "metadata.jsonl line 4 (lost.png)"


def test_m3d_vqa_both_forms(tmp_path: Path) -> None:
    trees.m3d(tmp_path)
    closed, opened = m3d.read(tmp_path, "test5k", "closed"), m3d.read(tmp_path, "test5k", "open")
    assert [i.answer for i in closed.items] == ["A. Axial", "B. Stone"]
    assert closed.skipped_by_reason() == {
        "volume missing": 1,
        "unknown question type": 1,
        "answer is not one of the choices": 1,
    }
    assert [i.answer for i in opened.items] == ["Axial", "Stone", "Venous"]
    prompt = M3D_CLOSED.prompt(closed.items[0])
    assert prompt == "Which plane? Choices: A. Axial B. Coronal C. Sagittal D. Oblique"


def test_m3d_volumes_are_shown_as_stored(tmp_path: Path) -> None:
    trees.m3d(tmp_path)
    (study,) = open_media(m3d.read(tmp_path, "test5k").items[0].media)
    assert (study.kind, study.shape, study.window) == ("volume", (4, 32, 28), (0.5, 1.0))
    frames = study.frames()
    assert (frames[0, 0, 0, 0], frames[3, -1, -1, 0]) == (0, 255)


def test_m3d_captions(tmp_path: Path) -> None:
    trees.m3d(tmp_path)
    reading = m3d.read_captions(tmp_path, "train")
    assert [i.answer for i in reading.items] == ["A cyst in the liver.", "Report given in the row."]
    assert reading.skipped_by_reason() == {"volume missing": 1}  # a path outside the folder


def test_cholec80_keeps_every_hundredth_frame(tmp_path: Path) -> None:
    trees.cholec80(tmp_path)
    reading = cholec80.read(tmp_path, "test")
    assert [i.answer for i in reading.items] == ["yes", "preparation", "2"]
    assert reading.skipped_by_reason() == {
        "no frame number in the name": 1,
        "answer is not on the label list": 1,
        "not question|answer": 1,
    }
    assert cholec80.read(tmp_path, "train").skipped_by_reason() == {"image missing": 1}
    assert len(cholec80.TRAIN_VIDEOS) == 32
    assert not set(cholec80.TRAIN_VIDEOS) & set(cholec80.TEST_VIDEOS)
    assert len(cholec80.LABELS) == 13


def test_endovis18(tmp_path: Path) -> None:
    trees.endovis18(tmp_path)
    reading = endovis18.read(tmp_path, "test")
    assert [i.answer for i in reading.items] == ["kidney", "Tool Manipulation"]
    assert reading.skipped_by_reason() == {"image missing": 1, "sequence missing": 2}
    with pytest.raises(LayoutError, match="unpack EndoVis18"):
        endovis18.read(tmp_path, "train")
    assert len(endovis18.LABELS) == 18


def test_psi_ava(tmp_path: Path) -> None:
    trees.psi_ava(tmp_path)
    reading = psi_ava.read(tmp_path, "test")
    assert [(i.category, i.answer) for i in reading.items] == [
        ("location", "top left"),
        ("phase", "Vesículas Seminales"),
    ]
    assert reading.skipped_by_reason() == {"not question|answer": 1, "image missing": 1}
    assert len(psi_ava.LABELS) == len(set(psi_ava.LABELS)) == 35


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_an_empty_folder_says_what_to_do(name: str, tmp_path: Path) -> None:
    benchmark = find(name)
    with pytest.raises(LayoutError, match=r"unpack|save|download"):
        benchmark.read(tmp_path, benchmark.test_split)
    with pytest.raises(ValueError, match="split"):
        benchmark.read(tmp_path, "nonsense")


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="vqa_rad"):
        find("nothing")
    with pytest.raises(ValueError, match="without judge"):
        find_protocol(find("slake"), "C")


def test_vqa_rad_by_image_is_the_split_that_nano_is_trained_on() -> None:
    from train.nano.data.index import by_share

    names = [f"synpic{i}.jpg" for i in range(200)]
    for name in names:
        assert (by_share(f"vqa_rad/{name}", 0.06, vqa_rad.TEST_SHARE) == "test") == (
            vqa_rad.part_by_image(name) == "test"
        )
    assert 20 < sum(vqa_rad.part_by_image(name) == "test" for name in names) < 60
