"""OmniV-Med: one vision-language model for X-rays, CT and MR volumes, and medical video.

The public names below are loaded when first used, so that ``import omnivmed`` stays light: opening a study
or pruning it never imports torch.

Not for clinical use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from omnivmed.errors import ModelError as ModelError
    from omnivmed.errors import StudyError as StudyError
    from omnivmed.inference import Answer as Answer
    from omnivmed.inference import load_model as load_model
    from omnivmed.io import find_text as find_text
    from omnivmed.io import open_study as open_study
    from omnivmed.pruning import KeepMask as KeepMask
    from omnivmed.pruning import prune as prune
    from omnivmed.study import Study as Study

_HOME = {
    "open_study": "omnivmed.io",
    "find_text": "omnivmed.io",
    "Study": "omnivmed.study",
    "StudyError": "omnivmed.errors",
    "ModelError": "omnivmed.errors",
    "prune": "omnivmed.pruning",
    "KeepMask": "omnivmed.pruning",
    "load_model": "omnivmed.inference",
    "Answer": "omnivmed.inference",
}

__all__ = [
    "Answer",
    "KeepMask",
    "ModelError",
    "Study",
    "StudyError",
    "__version__",
    "find_text",
    "load_model",
    "open_study",
    "prune",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'omnivmed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
