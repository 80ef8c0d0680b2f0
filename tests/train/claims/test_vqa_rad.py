"""VQA-RAD with a tiny nano: arms, files that the evaluation reads, and batches that equal single questions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnivmed.eval import predictions
from omnivmed.eval.__main__ import main
from train.claims import vqa_rad
from train.claims.parts import Parts
from train.claims.setting import Setting
from train.nano.data.bank import Entry
from train.nano.data.index import Record

IMAGES = [f"synpic{i}.jpg" for i in range(12)]


@pytest.fixture
def rad(setting: Setting, parts: Parts, tmp_path: Path) -> Setting:
    """A folder with VQA-RAD alone: 12 pictures of two questions, a third of them official test rows."""
    from PIL import Image

    root = tmp_path / "data/vqa_rad"
    (root / "images").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    for i, name in enumerate(IMAGES):
        pixels = rng.integers(0, 256, (60, 80)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / name)
        record = Record(f"vqa_rad/{name}", "vqa_rad", name, "train", "image", name, {"organ": "head"})
        parts.nano.bank[record.id] = Entry(record, pixels)
        part = "test" if i % 3 == 0 else "train"
        for kind, question, answer in (
            ("CLOSED", "Is it?", "no"),
            ("OPEN", f"Where is {i}?", "left lung"),
        ):
            rows.append(
                {
                    "qid": len(rows),
                    "image_name": name,
                    "question": question,
                    "answer": answer,
                    "answer_type": kind,
                    "question_type": "PRES",
                    "split": part,
                }
            )
    (root / "qa.json").write_text(json.dumps(rows))
    return replace(setting, data=tmp_path / "data")


def test_training_rows_are_in_no_test_part(rad: Setting) -> None:
    root = rad.data / "vqa_rad"
    train = {i.id for i in vqa_rad.training_rows(root)}
    assert train
    for split in vqa_rad.SPLITS.values():
        assert not train & {i.id for i in vqa_rad.vqa_rad.read(root, split).items}


def test_every_arm_is_written_and_can_be_scored_again(
    rad: Setting, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    text = vqa_rad.run(rad, parts)
    folder = rad.out / "vqa_rad"
    for arm in ("majority", "question-only", "words alone, fine-tuned", "nano, fine-tuned, grey picture"):
        assert arm in text
    assert "nano, fine-tuned - words alone, fine-tuned, closed accuracy" in text
    assert "words-alone: " in text
    file = folder / "predictions/nano-fine-tuned.vqa_rad.jsonl"
    header, replies = predictions.load(file)
    assert (header.protocol, header.split, len(replies)) == ("A", "test", header.questions)
    other = folder / "predictions/majority.vqa_rad.jsonl"
    assert main(["score", str(file), str(other), "--data", str(rad.data / "vqa_rad")]) == 0
    assert "nano, fine-tuned - majority" in capsys.readouterr().out
    assert vqa_rad.run(rad, parts) == text, "a second call asks nobody"


def test_without_minutes_nothing_is_trained(rad: Setting, parts: Parts) -> None:
    text = vqa_rad.run(replace(rad, minutes=0.0), parts)
    assert "fine-tuned" not in text
    assert "| measure | nano | nano, grey picture | majority | question-only |" in text
