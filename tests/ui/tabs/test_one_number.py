"""One number for one study: viewer, answer, lesson and shell count the same tokens under the same budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnivmed.cli import main
from omnivmed.inference.options import AskOptions
from omnivmed.io import open_study
from omnivmed.ui.canvas.payload import mask_header
from omnivmed.ui.visit.lesson import make_lesson
from omnivmed.ui.visit.opened import OpenStudy
from omnivmed.ui.visit.samples import SAMPLES, find_sample
from omnivmed.ui.visit.studies import label_of
from omnivmed.vision.budget import NANO_BUDGET
from tests.inference.mock import assistant


@pytest.mark.parametrize(
    ("sample", "reference"),
    [*((sample, "previous") for sample in SAMPLES), (find_sample("mr_head"), "off")],
    ids=lambda value: getattr(value, "key", value),
)
def test_the_same_count_everywhere(
    sample: Any, reference: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with open_study(sample.path) as study:
        answer = assistant().answer(study, "Which organ is this?", options=AskOptions(reference=reference))
        assert answer.mask is not None
        viewer = mask_header(answer.mask)  # what the count beside the picture is drawn from
        lesson = make_lesson(OpenStudy(study, label_of(study)), NANO_BUDGET, "nano").view("model")
        taught = lesson.mask(0.1, reference)
    assert main(["prune", str(sample.path), "--reference", reference]) == 0
    said = capsys.readouterr().out
    kept, total = answer.mask.kept, answer.mask.total
    assert (answer.usage.visual_tokens_after, answer.usage.visual_tokens_before) == (kept, total)
    assert (viewer["kept"], viewer["total"], viewer["budget"]) == (kept, total, "nano")
    assert (taught.kept, taught.total, taught.budget) == (kept, total, "nano")
    assert f"{kept} of {total} tokens kept" in said
    assert "budget nano" in said
    assert reference == "previous" or kept == total
