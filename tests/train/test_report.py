"""The ship rule, and what the app is told from it."""

from __future__ import annotations

from pathlib import Path

from train.nano.evaluate import Score, report, ship
from train.nano.export import config, spoken
from train.nano.store import write_json


def test_ship_needs_a_margin_and_an_interval_above_every_baseline() -> None:
    assert ship(Score(90, 100), Score(50, 100), Score(60, 100))
    assert not ship(Score(65, 100), Score(50, 100), Score(60, 100)), "five points are not ten"
    assert not ship(Score(8, 10), Score(5, 10)), "ten answers prove little"
    assert not ship(Score(9, 9), Score(0, 9)), "nine even less"


def test_only_what_passed_is_offered(tmp_path: Path) -> None:
    answers = {
        "image": {"view": "view", "state": "state"},
        "volume": {"plane": "plane"},
        "video": {"organ": "organ"},
    }
    assert spoken(answers, tmp_path / "none.json") == {"image": [], "volume": [], "video": []}
    shares = {"unseen": {"view": [9, 10]}, "sequences, 0.1": {"plane": [1, 2]}}
    ship_table = {"view": True, "state": False, "sequence:plane": True, "organ": True}
    write_json({"ship": ship_table, "scores": shares}, tmp_path / "s.json")
    assert spoken(answers, tmp_path / "s.json") == {
        "image": ["view (90 of 100 right on unseen patients)"],
        "volume": ["plane (50 of 100 right on unseen patients)"],
        "video": [],
    }


def test_the_product_accepts_the_exported_config(tmp_path: Path) -> None:
    from omnivmed.inference.loading import read_nano_config
    from omnivmed.model.schema import vision_config
    from omnivmed.registry import Source
    from omnivmed.vision import NANO_BUDGET, VisionBudget

    made = config({"description": "d", "trust": "t"}, {"gguf_sha256": "0"}, True)
    write_json(made, tmp_path / "config.json")
    assert read_nano_config(Source("nano", "nano", tmp_path)) == made
    assert VisionBudget(**made["budget"]) == NANO_BUDGET
    assert vision_config(made["vision_config"]).rope_parameters["rope_theta"] == 100.0


def test_report_names_every_baseline() -> None:
    row = {"view": Score(9, 10), "view@cxr_nih": Score(9, 10)}
    names = ("seen", "unseen", "word", "yesno", "blank", "shuffled", "majority", "probe", "behaviour")
    scores = dict.fromkeys((*names, "sequences, 0.1", "sequences blank", "sequences majority"), row)
    text = report(scores, {"view": True}, [["Two?", "2", "2"]])
    assert "| view | 10 | 90 [60-98] |" in text
    assert "1 of 1" in text
