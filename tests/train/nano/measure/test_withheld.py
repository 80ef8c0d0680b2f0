"""What the product would say is counted by the product's own rule."""

from __future__ import annotations

import numpy as np
import pytest

from train.nano.data.studies import StudyView
from train.nano.measure.score import Answer, Score
from train.nano.measure.withheld import declined, gate_scores, heard, lost
from train.nano.text.careless import loosely
from train.nano.text.questions import QA, SHORT_TASKS, VALUES, ask

SILENT = {"image": ["sequence"], "volume": ["organ"], "video": []}


def answer(kind: str, qa: QA, said: str, good: bool = True) -> Answer:
    study = StudyView("r", kind, np.zeros((1, 28, 28, 3), np.uint8), np.ones((1, 1), bool), None, {}, "s")  # type: ignore[arg-type]
    return ((study, [qa]), 0, good, said)


SEQUENCE = QA("sequence", "sentence", "Which sequence?", "The MRI sequence is {T1}.", "T1")
YES = QA("sequence", "yesno", "Is this T1?", "{Yes}, the sequence is {T1}.", "T1")
ORGAN = QA("organ", "sentence", "Body part?", "It shows the {head}.", "head")
MORE = QA("organ", "word", "One word?", "{Head}", "head", (("Which body part?", "It shows the head."),))
CAPTION = QA("describe", "caption", "Describe this.", "The image shows the head on an axial T1 MRI.")


def test_only_silent_types_are_declined() -> None:
    for qa, said in (
        (SEQUENCE, "The MRI sequence is T1."),
        (SEQUENCE, "T2"),
        (YES, "Yes."),
        (YES, "No, T2."),
    ):
        assert declined(answer("image", qa, said), SILENT), said
    assert not declined(answer("image", SEQUENCE, "The MRI sequence is T1."), {"image": ["plane"]})
    assert declined(answer("volume", MORE, "Head"), SILENT)
    assert heard(answer("image", ORGAN, "It shows the head."), SILENT) == "It shows the head."
    assert not lost(answer("image", ORGAN, "It shows the head."), SILENT)
    assert lost(answer("volume", ORGAN, "It shows the head."), SILENT), "right before, said no more"
    assert not lost(answer("volume", ORGAN, "It shows the chest.", False), SILENT)


def test_a_description_loses_what_is_silent_and_nothing_else() -> None:
    for kind in SILENT:
        case = answer(kind, CAPTION, "The image shows the head on an axial T1 MRI.", False)
        assert not lost(case, SILENT)
        assert declined(case, SILENT)


def test_a_sentence_that_declines_names_nothing() -> None:
    state = QA("state", "sentence", "Is this normal?", "The lungs look {normal}.", "normal")
    for said in (
        "The lungs look normal.",
        "I cannot tell whether this is normal; I was not trained to judge it.",
    ):
        assert declined(answer("video", state, said), {"video": ["state"]})
    case = answer("image", CAPTION, "The image shows the chest on an X-ray; the lungs look normal.")
    assert not lost(case, {"image": ["state"]})


def test_rows_for_the_table() -> None:
    sets = {
        "seen": [answer("image", SEQUENCE, "T1"), answer("image", ORGAN, "Head")],
        "descriptions": [answer("volume", CAPTION, "The image shows the head on an MRI.")],
    }
    rows = gate_scores(sets, SILENT, [["What does the heart do?", "", "The heart pumps blood."]])
    assert rows == {
        "silent type of answer declined, seen": Score(1, 1),
        "silent type of answer declined, descriptions": Score(1, 1),
        "silent type of answer declined, all wordings": Score(2, 2),
        "in scope, wrongly held back": Score(0, 2),
        "plain questions with a study open, answer touched": Score(0, 3),
    }


@pytest.mark.parametrize("kind", SILENT)
def test_carelessly_typed_questions_of_every_type(kind: str) -> None:
    """Asked in the evaluation's own wordings, mistyped: the silent type is declined, every other one is whole."""
    rng = np.random.default_rng(1)
    labels = {"modality": "MRI", "organ": "head", "view": "PA", "state": "normal"}
    for task in SHORT_TASKS:
        others = [a for a in SHORT_TASKS if a != task]
        for i in range(60):
            values = VALUES.get(task, ("normal", "abnormal"))
            qa = ask(task, labels | {task: values[rng.integers(len(values))]}, kind, rng, bool(i % 2))
            if qa is None or qa.form == "premise":
                continue
            qa = loosely(qa, rng)
            short = qa.plain.split(",")[0] + "." if qa.form == "yesno" else qa.plain
            for said in (qa.plain, short):
                assert declined(answer(kind, qa, said), {kind: [task]}), (qa.question, said)
                assert heard(answer(kind, qa, said), {kind: others}) == said, qa.question
