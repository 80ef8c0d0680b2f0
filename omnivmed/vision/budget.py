"""How many visual tokens one study may spend, and on what."""

from __future__ import annotations

import math
from dataclasses import dataclass

from omnivmed.study_info import StudyKind


@dataclass(frozen=True)
class VisionBudget:
    """One token budget per study, shared over its frames (OmniV-Med §2.1; values of the VideoLLaMA3 card).

    Tokens are counted after merging ``merge_size`` x ``merge_size`` patches and before pruning. The budget
    bounds memory: whatever the upload's size, the encoder never sees more than ``max_tokens * merge_size²``
    patches.
    """

    max_tokens: int = 10_240
    """Merged tokens of the whole study. 10,240 is the training length of the published recipe; 16,384 its
    limit at inference, which on a CPU only costs time."""
    max_frames: int = 128
    """Slices or frames taken at most."""
    min_tokens: int = 16
    """Smaller frames are enlarged to this many tokens (lower bound of the public resize rule)."""
    image_merge_size: int = 1
    video_merge_size: int = 2
    """For volumes and video alike."""
    patch_size: int = 14
    fps: float = 1.0
    """Frames taken per second of video, before ``max_frames`` caps them."""
    min_frames: int = 8
    """A short clip is sampled more densely until it yields this many frames, if it has them."""
    slice_step_mm: float = 2.0
    """Slices of a volume are taken no closer than this: thinner ones tell the model little and would make
    neighbours so alike that slow change is pruned away (`docs/pruning.md`)."""
    image_max_tokens: int | None = None
    """Cap for a still image; None: ``max_tokens``."""
    frame_max_tokens: int | None = None
    """Cap for each slice or frame; None: an equal share of ``max_tokens``."""
    ct_windows: tuple[tuple[float, float], ...] | None = None
    """Three (level, width) in HU, shown as red, green and blue of one picture, in place of the study's own window.
    Only for grey studies whose numbers are HU. A model is asked as it was trained: the setting travels with it."""

    def __post_init__(self) -> None:
        if self.ct_windows is None:
            return
        pairs = tuple(
            (float(level), float(width)) for level, width in self.ct_windows
        )  # lists, when read from JSON
        if len(pairs) != 3 or not all(
            math.isfinite(level) and 0 < width < math.inf for level, width in pairs
        ):
            raise ValueError(f"ct_windows are three (level, width > 0) in HU, got {self.ct_windows}")
        object.__setattr__(self, "ct_windows", pairs)

    @property
    def name(self) -> str:
        """For a person: "nano", "published", or what it allows where it is another one."""
        for name, budget in BUDGETS.items():
            if self == budget:
                return name
        return f"{self.max_tokens:,} tokens, {self.max_frames} frames"

    def merge_size(self, kind: StudyKind) -> int:
        """Patches merged per side for a study of this kind."""
        return self.image_merge_size if kind == "image" else self.video_merge_size

    def study_tokens(self, kind: StudyKind, frames: int) -> int:
        """Merged tokens that a study of ``frames`` frames may spend in all."""
        cap = self.image_max_tokens if kind == "image" else self.frame_max_tokens
        return self.max_tokens if cap is None else min(self.max_tokens, cap * frames)


DEFAULT_BUDGET = VisionBudget()
"""The public checkpoints' setting."""

NANO_BUDGET = VisionBudget(
    max_tokens=512,
    max_frames=32,
    image_merge_size=2,
    image_max_tokens=36,
    frame_max_tokens=16,
)
"""What nano was trained with: 2 x 2 merging for stills too, 168 px squares for stills and 112 px for frames."""

BUDGETS = {"nano": NANO_BUDGET, "published": DEFAULT_BUDGET}
"""By name; the first is the embedded model's, which is meant where nobody says another."""


def named_budget(name: str) -> VisionBudget:
    """Raises ValueError for a name that is not in `BUDGETS`."""
    if name not in BUDGETS:
        raise ValueError(f"budget must be one of {tuple(BUDGETS)}, got {name!r}")
    return BUDGETS[name]
