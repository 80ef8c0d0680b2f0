"""A report is made of answers: asked in order, each once, held back where the ship rule holds back, stoppable."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from omnivmed.errors import ModelError
from omnivmed.inference.events import Failed, Text
from omnivmed.inference.making import reference_prompt, report_with_picture
from omnivmed.inference.reply import Picture, Replied, whole
from omnivmed.inference.report import report_events, write_report
from omnivmed.study import Study
from tests import phantoms
from tests.inference.mock import MockRuntime, assistant
from tests.scripted import ScriptedAssistant, scripted_artist

ANSWERS = {
    "What kind of image is this?": "This is an X-ray.",
    "Which part of the body is shown?": "It shows the chest.",
    "Which view is this?": "The view  is\nPA.",
    "Are the lungs normal or abnormal?": "I cannot tell reliably whether one picture is normal.",
    "Describe this image.": "The image shows the chest on an X-ray.",
}


def speaker(answers: dict[str, str] = ANSWERS, **more: Any) -> ScriptedAssistant:
    made = ScriptedAssistant(2000, lambda _, question: answers[question], **more)
    made.answers = {"image": ["kind of image"]}
    return made


@pytest.fixture(scope="module")
def picture() -> Study:
    return phantoms.image_study()


def test_findings_then_impression(picture: Study) -> None:
    spoken = speaker()
    text = "".join(write_report(spoken, picture))
    assert text.splitlines()[:7] == [
        "FINDINGS",
        "Kind: This is an X-ray.",
        "Body part: It shows the chest.",
        "View: The view is PA.",
        "Lungs: I cannot tell reliably whether one picture is normal.",
        "",
        "IMPRESSION",
    ]
    assert "Not for clinical use." in text
    assert [question for question, _ in spoken.asked] == list(ANSWERS)
    reply = whole(report_events(speaker(), picture))
    assert reply.text == text.strip()
    assert reply.pictures == ()


def test_what_does_not_fit_is_not_asked(picture: Study) -> None:
    spoken = speaker({**ANSWERS, "What kind of image is this?": "This is an ultrasound image."})
    "".join(write_report(spoken, picture))
    asked = [question for question, _ in spoken.asked]
    assert not [q for q in asked if "view" in q or "sequence" in q or "plane" in q or "lungs" in q]
    slices = {
        **ANSWERS,
        "What kind of image is this?": "This is an MRI.",
        "Which part of the body is shown?": "It shows the head.",
        "In which plane was this slice taken?": "The plane is axial.",
        "Which MR sequence is this?": "I cannot tell.",
    }
    spoken = speaker(slices)
    "".join(write_report(spoken, picture))
    asked = [question for question, _ in spoken.asked]
    assert {"In which plane was this slice taken?", "Which MR sequence is this?"} < set(asked)


def test_the_ship_rule_holds_in_a_report(picture: Study) -> None:
    """The real engine, a runtime that says what it may not: it does not reach the report, and that is said."""
    model = assistant(
        MockRuntime("The chest X-ray is abnormal."),
        answers={"image": ["kind of image"]},
        silent={"image": ["state"]},
    )
    text = "".join(model.write_report(picture))
    assert "abnormal" not in text.replace("normal or abnormal", "")
    assert "I cannot tell reliably whether one picture is normal." in text
    assert "Held back, because" in text


def test_a_model_without_a_list_is_asked_in_plain_words(picture: Study) -> None:
    spoken = ScriptedAssistant(2000, lambda *_: "A shadow.")
    text = "".join(write_report(spoken, picture))
    assert text.startswith("FINDINGS\nA shadow.\n\nIMPRESSION\nA shadow.\n")


def test_stopped_and_failed(picture: Study) -> None:
    stop = threading.Event()
    spoken = speaker()
    events = report_events(spoken, picture, cancel=stop)
    while not isinstance(event := next(events), Text) or "Body" not in event.piece:
        pass
    stop.set()
    last = list(events)[-1]
    assert isinstance(last, Replied)
    assert last.reply.stopped == "cancelled"
    assert last.reply.text.startswith("FINDINGS\nKind: This is an X-ray.")
    with pytest.raises(ModelError, match="memory"):
        "".join(write_report(speaker(fail=ModelError("OutOfMemory", "no memory")), picture))
    (only,) = list(report_events(speaker(), picture, style="poem"))
    assert isinstance(only, Failed)


def test_a_picture_for_comparison_follows_the_text(picture: Study) -> None:
    events = list(report_with_picture(speaker(artist=scripted_artist()), picture, picture=True))
    kinds = [type(event).__name__ for event in events]
    assert kinds.index("Picture") > max(
        k for k, event in enumerate(events) if isinstance(event, Text) and "IMP" in event.piece
    )
    assert kinds[-1] == "Replied"
    (drawn,) = [event for event in events if isinstance(event, Picture)]
    assert drawn.image.prompt == "X-ray of the chest"
    reply = whole(events)
    assert reply.pictures == (drawn,)
    assert "not this patient: X-ray of the chest" in reply.text


def test_without_weights_the_report_is_written_and_says_so(picture: Study) -> None:
    reply = whole(report_with_picture(speaker(), picture, picture=True))
    assert reply.text.startswith("FINDINGS")
    assert "cannot draw" in reply.notes[-1]


def test_the_reference_uses_the_words_of_the_report() -> None:
    assert reference_prompt("This is a CT scan. It shows the abdomen. The plane is axial.") == (
        "axial CT of the abdomen"
    )
    assert reference_prompt("This is a CT scan. I cannot tell.") is None
