"""Predictions first, scores afterwards: resume, repeatability, baselines, the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnivmed.eval import baselines, predictions, vqa_rad
from omnivmed.eval.__main__ import main
from omnivmed.eval.predictions import Header, PredictionsError, Reply
from omnivmed.eval.protocol import LLAVA_MED, M3D_CLOSED, M3D_OPEN, RULE_ONLY, surgical
from omnivmed.eval.report import Row, markdown
from omnivmed.records import Item, Media
from tests.eval import trees


def item(key: str, question: str, answer: str, closed: bool, category: str = "", **more: object) -> Item:
    return Item(key, Media("text"), question, answer, closed, category, **more)  # type: ignore[arg-type]


ITEMS = [
    item("1", "Is there fluid?", "yes", True),
    item("2", "Is there air?", "no", True),
    item("3", "Which organ?", "left lung", False),
]


def header(model: str = "m", questions: int = 3) -> Header:
    return Header("vqa_rad", "test", "A", LLAVA_MED.prompt_hash(ITEMS), model, None, "note", questions)


def test_an_interrupted_run_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(one: Item, prompt: str) -> Reply:
        asked.append(one.id)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return Reply("yes")

    path = tmp_path / "p.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predictions.run(ITEMS, LLAVA_MED, header(), answer, path)
    with path.open("a") as file:
        file.write('{"id": "3", "te')  # the line that was being written
    replies = predictions.run(ITEMS, LLAVA_MED, header(), answer, path)
    assert asked == ["1", "2", "3", "3"]
    assert set(replies) == {"1", "2", "3"}
    with pytest.raises(PredictionsError, match="another run"):
        predictions.run(ITEMS, LLAVA_MED, header("other"), answer, path)


def test_scores_do_not_change_when_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    predictions.run(ITEMS, LLAVA_MED, header(), lambda i, p: Reply("Yes, the lung", 0.5, 100, 40), path)
    _, replies = predictions.load(path)
    first = LLAVA_MED.score(ITEMS, predictions.texts(replies))
    assert first == LLAVA_MED.score(ITEMS, predictions.texts(predictions.load(path)[1]))
    values = {s.measure: s.value for s in first}
    assert values["closed accuracy"] == 0.5
    assert values["open recall"] == 0.5
    assert values["empty answers"] == 0
    assert predictions.tokens_removed(replies) == pytest.approx(0.6)


def test_a_part_is_never_scored_as_the_whole() -> None:
    with pytest.raises(ValueError, match="1 of 3 questions"):
        LLAVA_MED.score(ITEMS, {"1": "yes", "2": "no"})


def test_protocols_ask_differently_and_hash_differently() -> None:
    assert LLAVA_MED.prompt(ITEMS[0]) == "Is there fluid?"
    assert RULE_ONLY.prompt(ITEMS[0]).endswith("single word or phrase.")
    assert RULE_ONLY.prompt(ITEMS[2]).endswith("concisely.")
    assert LLAVA_MED.prompt_hash(ITEMS) != RULE_ONLY.prompt_hash(ITEMS) != LLAVA_MED.prompt_hash(ITEMS[:2])


def test_rule_only_accuracy() -> None:
    answers = {"1": "yes", "2": "yes and no", "3": "Left lung."}
    (accuracy, _) = RULE_ONLY.score(ITEMS, answers)
    assert accuracy.value == pytest.approx(2 / 3)


def test_m3d_means_are_over_types_not_questions() -> None:
    items = [
        item("1", "q", "A. x", True, "plane", choices=("x", "y")),
        item("2", "q", "B. y", True, "organ", choices=("x", "y")),
        item("3", "q", "B. y", True, "organ", choices=("x", "y")),
    ]
    answers = {"1": "A. x", "2": "B. y", "3": "A. x"}
    scores = {s.measure: s.value for s in M3D_CLOSED.score(items, answers)}
    assert scores["closed accuracy, organ"] == 0.5
    assert scores["closed accuracy, mean of types"] == 0.75
    opened = [item("1", "q", "axial plane", False, "plane"), item("2", "q", "liver", False, "organ")]
    means = {s.measure: s.value for s in M3D_OPEN.score(opened, {"1": "axial", "2": "liver"})}
    assert means["open recall, mean of types"] == 0.75


def test_surgical_scores_report_what_matched_no_label() -> None:
    protocol = surgical(("yes", "no", "Tool_Manipulation"))
    items = [item("1", "q", "Tool Manipulation", True), item("2", "q", "no", True)]
    scores = {s.measure: s.value for s in protocol.score(items, {"1": "tool_manipulation", "2": "perhaps"})}
    assert scores["accuracy"] == 0.5
    assert scores["unmatched answers"] == 0.5


def test_baselines_need_no_picture() -> None:
    train = [
        item("a", "Is there fluid in the lung?", "yes", True, "PRES"),
        item("b", "Is there fluid in the belly?", "yes", True, "PRES"),
        item("c", "Is the heart enlarged?", "no", True, "SIZE"),
        item("d", "Which organ is shown?", "lung", False, "ORGAN"),
    ]
    major = baselines.majority(train)
    assert major(item("x", "?", "", True, "SIZE"), "").text == "no"  # commonest of its category
    assert major(item("x", "?", "", True, "NEW"), "").text == "yes"  # commonest of its form
    nearest = baselines.question_only(train, neighbours=1)
    assert nearest(item("x", "Is the heart large?", "", True), "").text == "no"
    assert nearest(item("x", "Is the organ shown?", "", False), "").text == "lung"
    assert nearest(item("x", "zzz", "", True), "").text == "yes"


def test_the_report_names_the_protocol_in_every_cell() -> None:
    answers = {"1": "yes", "2": "no", "3": "lung"}
    rows = [
        Row(header(model), tuple(LLAVA_MED.score(ITEMS, answers)), 0.6, 1.25, failed)
        for model, failed in (("nano", 1), ("majority", 0))
    ]
    text = markdown("Scores", rows, "a command")
    cells = [
        c
        for line in text.splitlines()
        if line.startswith("| ") and "[" in line
        for c in line.split("|")[2:-1]
    ]
    assert len(cells) == 16
    assert all("(A, n=" in cell for cell in cells)
    assert "60 % of visual tokens removed; 1.25 s per answer; 1 questions failed" in text
    assert "Not for clinical use" in text


def test_the_command_line_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.vqa_rad_original(tmp_path / "rad")
    data = ["--data", str(tmp_path / "rad")]
    assert main(["check", "vqa_rad", *data]) == 0
    assert "image missing" in capsys.readouterr().out
    files = []
    for name in ("majority", "question-only"):
        files.append(str(tmp_path / f"{name}.jsonl"))
        assert main(["predict", "vqa_rad", *data, "--model", name, "--out", files[-1]]) == 0
    assert main(["score", *files, *data, "--out", str(tmp_path / "scores.md")]) == 0
    assert "majority" in (tmp_path / "scores.md").read_text()
    numbers = json.loads((tmp_path / "scores.json").read_text())
    assert {row["protocol"] for row in numbers} == {"A"}
    # other questions than those that were answered are refused
    questions = tmp_path / "rad" / vqa_rad.QUESTION_FILES[0]
    questions.write_text(questions.read_text().replace("Is it enlarged?", "Is it small?"))
    assert main(["score", files[0], *data]) == 2
    assert "other questions" in capsys.readouterr().err
