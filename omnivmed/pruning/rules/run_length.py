"""Run-length tokenization: tubelets of two frames, dropped while they repeat (RLT, arXiv 2411.05222 §3).

Looks at ImageNet-normalised pixels before the encoder: the first frame of a tubelet against the last frame of the one
after it; above 0.1 the later tubelet is kept. No minimum; the first tubelet is whole. Both frames of a tubelet share
its fate here, for our tokens are frames' own. Grey pixels in [-1, 1] are 2 x 0.226 as wide as ImageNet's.
"""

from __future__ import annotations

import numpy as np

from omnivmed.pruning.rules.base import Choice, Rule, Tokens, exactly

TUBELET = 2
IMAGENET_STD = 0.226  # mean of the three channels', on pixels in [0, 1]
ENOUGH = 0.1  # on ImageNet-normalised pixels
UNIT = 2 * IMAGENET_STD  # one of theirs in ours


def select(tokens: Tokens, count: int | None = None, threshold: float = ENOUGH) -> Choice:
    """With a count, the tubelets that changed most; the last one taken may be cut in two."""
    x, (t, n) = tokens.pixels, tokens.shape
    score = np.full((t, n), np.inf, dtype=np.float32)
    for start in range(TUBELET, t, TUBELET):
        end = min(start + TUBELET, t)
        change = np.abs(x[end - 1] - x[start - TUBELET]).mean(axis=1) / np.float32(UNIT)
        score[start:end] = change
    return Choice(score > threshold if count is None else exactly(score, count), score)


RULE = Rule("run_length", "pixels", "before", "first two frames whole", "arXiv 2411.05222", select)
