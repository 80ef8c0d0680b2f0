"""Other people's wordings and captions: only what nano can answer, and what is tested is not trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from train.nano.text.questions import QA
from train.nano.text.texts import (
    Wording,
    caption_question,
    in_their_words,
    load_texts,
    reads_rightly,
    reworded,
    wordings_of,
)

CT = {"modality": "CT", "organ": "chest", "plane": "coronal"}


def test_only_open_questions_that_have_an_answer_here_are_taken() -> None:
    rows = [
        ("modality", "What modality is used to take this image?"),
        ("modality", "what is the mr weighting in this image?"),
        ("modality", "Is this a CT scan?"),
        ("plane", "in what plane is this mri taken?"),
        ("plane", "which plane is the image scanned, transverse plane or coronal plane?"),
        ("organ", "what organ system is imaged?"),
        ("position", "Which part of the body does this image belong to?"),
        ("organ", "What are the white points in the black part of the body?"),
        ("plane", "in what plane is  this mri taken?"),
    ]
    assert wordings_of(rows) == (
        Wording("modality", "What modality is used to take this image?", None),
        Wording("plane", "in what plane is this mri taken?", "MRI"),
        Wording("organ", "Which part of the body does this image belong to?", None),
    )


def test_a_wording_that_names_a_modality_is_asked_of_no_other() -> None:
    wordings = (Wording("plane", "in what plane is this mri?", "MRI"), Wording("organ", "which part?", None))
    rng = np.random.default_rng(0)
    made = in_their_words(CT, wordings, rng)
    assert [(q.task, q.question, q.plain) for q in made] == [("organ", "which part?", "It shows the chest.")]
    plane = QA("plane", "sentence", "Plane?", "The plane is {coronal}.", "coronal")
    assert reworded(plane, CT, wordings, rng) == plane
    asked = reworded(plane, CT | {"modality": "MRI"}, wordings, rng)
    assert (asked.question, asked.answer) == ("in what plane is this mri?", plane.answer)


def test_a_caption_is_asked_only_for_what_it_says_once() -> None:
    def about(caption: str) -> QA | None:
        return caption_question({"id": "ROCO_1", "caption": caption})

    made = about("Postoperative anteroposterior radiograph of the pelvis.")
    assert made is not None
    assert (made.task, made.plain) == ("modality", "It describes an X-ray.")
    assert reads_rightly(made, "It is a radiograph.")
    assert not reads_rightly(made, "It is a CT or an X-ray.")
    assert about("CT and MRI of the head.") is None
    assert about("A stone in the cystic duct.") is None


def test_what_is_tested_is_not_trained_on(tmp_path: Path) -> None:
    for folder in ("text_slake", "text_vqamed2019", "text_roco_ccby", "vqa_rad"):
        (tmp_path / folder).mkdir()

    def write(path: str, rows: list[dict[str, str]]) -> None:
        (tmp_path / path).write_text(json.dumps(rows))

    write(
        "text_slake/slake_en_train.json",
        [{"content_type": "Plane", "question": "What is the scanning plane?"}],
    )
    asked = [
        "what is the scanning plane",
        "What plane is this?",
        "in which plane was it shot?",
        "which plane, please?",
    ]
    write("text_vqamed2019/qa_dev.json", [{"category": "plane", "question": q} for q in asked])
    write("vqa_rad/qa.json", [{"question": "Which plane, please?"}])
    rows = [{"id": f"ROCO_{i}", "caption": f"Axial CT number {i}."} for i in range(200)]
    write("text_roco_ccby/captions_validation.json", rows)
    texts = load_texts(tmp_path)
    assert [w.text for w in texts.unseen_wordings] == ["in which plane was it shot?"]
    assert len(texts.captions) + len(texts.unseen_captions) == 200
    assert 5 < len(texts.unseen_captions) < 40
    assert not {q.question for q in texts.captions} & {q.question for q in texts.unseen_captions}
    assert load_texts(tmp_path / "nothing").wordings == ()
