"""The paper's rule: the frame before, token by token (OmniV-Med §2.2, eq. 2; VideoLLaMA3 §2.3).

Looks at pixels in [-1, 1] before the encoder; applied after it here, so that what stays was encoded in full. The first
frame is whole, every later frame keeps at least one token.
"""

from __future__ import annotations

from omnivmed.defaults import DEFAULT_THRESHOLD
from omnivmed.pruning.rules.base import Choice, Rule, Tokens, exactly, moved, with_floor


def select(tokens: Tokens, count: int | None = None, threshold: float = DEFAULT_THRESHOLD) -> Choice:
    """Keep what moved more than the threshold; with a count, the tokens that moved most."""
    distance = moved(tokens)
    score = distance.copy()
    keep = with_floor(distance > threshold) if count is None else exactly(score, count)
    return Choice(keep, score)


RULE = Rule(
    "previous", "pixels", "before", "first frame whole, one token a frame", "arXiv 2504.14692 §2.2", select
)
