"""A rate, not a threshold: what resembles the frame before least, over the whole clip (EVS as in vLLM and SGLang).

Looks at encoder outputs, hence after the encoder; at pixels where no model is at hand. Keeps max(tokens of one frame,
all x (1 - q)), ranked by 1 - cosine to the same place one frame before. The first frame is whole; a later frame may
keep nothing.
"""

from __future__ import annotations

import numpy as np

from omnivmed.pruning.rules.base import Choice, Rule, Tokens, cosine, exactly

Q = 0.75  # share that goes, the engines' documented example


def select(tokens: Tokens, count: int | None = None, q: float = Q) -> Choice:
    """With a count, that instead of the rate."""
    (t, n), x = tokens.shape, tokens.seen
    score = np.full((t, n), np.inf, dtype=np.float32)
    for i in range(1, t):
        score[i] = 1 - cosine(x[i], x[i - 1])
    wanted = max(n, int(t * n * (1 - q))) if count is None else count
    return Choice(exactly(score, wanted), score)


RULE = Rule(
    "rate", "features", "after", "first frame whole", "vLLM and SGLang, efficient video sampling", select
)
