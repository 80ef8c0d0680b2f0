"""Every chip of every sample and a hundred questions, asked as the page asks them of the shipped weights (slow)."""

from __future__ import annotations

import pytest

from benchmarks import first_minutes
from omnivmed import weights
from omnivmed.weights.names import nano_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not (nano_folder() / "config.json").is_file(), reason="nano has no trained weights here"
    ),
    pytest.mark.skipif(not weights.is_cached(), reason="run first: python -m omnivmed weights fetch"),
]


def test_every_chip_and_every_question_is_answered_as_it_has_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert first_minutes.main(["--check"]) == 0, capsys.readouterr().err
