"""Answers in batches are the answers of one conversation at a time, word for word (float32, a random model)."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from omnivmed.errors import ModelError
from omnivmed.inference.engine import LocalAssistant
from omnivmed.model import batch as module
from omnivmed.model.decode import ReferenceDecoder
from omnivmed.study import Study
from tests.phantoms import clip_study, ct_study, radiograph

QUESTIONS = ["Plane?", "What is shown here?", "Is this an MRI?", "Which organ do you recognise in it?"]
MOST = 12


def studies() -> list[Study]:
    still = Study.from_array(radiograph(), modality="CR")
    return [still, ct_study(), clip_study(), Study.from_array(radiograph()[:, ::-1].copy())]


def alone(assistant: LocalAssistant, study: Study, question: str, history: Any = (), **how: Any) -> str:
    assistant.forget(study)
    return assistant.answer(study, question, history, max_new_tokens=MOST, alone=True, **how).text


def test_batches_say_what_the_engine_says(
    random_assistant: LocalAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = random_assistant.batch()
    expected = [[alone(random_assistant, s, q) for q in QUESTIONS] for s in studies()]
    assert len({t for row in expected for t in row}) > 4
    cases = [(batch.read(s), QUESTIONS) for s in studies()]
    assert batch.answers(cases, MOST) == expected
    monkeypatch.setattr(module, "POSITIONS", 150)  # one study at a time
    assert batch.answers(cases, MOST) == expected


def test_threshold_frames_and_history_are_those_of_the_engine(random_assistant: LocalAssistant) -> None:
    study, batch = ct_study(), random_assistant.batch()
    history = [("Plane?", "It is axial.")]
    for threshold, reference, frames in ((0.0, "previous", 4), (0.3, "last_kept", None)):
        how: dict[str, Any] = {"threshold": threshold, "reference": reference, "max_frames": frames}
        read = batch.read(study, **how)
        asked: list[str | tuple[str, list[tuple[str, str]]]] = ["Organ?", ("And now?", history)]
        expected = [
            alone(random_assistant, study, "Organ?", **how),
            alone(random_assistant, study, "And now?", history, **how),
        ]
        assert batch.answers([(read, asked)], MOST) == [expected]


def test_a_model_without_a_fast_path_is_asked_one_by_one(random_assistant: LocalAssistant) -> None:
    batch: Any = random_assistant.batch()
    cases = [(batch.read(s), QUESTIONS[:2]) for s in studies()[:2]]
    expected = batch.answers(cases, MOST)
    batch.runtime.decoder = ReferenceDecoder(batch.runtime.model)
    assert batch.answers(cases, MOST) == expected


def test_words_alone_need_no_study(random_assistant: LocalAssistant) -> None:
    batch = random_assistant.batch()
    said = batch.answers([(None, QUESTIONS)], MOST)[0]
    assert len(said) == len(QUESTIONS)
    assert [batch.answers([(None, [q])], MOST)[0][0] for q in QUESTIONS] == said


def test_what_is_held_back_is_held_back_here_too(
    random_assistant: LocalAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_assistant.silent = {"image": ["plane"]}
    batch: Any = random_assistant.batch()
    monkeypatch.setattr(batch.runtime, "decode", lambda ids: " The plane is axial.")
    read = batch.read(studies()[0])
    assert batch.answers([(read, ["Plane?"])], 1) == [["I cannot tell the plane of one slice reliably."]]
    assert batch.answers([(read, ["Plane?"])], 1, hold_back=False) == [["The plane is axial."]]


def test_what_does_not_fit_is_said(random_assistant: LocalAssistant) -> None:
    batch = random_assistant.batch()
    with pytest.raises(ModelError, match="holds 2,048"):
        batch.answers([(batch.read(studies()[0]), ["Plane?"])], 2048)


def test_prompts_of_different_studies_are_refused() -> None:
    with pytest.raises(ValueError, match="not about one study"):
        module.Branches.of([[1, 9, 5], [2, 9, 5]], (9,))
    tree = module.Branches.of([[1, 9, 5, 6], [1, 9, 7]], (9,))
    assert tree.ids == [1, 9, 5, 6, 7]
    assert tree.positions == [0, 1, 2, 3, 2]
    assert tree.spans == [(2, 4), (4, 5)]
    assert tree.sees()[4].tolist() == [True, True, False, False, True]
