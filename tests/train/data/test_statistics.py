"""Mixtures counted by modality, task and dimension."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnivmed.eval.kinds import MODALITIES, TASKS, modality_of, task_by_wording, task_of
from omnivmed.records import About, Media, Sample
from tests.eval import trees
from train.data.__main__ import main
from train.data.statistics import markdown, statistics_of
from train.recipes import Source, recipe


def sample(media: Media, about: About, number: int = 0) -> Sample:
    return Sample(str(number), media, (("Q", "A"),), about)


def test_the_paper_s_numbers_of_kinds() -> None:
    assert len(set(MODALITIES)) == 14
    assert len(set(TASKS)) == 11


@pytest.mark.parametrize(
    ("word", "modality"),
    [
        ("Computed Tomography", "ct"), ("MRI", "mr"), (" x-ray", "x-ray"), ("Microscopy Images", "microscopy"),
        ("fundus_photography", "fundus"), ("Dermoscopy", "dermoscopy"), ("Others", ""), (None, ""), (7, ""),
    ],
)  # fmt: skip
def test_words_for_modalities(word: object, modality: str) -> None:
    assert modality_of(word) == modality


@pytest.mark.parametrize(
    ("word", "task"),
    [
        ("PRES, ATTRIB", "finding"), ("PRSE", "finding"), ("ATRIB", "attribute"), ("Plane", "acquisition"),
        ("KG", "reasoning"), ("Other", "reasoning"), ("location", "location"), ("report", "report"), ("", ""),
        ("nonsense", ""),
    ],
)  # fmt: skip
def test_words_for_tasks(word: str, task: str) -> None:
    assert task_of(word) == task


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("How many lesions are there?", "attribute"), ("Where is the mass?", "location"),
        ("Why is it so?", "reasoning"), ("What organ is this?", "anatomy"), ("Is there an effusion?", "finding"),
        ("Which stain is used?", "acquisition"), ("Please describe.", ""),
    ],
)  # fmt: skip
def test_tasks_told_by_the_wording(question: str, task: str) -> None:
    assert task_by_wording(question) == task


def test_counts_follow_weights_and_nothing_is_guessed() -> None:
    picture, clip = Media("image", (Path("a"),)), Media("video", (Path("a"), Path("b")))
    found = statistics_of(
        [
            (
                [
                    sample(picture, About("ct", "finding", "A", "p1")),
                    sample(picture, About("ct", "", "A", "p1")),
                ],
                0.5,
            ),
            (
                [
                    sample(clip, About("surgical video", "workflow", "B", "p1")),
                    sample(Media("text"), About()),
                ],
                2,
            ),
        ]
    )
    assert found.total == 5
    assert found.by(1) == {"surgical video": 2, "text": 2, "ct": 1}
    assert found.by(2) == {"workflow": 2, "finding": 0.5, "not said": 2.5}
    assert found.patients == 2  # "p1" of two sets are two people
    assert found.cross()["surgical video"]["video"] == 2
    text = markdown(found, "T", "c")
    assert "5 samples an epoch, 2 of 14 modalities, 2 of 11 tasks, 2 patients" in text
    assert "| ct | 1 |  |  |  |  | 20.0 % |" in text


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    trees.slake(tmp_path / "SLAKE")
    trees.cholec80(tmp_path / "C")
    config = recipe("omnivmed_1p5b_8x24gb")
    sources = (Source("slake", "SLAKE"), Source("cholec80", "C", "test"), Source("pathvqa", "nowhere"))
    stage = replace(config.stages[-1], sources=sources)
    (tmp_path / "r.json").write_text(replace(config, stages=(stage,)).to_json())
    out = tmp_path / "out"
    assert main([str(tmp_path / "r.json"), "--data", str(tmp_path), "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "5 samples an epoch of 252,000 planned" in said.out
    assert "left out by the set's own rule: not English" in said.out
    assert "nowhere (pathvqa) is not there" in said.err
    assert (out / "mixed.png").read_bytes().startswith(b"\x89PNG")
    rows = [json.loads(line) for line in (out / "mixed.dropped.jsonl").read_text().splitlines()]
    assert {row["use"] for row in rows} == {"by rule", "left out"}
    assert main(["nothing", "--data", str(tmp_path)]) == 2
    assert main(["tiny", "--data", str(tmp_path), "--stage", "none"]) == 2
