"""The two errors a person can meet: one for the study, one for the model.

Both carry a short machine code and one sentence for the person at the screen: what was found and what to do.
No message ever holds a path, a file name, header text or a traceback.
"""

from __future__ import annotations

from typing import Literal, get_args

StudyErrorCode = Literal["TooLarge", "Corrupt", "Unsupported", "NotAnImage", "UnsafeArchive", "Phi"]
ModelErrorCode = Literal["WeightsMissing", "ChecksumMismatch", "Unsupported", "OutOfMemory", "TooLong"]
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
WARNING_CODES: frozenset[str] = frozenset(get_args(WarningCode))


class StudyError(Exception):
    """A study that cannot be opened or read further.

    `code`: TooLarge (over a limit), Corrupt (known format, damaged), Unsupported (known format, not read here),
    NotAnImage (no pixels in it), UnsafeArchive (traversal, link, bomb, nested or encrypted archive),
    Phi (identifiers that must be confirmed first).
    """

    def __init__(self, code: StudyErrorCode, message: str) -> None:
        if code not in STUDY_ERROR_CODES:
            raise ValueError(f"unknown study error code {code!r}; use one of {sorted(STUDY_ERROR_CODES)}")
        super().__init__(message)
        self.code: StudyErrorCode = code
        self.message = message

    def __reduce__(self) -> tuple[type[StudyError], tuple[StudyErrorCode, str]]:
        return (type(self), (self.code, self.message))


class ModelError(Exception):
    """A model that cannot be loaded, or an answer that cannot be made."""

    def __init__(self, code: ModelErrorCode, message: str) -> None:
        if code not in MODEL_ERROR_CODES:
            raise ValueError(f"unknown model error code {code!r}; use one of {sorted(MODEL_ERROR_CODES)}")
        super().__init__(message)
        self.code: ModelErrorCode = code
        self.message = message

    def __reduce__(self) -> tuple[type[ModelError], tuple[ModelErrorCode, str]]:
        return (type(self), (self.code, self.message))
