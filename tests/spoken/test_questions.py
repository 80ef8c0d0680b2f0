"""What a question is about: the file, the picture, or what nobody here can say."""

from __future__ import annotations

import pytest

from omnivmed.spoken.questions import asked


@pytest.mark.parametrize(
    "question",
    [
        "Is there a pneumothorax on the left side?",
        "How thick is the heart wall?",
        "How thick is the tumour?",
        "How long is the aorta?",
        "Is the lesion on the right side of the picture?",
        "How large is the lesion in mm?",
        "How many slices show the tumour?",
        "Is the colour of the mucosa normal?",
        "Is the trachea shifted to the right side?",
        "How far apart are the nodules?",
        "What is the HU of the lesion?",
        "How long has the patient had this tumour?",
        "Is the resolution of the pneumonia visible?",
    ],
)
def test_what_is_in_the_picture_is_not_answered_from_the_file(question: str) -> None:
    assert asked(question).group == "beyond"


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("How thick is each slice?", "thickness"),
        ("how thick are they", "thickness"),
        ("Where is left on this picture?", "edges"),
        ("which side is the patient's left", "edges"),
        ("How many slices of the liver are there?", "slices"),
        ("distance between slices", "step"),
        ("How big is the volume?", "extent"),
        ("How big is the volume in voxels?", "matrix"),
        ("how many pixels", "matrix"),
        ("How long does the heart clip take?", "duration"),
        ("What units are the voxel values in?", "unit"),
        ("Is this with or without contrast medium?", "contrast"),
    ],
)
def test_what_the_file_knows_is_still_the_files(question: str, topic: str) -> None:
    found = asked(question)
    assert (found.group, found.topic) == ("file", topic)


@pytest.mark.parametrize(
    "question",
    [
        "Which direction did the X-rays go, front to back or back to front?",
        "Did the beam go from front to back?",
        "PA or AP?",
        "Is it posterior to anterior?",
    ],
)
def test_the_way_of_the_rays_is_the_view(question: str) -> None:
    assert asked(question).topic == "view"
