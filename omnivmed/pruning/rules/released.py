"""Two readings in released code, for comparison only: docs/decisions/0001-threshold-unit.md.

`x255`: the distance of the paper's rule times 255, so that 0.1 means 0.05 grey levels, in effect "bit-identical"
(VideoLLaMA3 and transformers, as their documentation and tests describe). `first_frame_defect`: the paper's unit, but
a sentinel for the first frame that is divided by 255, so that all of it falls but one token (Hulu-Med; seen in runs).
Both look at pixels before the encoder; every frame keeps at least one token.
"""

from __future__ import annotations

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.pruning.rules.base import Choice, Rule, Tokens, exactly, moved, with_floor

SENTINEL = 1.1  # what stands in for the distance of the first frame, before it is divided


def select_x255(tokens: Tokens, count: int | None = None, threshold: float = DEFAULT_THRESHOLD) -> Choice:
    """As `previous`, 255 times as strict; at an equal number of tokens the two are one rule."""
    distance = moved(tokens) * 255
    return Choice(with_floor(distance > threshold) if count is None else exactly(distance, count), distance)


def select_defect(tokens: Tokens, count: int | None = None, threshold: float = DEFAULT_THRESHOLD) -> Choice:
    """As `previous`, the first frame reduced to its floor."""
    distance = moved(tokens)
    distance[0] = SENTINEL / 255
    return Choice(with_floor(distance > threshold) if count is None else exactly(distance, count), distance)


X255 = Rule(
    "x255",
    "pixels",
    "before",
    "first frame whole, one token a frame",
    "transformers 5, video_llama_3",
    select_x255,
    True,
)
DEFECT = Rule(
    "first_frame_defect", "pixels", "before", "one token a frame", "Hulu-Med as released", select_defect, True
)
