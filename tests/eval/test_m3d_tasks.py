"""M3D's retrieval and positioning as questions: rows, boxes, scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivmed.eval import m3d_tasks
from omnivmed.eval.m3d_tasks import box_of, class_names, overlap, parse_box, score_positions
from omnivmed.eval.protocol import M3D_CLOSED
from tests.eval import trees


def test_retrieval_offers_reports_of_other_cases(tmp_path: Path) -> None:
    trees.m3d_reports(tmp_path)
    reading = m3d_tasks.read_retrieval(tmp_path, "train")
    assert len(reading.items) == 7
    for item in reading.items:
        right = item.choices["ABCD".index(item.answer[0])]
        number = int(item.group.rsplit("/", 1)[1])
        assert right.startswith(f"Finding number {number}.")
        assert right.endswith(" …")
        assert len(set(item.choices)) == 4
        assert "Choices: A. Finding" in M3D_CLOSED.prompt(item)
    assert len({item.answer for item in reading.items}) > 1
    assert m3d_tasks.read_retrieval(tmp_path, "train") == reading
    few = m3d_tasks.read_retrieval(tmp_path, "test")
    assert not few.items
    assert {row.by_rule for row in few.skipped} == {True}
    scores = M3D_CLOSED.score(reading.items, {i.id: f"{i.answer} because" for i in reading.items})
    assert scores[0].value == 1.0


def test_positioning_asks_where_and_what(tmp_path: Path) -> None:
    trees.m3d_seg(tmp_path)
    reading = m3d_tasks.read_positioning(tmp_path, "train")
    assert [(i.category, i.answer) for i in reading.items] == [
        ("where", "[0.25, 0.25, 0.5, 0.5, 0.5, 0.75]"),
        ("what", "liver"),
        ("where", "There is no spleen in this volume."),
    ]
    assert reading.skipped_by_reason() == {
        "no name for the mask's class": 1,
        "mask missing": 1,
        "the mask could not be read": 1,
        "volume missing": 1,
        "no image and label": 1,
    }
    assert reading.skipped[0].name == "0003.json train[2]"
    assert len(m3d_tasks.read_positioning(tmp_path / "M3D_Seg", "test").items) == 2
    assert class_names(["liver", "spleen"]) == {0: "liver", 1: "spleen"}
    assert class_names("liver") == {}


def test_boxes() -> None:
    mask = np.zeros((4, 10, 10))
    assert box_of(mask) is None
    mask[3, 9, 0] = 2
    assert box_of(mask) == (0.75, 0.9, 0.0, 0.75, 0.9, 0.0)  # the last index itself, as M3D has it
    with pytest.raises(ValueError, match="three axes"):
        box_of(np.zeros((4, 4)))
    assert parse_box("It is at [0.1, 0.2,.3, 1, 1.0, 0.9].") == (0.1, 0.2, 0.3, 1.0, 1.0, 0.9)
    assert parse_box("[0.1, 0.2]") is parse_box("none") is None


def test_overlap_by_hand_and_as_m3d_has_it() -> None:
    one, two = (0.0, 0.0, 0.0, 1.0, 1.0, 0.5), (0.0, 0.0, 0.25, 1.0, 1.0, 0.75)
    assert overlap(one, two) == pytest.approx(0.25 / 0.75)
    assert overlap(one, two, hull=True) == pytest.approx(0.25 / 0.75)  # in a row: the hull is the union
    corner = (0.5, 0.5, 0.25, 1.0, 1.0, 0.75)
    assert overlap(one, corner) == pytest.approx(0.0625 / (0.5 + 0.125 - 0.0625))
    assert overlap(one, corner, hull=True) == pytest.approx(0.0625 / 0.75)  # smaller: the hull holds more
    assert overlap(one, (0.0, 0.0, 0.6, 1.0, 1.0, 0.9)) == 0.0
    flat = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert overlap(flat, flat) == 0.0


def test_positions_are_scored(tmp_path: Path) -> None:
    trees.m3d_seg(tmp_path)
    items = m3d_tasks.read_positioning(tmp_path, "train").items
    answers = {
        items[0].id: "[0.25, 0.25, 0.5, 0.5, 0.5, 0.75]",
        items[1].id: "the liver",
        items[2].id: "[0,0,0,1,1,1]",
    }
    scores = {s.measure: s.value for s in score_positions(items, answers)}
    assert scores["mean IoU"] == pytest.approx(1)
    assert scores["IoU > 0.25"] == 1
    assert scores["absent: no box given"] == 0
    assert scores["what is in the box, recall"] == 1
    worse = {items[0].id: "somewhere", items[1].id: "", items[2].id: ""}
    scores = {s.measure: s.value for s in score_positions(items, worse)}
    assert scores["mean IoU"] == scores["absent: no box given"] == 0
    assert scores["answers without a box"] == 1
