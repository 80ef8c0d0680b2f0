"""What failed the ship rule is not said, in whatever words; all else passes letter by letter."""

from __future__ import annotations

import pytest

from omnivmed.spoken.attributes import ATTRIBUTES, PATTERNS, named
from omnivmed.spoken.withhold import Withhold, withheld

SILENT = {
    "image": ["sequence"],
    "volume": ["organ", "state", "view"],
    "video": ["plane", "sequence", "state", "view"],
}
SLICE = "I cannot tell the MR sequence of one slice reliably."
PART = "I cannot tell the body part of a volume reliably."
LUNGS = "I cannot tell reliably whether a clip is normal."

STATED = [
    # kind, question, answer of the model, what is said
    ("image", "Which MRI sequence is this?", "The MRI sequence is T1 with contrast.", SLICE),
    ("image", "which sequence", "T1", SLICE),
    ("image", "T1, T2 or FLAIR?", "FLAIR", SLICE),
    ("image", "Weighting? One word please.", "T1 with contrast", SLICE),
    ("image", "Is this T1?", "Yes.", SLICE),
    ("image", "Is this T1?", "No", SLICE),
    ("image", "Is this T1?", "Yes, it is.", SLICE),
    ("image", "Is this T1?", "Yes, the sequence is T1.", SLICE),
    ("image", "Is this T1?", "No, the sequence is T1 with contrast.", SLICE),
    ("image", "Is this T1?", "Yes. The sequence is T1.", SLICE),
    ("image", "Would you say it is FLAIR?", "No, the sequence is T2.", SLICE),
    ("image", "Is this a T1 MRI?", "Yes, this is an MRI.", f"This is an MRI. {SLICE}"),
    ("image", "Is this a T1 MRI?", "Yes, this is a T1 MRI.", f"This is an MRI. {SLICE}"),
    ("image", "What is it?", "This is a T2-weighted MRI.", "This is an MRI."),
    (
        "image",
        "Describe this image.",
        "The image shows the head on an axial T1 MRI.",
        "The image shows the head on an axial MRI.",
    ),
    (
        "image",
        "Describe this image.",
        "The image shows the head on a FLAIR MRI.",
        "The image shows the head on an MRI.",
    ),
    (
        "image",
        "What is this?",
        "The image shows the head on a sagittal T1 with contrast MRI.",
        "The image shows the head on a sagittal MRI.",
    ),
    (
        "image",
        "Describe it.",
        "This is an MRI. The MRI sequence is T1. The plane is axial.",
        f"This is an MRI. {SLICE} The plane is axial.",
    ),
    ("image", "Which phase of the operation is this?", "The MRI sequence is T1.", SLICE),
    ("image", "What is the capital of Italy?", "The MRI sequence is T1.", SLICE),
    ("volume", "Which part of the body is shown?", "It shows the head.", PART),
    ("volume", "Body part?", "Head", PART),
    ("volume", "What organ is this? Just the name.", "Blood cells", PART),
    ("volume", "body part", "lung.", PART),
    ("volume", "Where in the body was this scan taken?", "In the abdomen.", PART),
    ("volume", "Is this the head?", "Yes.", PART),
    ("volume", "Does this scan show the chest?", "No, it shows the head.", PART),
    ("volume", "Is the abdomen shown?", "Yes", PART),
    ("volume", "Can we see the breast here?", "No.", PART),
    ("volume", "Is this an MRI of the head?", "Yes.", PART),
    ("volume", "Is this an MRI of the head?", "Yes, this is an MRI.", f"This is an MRI. {PART}"),
    ("volume", "What kind of scan is this?", "This is an MRI of the head.", "This is an MRI."),
    ("volume", "What kind of scan is this?", "This is a chest CT.", "This is a CT."),
    (
        "volume",
        "What does this X-ray show?",
        "This is not an X-ray; it is an MRI of the head.",
        "This is not an X-ray; it is an MRI.",
    ),
    (
        "volume",
        "Describe this scan.",
        "The image shows the head on an axial T1 MRI.",
        "The image shows an axial T1 MRI.",
    ),
    (
        "volume",
        "Describe this scan.",
        "The scan shows the blood cells on a CT scan.",
        "The scan shows a CT scan.",
    ),
    ("volume", "What am I looking at?", "This is the abdomen.", PART),
    ("volume", "What is in this?", "I can see the brain.", PART),
    ("volume", "What do you see?", "An MRI of the head.", "An MRI."),
    ("video", "Is this normal?", "The lungs look normal.", LUNGS),
    ("video", "Do the lungs look fine?", "Yes.", LUNGS),
    ("video", "Healthy or not?", "Abnormal", LUNGS),
    ("video", "Is anything wrong?", "The answer is no, the lungs look normal.", LUNGS),
    ("video", "Does it look healthy?", "Yes, it looks healthy.", LUNGS),
    (
        "video",
        "Describe this video.",
        "The video shows the lung on an ultrasound image; the lungs look abnormal.",
        "The video shows the lung on an ultrasound image.",
    ),
    ("video", "Which view is this?", "The view is PA.", "I cannot tell the view of a clip reliably."),
]

KEPT = [
    # general knowledge while a study is open
    ("volume", "What does the heart do?", "The heart pumps blood throughout the body."),
    ("volume", "What does the heart do?", "It pumps blood to the brain and lungs."),
    (
        "volume",
        "What does the brain do?",
        "It is the organ that controls the body. The brain is in the head.",
    ),
    ("volume", "What is an echocardiogram?", "It is an ultrasound image of the heart."),
    ("volume", "What is a biopsy?", "A biopsy takes tissue, for example of the breast or the lung."),
    ("volume", "Tell me a fact about the eye.", "The eye is about 24 mm long."),
    ("volume", "Name three organs.", "Heart, lung and brain."),
    ("volume", "Why is blood red?", "Blood is red because of iron."),
    (
        "image",
        "What is the difference between T1 and T2?",
        "T1 and T2 are relaxation times. Fat is bright on T1.",
    ),
    ("image", "What does FLAIR mean?", "FLAIR is short for fluid-attenuated inversion recovery."),
    ("image", "What is T1?", "T1 is a relaxation time."),
    ("video", "What is a normal heart rate?", "A normal resting heart rate is 60 to 100 beats."),
    ("video", "Explain sleep in simple words.", "Sleep is normal rest. It is healthy."),
    # other attributes of the study, and what is declined
    ("image", "Is this an MRI?", "Yes, this is an MRI."),
    ("image", "CT or MRI?", "MRI"),
    ("image", "What type of imaging does this represent?", "This is an MRI."),
    ("image", "Is this axial?", "No, the plane is coronal."),
    ("image", "Which part is shown?", "It shows the head."),
    ("image", "Which sequence did the MRI scanner run?", "This is not an MRI; it is a CT scan."),
    ("volume", "In which plane was this taken?", "The plane is axial."),
    ("volume", "Is this an MRI?", "Yes."),
    ("volume", "Is it axial?", "Yes, the plane is axial."),
    ("volume", "AP or PA?", "This is not a chest X-ray; it is an MRI."),
    ("volume", "Is the heart enlarged?", "I cannot tell that from this image; I was not trained for it."),
    ("video", "Is this normal?", "I cannot tell whether this is normal; I was not trained to judge it."),
    ("video", "Which part of the body is shown?", "It shows the lung."),
    ("video", "Plane?", "This is an ultrasound image, which has no slice plane."),
    ("video", "Hello!", "Hello! How can I help you today?"),
    ("image", "Write a poem.", "A line\nanother line\n\n  and one more, without an end"),
]


@pytest.mark.parametrize(("kind", "question", "answer", "said"), STATED)
def test_what_is_silent_is_not_said(kind: str, question: str, answer: str, said: str) -> None:
    text, held = withheld(SILENT[kind], kind, question, answer)
    assert text == said
    assert held


@pytest.mark.parametrize(("kind", "question", "answer"), KEPT)
def test_all_else_passes_letter_by_letter(kind: str, question: str, answer: str) -> None:
    assert withheld(SILENT[kind], kind, question, answer) == (answer, [])


@pytest.mark.parametrize(
    ("attribute", "question"),
    [
        ("organ", "can we see the brreast here"),
        ("plane", "Could we call it croonal"),
        ("state", "any sign of diesase"),
    ],
)
def test_a_mistyped_question_is_understood(attribute: str, question: str) -> None:
    assert withheld([attribute], "video", question, "No.")[1] == [attribute]


def test_a_short_follow_up_is_read_with_the_question_before() -> None:
    assert withheld(["organ"], "volume", "In one word?", "Head", "Which body part is this?")[1] == ["organ"]
    assert withheld(["organ"], "volume", "Are you sure?", "Yes.", "Is this the head?")[0] == PART
    assert withheld(["organ"], "volume", "And the plane?", "Axial", "Which body part is this?")[1] == []


@pytest.mark.parametrize("kind", SILENT)
def test_every_value_in_the_plain_sentence_of_every_attribute(kind: str) -> None:
    plain = {
        "modality": ("This is an {v}.", "What kind of image is this?"),
        "organ": ("It shows the {v}.", "Which part of the body is shown?"),
        "plane": ("The plane is {v}.", "Which plane?"),
        "sequence": ("The MRI sequence is {v}.", "Which sequence?"),
        "view": ("The view is {v}.", "Which view?"),
        "state": ("The lungs look {v}.", "Is this normal?"),
    }
    for attribute in ATTRIBUTES:
        sentence, question = plain[attribute]
        for value in PATTERNS[attribute]:
            for answer in (sentence.format(v=value), value.capitalize(), f"No, {value}."):
                text, held = withheld([attribute], kind, question, answer)
                assert held == [attribute], answer
                assert text.startswith("I cannot ")
                others = [a for a in ATTRIBUTES if a != attribute]
                if not any(named(a, answer) for a in others):
                    assert withheld(others, kind, question, answer) == (answer, [])


def test_words_come_sentence_by_sentence() -> None:
    gate = Withhold(["sequence"], "image", "Describe this image.")
    said = [
        gate.push(p)
        for p in ("  This is", " an MRI", ".", " The", " MRI sequence is T", "1.", " It", " shows the head.")
    ]
    assert said == ["", "", "", "This is an MRI. ", "", "", f"{SLICE} ", ""]
    assert gate.flush() == "It shows the head."
    assert gate.flush() == ""
    assert (
        gate.note
        == "Held back: the MR sequence of a picture, which this model was measured to guess; see its card."
    )


def test_what_cannot_be_told_is_said_once() -> None:
    text, held = withheld(
        ["sequence"], "image", "Sequence?", "T1. The sequence is T1. It is T1. The plane is axial."
    )
    assert text == f"{SLICE} The plane is axial."
    assert held == ["sequence"]


def test_a_sentence_without_an_end_is_not_held_for_ever() -> None:
    gate = Withhold(["sequence"], "image", "Write a story.")
    words = "once upon a time " * 60
    out = "".join(gate.push(w) for w in words.split(" "))
    assert out
    assert gate.note == ""


def test_a_description_without_the_kind_of_image() -> None:
    said = "The image shows the head on a sagittal MRI."
    text, held = withheld(["modality"], "image", "Describe this image.", said)
    assert text == "The image shows the head on a sagittal image."
    assert held == ["modality"]


def test_two_attributes_of_one_sentence() -> None:
    text, held = withheld(
        ["plane", "sequence"], "video", "Describe this video.", "The image shows the head on an axial T1 MRI."
    )
    assert text == "The image shows the head on an MRI."
    assert held == ["plane", "sequence"]
    text, held = withheld(
        ["modality", "organ"], "volume", "What is this?", "The scan shows the head on a CT scan."
    )
    assert held == ["modality", "organ"]
    assert text == "I cannot tell reliably what kind of scan a volume is. " + PART
