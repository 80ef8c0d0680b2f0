"""The threshold ablation on any folder of clips: same questions, several thresholds, one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from omnivmed.eval import folder
from omnivmed.eval.__main__ import main
from omnivmed.eval.clips import Clip
from omnivmed.eval.files import LayoutError
from omnivmed.eval.predictions import Reply
from omnivmed.eval.protocol import RULE_ONLY
from omnivmed.eval.registry import find
from omnivmed.eval.thresholds import run
from omnivmed.records import Item
from tests.eval import trees
from tests.io.makers import clip_bytes


def clips(root: Path) -> None:
    """Two videos as numbered frames, questions about single frames and about a whole clip, wrong rows among them."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(0, 200, 25):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(
                root / name / f"{number}.png"
            )
    rows = [
        {
            "video": "a",
            "frame": 175,
            "fps": 25,
            "question": "Is the tool in?",
            "answer": "yes",
            "group": "case 1",
        },
        {"video": "b", "frame": 50, "fps": 25, "question": "Is the tool in?", "answer": "no"},
        {"video": "a", "fps": 1, "question": "How many tools are there?", "answer": "2", "category": "COUNT"},
        {"video": "a", "frame": 3, "fps": 25, "question": "Q", "answer": "no"},
        {"video": "a", "frame": 25, "question": "Q", "answer": "no"},
        {"video": "../a", "question": "Q", "answer": "no"},
        {"video": "a", "question": "Q"},
        {"video": "a", "fps": -1, "question": "Q", "answer": "no"},
        {"video": "a", "question": "Q", "answer": "no", "choices": "no"},
    ]
    (root / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "broken\n")


def test_a_folder_of_clips(tmp_path: Path) -> None:
    clips(tmp_path)
    reading = find("clips").read(tmp_path, "all")
    assert [len(i.media.paths) for i in reading.items] == [8, 3, 8]
    assert reading.items[0].question == "Is the tool in? The question is about the frame at 7.0s."
    assert [i.group for i in reading.items] == ["case 1", "b", "a"]
    assert [i.about.task for i in reading.items] == ["finding", "finding", "attribute"]
    assert [r.reason for r in reading.skipped] == [
        "frame missing",
        "a question about a frame wants a folder of frames, its number and fps",
        "video missing",
        "no question or answer",
        "fps is not a number above 0",
        "choices are a list",
        "not a JSON object",
    ]
    assert [len(i.media.paths) for i in find("clips:2x1").read(tmp_path, "all").items] == [2, 2, 8]
    assert folder.read(tmp_path, clip=Clip(2)) == find("clips:2x1").read(tmp_path, "all")


def test_clips_without_questions_are_asked_the_same(tmp_path: Path) -> None:
    clips(tmp_path)
    (tmp_path / "questions.jsonl").unlink()
    (tmp_path / "c.mp4").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no clip")
    items = folder.read(tmp_path).items
    assert [i.group for i in items[:: len(folder.QUESTIONS)]] == ["c.mp4", "a", "b"]
    assert {i.answer for i in items} == {""}
    with pytest.raises(LayoutError, match="no clips"):
        folder.read(tmp_path / "a")


def answerer(threshold: float) -> Any:
    """Says yes until the threshold takes too much away."""

    def answer(item: Item, prompt: str) -> Reply:
        return Reply("yes" if threshold < 0.2 else "no", 0.5 - threshold, 100, round(100 * (1 - threshold)))

    return answer


def ablate(root: Path, out: Path, thresholds: tuple[float, ...] = (0.0, 0.1, 0.3)) -> str:
    reading = folder.read(root)
    return run(find("clips"), RULE_ONLY, reading.items, reading.note, "all", "m", answerer, thresholds, out)


def test_scores_tokens_and_differences(tmp_path: Path) -> None:
    clips(tmp_path / "d")
    text = ablate(tmp_path / "d", tmp_path / "out")
    assert "| measure | threshold 0 | threshold 0.1 | threshold 0.3 |" in text
    assert "30 % of visual tokens removed" in text
    assert "threshold 0.3 - threshold 0, accuracy" in text
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    values = [{s["measure"]: s["value"] for s in row["scores"]} for row in table["rows"]]
    assert [v["accuracy"] for v in values] == pytest.approx([1 / 3] * 3)
    assert "unchanged from threshold 0" not in values[0]
    assert [v["unchanged from threshold 0"] for v in values[1:]] == [1.0, 0.0]
    assert [row["tokens_removed"] for row in table["rows"]] == pytest.approx([0, 0.1, 0.3])
    assert ablate(tmp_path / "d", tmp_path / "out") == text  # everything was asked before


def test_without_references_nothing_is_scored(tmp_path: Path) -> None:
    clips(tmp_path / "d")
    (tmp_path / "d" / "questions.jsonl").unlink()
    text = ablate(tmp_path / "d", tmp_path / "out")
    assert "unchanged from threshold 0" in text
    assert "accuracy" not in text
    assert "not whether it harms" in text


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    clips(tmp_path / "d")
    for wrong in ((), (0.1, 0.0), (-1.0, 0.0), (0.0, 0.0)):
        with pytest.raises(ValueError, match="thresholds go up"):
            ablate(tmp_path / "d", tmp_path / "out", wrong)
    trees.cholec80(tmp_path / "c")
    stills = find("cholec80-stills")
    reading = stills.read(tmp_path / "c", "test")
    with pytest.raises(ValueError, match="stills only"):
        run(
            stills,
            stills.protocols[0],
            reading.items,
            "",
            "test",
            "m",
            answerer,
            (0.0, 0.1),
            tmp_path / "out",
        )


def test_frames_of_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, video_file = tmp_path / "frames", tmp_path / "a.mp4"
    video_file.write_bytes(clip_bytes(10))
    assert main(["frames", str(video_file), str(out), "--every", "4"]) == 0
    names = sorted(int(p.stem) for p in out.iterdir())
    assert names == [0, 4, 8]
    assert f"{len(names)} frames" in capsys.readouterr().out
    picture = tmp_path / "still.png"
    trees.picture(picture)
    assert main(["frames", str(picture), str(out)]) == 2
    assert "no video" in capsys.readouterr().err
    assert main(["frames", str(video_file), str(out), "--every", "0"]) == 2
