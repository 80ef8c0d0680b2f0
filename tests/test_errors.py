"""Errors travel whole: through pickles, through events, into the shell."""

from __future__ import annotations

import pickle

import pytest

import omnivmed as ov
from omnivmed.errors import MODEL_ERROR_CODES, QUESTION_ERROR_CODES, STUDY_ERROR_CODES, OmniVMedError
from omnivmed.inference import Failed
from omnivmed.inference.assistant import final

ERRORS = [
    *(ov.StudyError(code, "x") for code in sorted(STUDY_ERROR_CODES)),  # type: ignore[arg-type]
    *(ov.ModelError(code, "x") for code in sorted(MODEL_ERROR_CODES)),  # type: ignore[arg-type]
    *(ov.QuestionError(code, "x") for code in sorted(QUESTION_ERROR_CODES)),  # type: ignore[arg-type]
    ov.Busy(),
    ov.Cancelled(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: f"{type(e).__name__}-{e.code}")
def test_an_error_keeps_its_class_code_and_sentence(error: OmniVMedError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  made in this line
    assert (type(copy), copy.code, copy.message, str(copy)) == (
        type(error), error.code, error.message, error.message,
    )  # fmt: skip
    with pytest.raises(type(error)) as raised:  # what comes as a last event is raised as it was
        final([Failed(error)])
    assert raised.value is error


def test_the_codes_outside_programs_rely_on() -> None:
    assert {"TooLarge", "Corrupt", "Unsupported", "NotAnImage", "UnsafeArchive", "Phi"} == STUDY_ERROR_CODES
    with pytest.raises(ValueError, match="study error code"):
        ov.StudyError("Busy", "x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="model error code"):
        ov.ModelError("NoQuestion", "x")


def test_what_is_wrong_with_a_question_is_an_error_of_the_model_too() -> None:
    assert issubclass(ov.QuestionError, ov.ModelError)
    assert not issubclass(ov.Busy, (ov.ModelError, ov.StudyError))
