"""docs/results.md is put together from what was run, and says what was not."""

from __future__ import annotations

from pathlib import Path

from train.claims.record import Cell
from train.claims.report import Outcome, save
from train.claims.setting import Setting
from train.results import TRAINED, digest_of, weights_of, write


def test_what_was_run_stands_and_what_was_not_is_said(tmp_path: Path) -> None:
    setting = Setting(tmp_path, tmp_path / "out", model="nano")
    cell = Cell("a", "all", 0.5, 0.4, 0.6, 10)
    outcome = Outcome("scaling", "Data scaling", "more is better.", ("ten questions",), (cell,), ())
    save(outcome, setting.out / "scaling", {"all": [(1.0, cell)]}, "questions")
    target = tmp_path / "docs/results.md"
    write(setting, target, "## VQA-RAD\n", (3, 4))
    text = target.read_text()
    assert "| all | 50.0 [40.0, 60.0] (exact, n=10) |" in text
    assert text.count("Not yet run") == len(TRAINED)  # thresholds and all of these but scaling
    assert "![scaling](figures/scaling.png)" in text
    assert (tmp_path / "docs/figures/scaling.png").is_file()
    assert "3 of the official test part, 4 about pictures" in text


def test_answers_of_earlier_weights_are_said_to_be(tmp_path: Path) -> None:
    now = weights_of(tmp_path / "new", "nano")
    assert digest_of("nano") in now
    assert "earlier" not in now
    (tmp_path / "old").mkdir()
    (tmp_path / "old/weights.sha256").write_text("0123456789abcdef\n")
    assert "0123456789abcdef, an earlier version of nano" in weights_of(tmp_path / "old", "nano")
