"""The ship rule, and what the app is told from it."""

from __future__ import annotations

import json
from pathlib import Path

from train.loop.store import write_json
from train.nano import export
from train.nano.export import config, silent_in, spoken
from train.nano.measure.report import report
from train.nano.measure.score import Score, beats, ship, silent_of


def test_beating_needs_a_margin_and_an_interval_above_every_baseline() -> None:
    assert beats(Score(90, 100), Score(50, 100), Score(60, 100))
    assert not beats(Score(65, 100), Score(50, 100), Score(60, 100)), "five points are not ten"
    assert not beats(Score(8, 10), Score(5, 10)), "ten answers prove little"
    assert not beats(Score(9, 9), Score(0, 9)), "nine even less"


def test_one_source_that_is_no_better_than_guessing_silences_a_type() -> None:
    scores = {
        "image:view": Score(90, 100),
        "volume:modality": Score(90, 100),
        "volume:modality@new scanner": Score(0, 6),
        "video:organ": Score(50, 100),
    }
    table = ship(scores, [{"volume:modality": Score(40, 100), "video:organ": Score(45, 100)}])
    assert table["image:view"] == ""
    assert table["volume:modality"] == "fails on new scanner"
    assert "45 %" in table["video:organ"]
    silent = silent_of(table)
    assert "view" not in silent["image"]
    assert "modality" in silent["volume"]
    assert "organ" in silent["video"]
    assert "plane" in silent["image"], "what was never measured has not passed"


def test_a_source_is_held_against_the_guesses_about_that_source() -> None:
    scores = {
        "volume:modality": Score(92, 100),
        "volume:modality@one value": Score(40, 40),
        "volume:modality@new scanner": Score(7, 12),
        "volume:sequence": Score(90, 100),
        "volume:sequence@one value": Score(0, 6),
    }
    blank = {
        "volume:modality": Score(80, 100),
        "volume:modality@one value": Score(40, 40),
        "volume:modality@new scanner": Score(0, 6),
        "volume:sequence": Score(20, 100),
        "volume:sequence@one value": Score(3, 3),
    }
    table = ship(scores, [blank])
    assert table["volume:modality"] == "", "where a guess is always right nothing can be better"
    assert table["volume:sequence"] == "fails on one value", "but it can be worse"


def test_only_what_passed_is_offered_and_a_weak_source_is_named(tmp_path: Path) -> None:
    answers = {
        "image": {"view": "view", "state": "state"},
        "volume": {"plane": "plane"},
        "video": {"organ": "organ"},
    }
    assert spoken(answers, tmp_path / "none.json") == {"image": [], "volume": [], "video": []}
    shares = {
        "spoken": {"image:view": [9, 10]},
        "sequences spoken": {"volume:plane": [7, 10], "volume:plane@a": [5, 5], "volume:plane@b": [2, 6]},
    }
    table = {"image:view": "", "image:state": "fails", "volume:plane": ""}
    write_json({"ship": table, "scores": shares, "silent": {"image": ["state"]}}, tmp_path / "s.json")
    assert spoken(answers, tmp_path / "s.json") == {
        "image": ["view (90 of 100 right on unseen patients)"],
        "volume": ["plane (70 of 100 right on unseen patients; 33 of 100 on its weakest source)"],
        "video": [],
    }
    assert silent_in(tmp_path / "s.json")["volume"] == ["modality", "organ", "sequence", "state", "view"]
    assert "view" not in silent_in(tmp_path / "s.json")["image"]
    assert len(silent_in(tmp_path / "none.json")["image"]) == 6


def test_the_product_accepts_the_exported_config(tmp_path: Path) -> None:
    from omnivmed.inference.loading import read_nano_config
    from omnivmed.model.schema import vision_config
    from omnivmed.vision import NANO_BUDGET, VisionBudget
    from omnivmed.weights.names import Source

    made = config({"description": "d", "trust": "t"}, {"gguf_sha256": "0"}, True)
    write_json(made, tmp_path / "config.json")
    assert read_nano_config(Source("nano", "nano", tmp_path)) == made
    assert VisionBudget(**made["budget"]) == NANO_BUDGET
    rope = vision_config(made["vision_config"]).rope_parameters
    assert rope is not None
    assert rope["rope_theta"] == 100.0


def test_report_names_every_baseline() -> None:
    row = {"image:view": Score(9, 10), "image:view@cxr_nih": Score(9, 10)}
    names = ("seen", "unseen", "word", "yesno", "blank", "shuffled", "majority", "probe", "behaviour")
    scores = dict.fromkeys((*names, "sequences, 0.1", "sequences blank", "sequences majority"), row)
    text = report(scores, {"image:view": ""}, {"image": ["sequence"]}, [["Two?", "2", "2"]])
    assert "| view | 10 | 90 [60-98] |" in text
    assert "| +0 | yes |" in text
    assert "sequence (image)" in text


def test_the_card_names_what_is_held_back(tmp_path: Path) -> None:
    template = (Path(export.__file__).parent / "card.md").read_text()
    answers = {"image": ["kind of image"], "volume": [], "video": []}
    text = export.model_card(template, answers, {"image": ["sequence"], "volume": [], "video": []}, tmp_path)
    assert "- image: kind of image." in text
    assert "- volume: nothing yet." in text
    assert "- image: the MR sequence." in text
    assert "- volume: nothing." in text
    assert "{{" not in text


def test_no_question_is_offered_whose_answer_is_held_back() -> None:
    offered = json.loads((Path(export.__file__).parent / "card.json").read_text())["questions"]
    assert export.suggested(offered, {}) == offered
    left = export.suggested(
        offered, {"image": ["sequence"], "volume": ["modality", "organ", "state", "view"]}
    )
    assert left["image"] == offered["image"]
    assert left["volume"] == ["In which plane was this scan taken?", "Describe this scan."]
