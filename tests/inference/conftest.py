"""An assistant with the random nano of tests/conftest.py, loaded like the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivmed.inference.engine import LocalAssistant
from tests.inference.tiny import Package


@pytest.fixture
def random_assistant(tiny: tuple[Package, Path]) -> LocalAssistant:
    """A whole assistant, loaded in float32 with nothing cached yet."""
    from omnivmed.inference import load_model

    assistant = load_model(str(tiny[1]), device="cpu", dtype="float32", offline=True)
    assistant.knows = None  # these tests are of the model; what the file answers is tested in test_guided
    return assistant
