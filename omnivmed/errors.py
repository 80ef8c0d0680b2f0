"""What can go wrong for a person: the study, the question, the model, the queue.

Every error carries a short machine code and one sentence for the person at the screen: what was found and what to
do. No message ever holds a path, a file name, header text or a traceback. `OmniVMedError` is the base of all.
"""

from __future__ import annotations

from typing import Literal, get_args

StudyErrorCode = Literal["TooLarge", "Corrupt", "Unsupported", "NotAnImage", "UnsafeArchive", "Phi"]
ModelErrorCode = Literal["WeightsMissing", "ChecksumMismatch", "Unsupported", "OutOfMemory", "TooLong"]
QuestionErrorCode = Literal["NoQuestion", "TooLong", "Unsupported"]
WarningCode = Literal[
    "MissingSlices",
    "DuplicateSlices",
    "MixedSeries",
    "GantryTilt",
    "NonUniformSpacing",
    "NoOrientation",
    "MultiVolume",
    "Animated",
    "NonFinite",
    "BurnedIn",
    "Partial",
    "WrongExtension",
    "BadHeader",
    "Stretched",
    "Synthetic",
]

STUDY_ERROR_CODES: frozenset[str] = frozenset(get_args(StudyErrorCode))
MODEL_ERROR_CODES: frozenset[str] = frozenset(get_args(ModelErrorCode))
QUESTION_ERROR_CODES: frozenset[str] = frozenset(get_args(QuestionErrorCode))
WARNING_CODES: frozenset[str] = frozenset(get_args(WarningCode))


class OmniVMedError(Exception):
    """Base of every error with a code and a sentence for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[OmniVMedError], tuple[str, ...]]:
        return (type(self), (self.code, self.message))


class StudyError(OmniVMedError):
    """A study that cannot be opened or read further.

    `code`: TooLarge (over a limit), Corrupt (known format, damaged), Unsupported (known format, not read here),
    NotAnImage (no pixels in it), UnsafeArchive (traversal, link, bomb, nested or encrypted archive),
    Phi (identifiers that must be confirmed first).
    """

    code: StudyErrorCode

    def __init__(self, code: StudyErrorCode, message: str) -> None:
        if code not in STUDY_ERROR_CODES:
            raise ValueError(f"unknown study error code {code!r}; use one of {sorted(STUDY_ERROR_CODES)}")
        super().__init__(code, message)


class ModelError(OmniVMedError):
    """A model that cannot be loaded, or an answer that cannot be made."""

    codes: frozenset[str] = MODEL_ERROR_CODES

    def __init__(self, code: ModelErrorCode | QuestionErrorCode, message: str) -> None:
        if code not in self.codes:
            raise ValueError(f"unknown model error code {code!r}; use one of {sorted(self.codes)}")
        super().__init__(code, message)


class QuestionError(ModelError):
    """A question or a setting that nobody could answer: NoQuestion (nothing was asked), TooLong, Unsupported
    (a setting outside its range). A `ModelError`, so that who handles those handles it too."""

    codes = QUESTION_ERROR_CODES


class Busy(OmniVMedError):
    """More people are waiting than the queue holds, or the turn was given to the next; `code` is "Busy"."""

    def __init__(
        self, message: str = "Too many people are waiting already. Please try again in a moment."
    ) -> None:
        super().__init__("Busy", message)

    def __reduce__(self) -> tuple[type[Busy], tuple[str, ...]]:
        return (type(self), (self.message,))


class Cancelled(OmniVMedError):
    """The listener asked to stop before there was anything to show; `code` is "Cancelled"."""

    def __init__(self, message: str = "Stopped before the answer began.") -> None:
        super().__init__("Cancelled", message)

    def __reduce__(self) -> tuple[type[Cancelled], tuple[str, ...]]:
        return (type(self), (self.message,))
