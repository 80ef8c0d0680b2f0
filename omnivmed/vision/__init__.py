"""Study → Patches: which frames are taken, how large they become, and the rows the encoder reads."""

from omnivmed.vision.budget import BUDGETS, DEFAULT_BUDGET, NANO_BUDGET, VisionBudget, named_budget
from omnivmed.vision.patches import Patches, patchify, prepare, prepare_place, token_rects
from omnivmed.vision.resize import resize_frames, target_size
from omnivmed.vision.sampling import sample_frames

__all__ = [
    "BUDGETS",
    "DEFAULT_BUDGET",
    "NANO_BUDGET",
    "Patches",
    "VisionBudget",
    "named_budget",
    "patchify",
    "prepare",
    "prepare_place",
    "resize_frames",
    "sample_frames",
    "target_size",
    "token_rects",
]
