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
    from omnivmed.errors import Busy as Busy
    from omnivmed.errors import Cancelled as Cancelled
    from omnivmed.errors import ModelError as ModelError
    from omnivmed.errors import OmniVMedError as OmniVMedError
    from omnivmed.errors import QuestionError as QuestionError
    from omnivmed.errors import StudyError as StudyError
    from omnivmed.inference import Answer as Answer
    from omnivmed.inference import AskOptions as AskOptions
    from omnivmed.inference import Assistant as Assistant
    from omnivmed.inference import Done as Done
    from omnivmed.inference import Event as Event
    from omnivmed.inference import Failed as Failed
    from omnivmed.inference import MaskReady as MaskReady
    from omnivmed.inference import Stage as Stage
    from omnivmed.inference import Text as Text
    from omnivmed.inference import Timings as Timings
    from omnivmed.inference import Usage as Usage
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
    **dict.fromkeys(
        ("OmniVMedError", "StudyError", "ModelError", "QuestionError", "Busy", "Cancelled"), "omnivmed.errors"
    ),
    "prune": "omnivmed.pruning",
    "KeepMask": "omnivmed.pruning",
    **dict.fromkeys(
        ("load_model", "Assistant", "AskOptions", "Answer", "Usage", "Timings"), "omnivmed.inference"
    ),
    **dict.fromkeys(("Event", "Stage", "MaskReady", "Text", "Done", "Failed"), "omnivmed.inference"),
}

__all__ = [
    "Answer",
    "AskOptions",
    "Assistant",
    "Busy",
    "Cancelled",
    "Done",
    "Event",
    "Failed",
    "KeepMask",
    "MaskReady",
    "ModelError",
    "OmniVMedError",
    "QuestionError",
    "Stage",
    "Study",
    "StudyError",
    "Text",
    "Timings",
    "Usage",
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
