"""Fixtures of the reader tests: open bytes as a file, in-process unless a test asks for the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omnivmed.errors import StudyError
from omnivmed.io import open_study
from omnivmed.study import Study
from tests.io.makers import put

Opener = Callable[..., Study]


@pytest.fixture
def open_bytes(tmp_path: Path) -> Iterator[Opener]:
    """open_bytes(data, name="file.bin", **options of open_study): a study that is closed after the test."""
    opened: list[Study] = []

    def opener(data: bytes, name: str = "file", **options: Any) -> Study:
        study = open_study(put(tmp_path, name, data), **({"isolated": False} | options))
        opened.append(study)
        return study

    yield opener
    for study in opened:
        study.close()


@pytest.fixture
def refuse_bytes(open_bytes: Opener) -> Callable[..., StudyError]:
    """refuse_bytes(data, name, …): the error that opening it raises."""

    def refuser(data: bytes, name: str = "file", **options: Any) -> StudyError:
        with pytest.raises(StudyError) as caught:
            open_bytes(data, name, **options)
        error = caught.value
        assert error.message.endswith(".")
        assert not any(token in error.message for token in ("/", "\\", "Traceback", "\n"))
        return error

    return refuser
