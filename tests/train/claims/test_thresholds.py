"""The claim on thresholds with a made-up assistant that prunes by the real rule and answers from the labels."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.inference import AskOptions, Timings, Usage
from omnivmed.pruning import prune
from omnivmed.study import Study
from omnivmed.vision import NANO_BUDGET
from train.claims import thresholds
from train.claims.__main__ import CLAIMS, main
from train.claims.record import Said, difference, read, score, write
from train.claims.setting import Setting


@dataclass
class Given:
    text: str
    usage: Usage
    timings_s: Timings = field(default_factory=lambda: Timings(first_token=0.5, prefill=0.1))


class Labeller:
    """Says the same about everything; forgets what it is told to forget."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []
        self.forgotten = 0

    def forget(self, study: Study) -> int:
        self.forgotten += 1
        return 0

    def answer(self, study: Study, question: str, *, options: AskOptions) -> Given:
        self.asked.append((question, options.threshold))
        mask = prune(study, options.threshold, max_frames=options.max_frames, budget=NANO_BUDGET)
        return Given("This is an MRI.", Usage(visual_tokens_after=mask.kept))


@pytest.fixture
def setting(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    setting = Setting(data_folder, tmp_path, small=True)
    bank = setting.load_bank()
    volume = next(e for e in bank.values() if e.record.kind == "volume")
    bank["other"] = replace(volume, record=replace(volume.record, id="other", patient="other", split="test"))
    monkeypatch.setattr(Setting, "load_bank", lambda self: bank)
    return setting


def test_tokens_fall_with_the_threshold_and_answers_are_kept(setting: Setting) -> None:
    assistant: Any = Labeller()
    text = thresholds.run(setting, assistant)
    folder = setting.out / "thresholds"
    numbers = {(c["arm"], c["measure"]): c for c in json.loads((folder / "table.json").read_text())["cells"]}
    tokens = [numbers[f"{t:g}", "visual tokens"]["value"] for t in thresholds.THRESHOLDS]
    assert tokens == sorted(tokens, reverse=True)
    assert tokens[0] > tokens[-1]
    assert numbers["0", "modality"]["value"] == 1.0
    assert numbers["0", "organ"]["value"] == 0.0
    assert numbers["0", "first token"]["unit"] == "s"
    assert assistant.forgotten == 2 * 3 * 4, "every threshold starts from nothing"
    asked = len(assistant.asked)
    assert thresholds.run(setting, assistant) == text
    assert len(assistant.asked) == asked, "scoring asks nobody"
    assert (folder / "figure.png").is_file()


def test_frames_keep_one_window_for_the_volume(setting: Setting) -> None:
    entry = setting.load_bank()["other"]
    axial, coronal = (thresholds.frames_of(entry, p) for p in ("axial", "coronal"))
    assert len(axial) == entry.array.shape[0]
    assert len(coronal) == entry.array.shape[1]
    assert axial.dtype == np.uint8
    assert axial[-1].mean() != axial[0].mean(), "a window per slice would make them alike"


def test_difference_is_paired_over_patients(tmp_path: Path) -> None:
    ours = [Said(f"s{i}", f"p{i}", "modality", "?", "CT", "CT") for i in range(8)]
    theirs = [replace(r, said="MRI") if i < 4 else r for i, r in enumerate(ours)]
    found = difference("a", ours, "b", theirs, "all")
    assert found.value == 0.5
    assert found.low > 0
    with pytest.raises(ValueError, match="no common question"):
        difference("a", ours, "b", [replace(r, case="x") for r in theirs], "all")
    write(tmp_path / "p.jsonl", ours)
    assert read(tmp_path / "p.jsonl") == ours
    assert score("a", "all", ours).text().startswith("100.0 [100.0, 100.0]")


def test_command_says_what_is_missing(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["positions", "--data", str(data_folder), "--out", str(tmp_path)]) == 2
    assert "--encoder-onnx" in capsys.readouterr().err
    import importlib

    assert all(callable(importlib.import_module(f"train.claims.{name}").run) for name in CLAIMS)
