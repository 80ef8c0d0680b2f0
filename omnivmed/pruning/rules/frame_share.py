"""Distinctive frames get a larger share of the budget, distinctive tokens come first in each (after VidCom2).

Looks at encoder outputs, hence after the encoder; at pixels where no model is at hand. A frame's share grows with how
little its mean resembles the mean of all (softmax over frames); within a frame, tokens are ranked by how little they
resemble the centres of the frame and of the whole. No frame is whole.
"""

from __future__ import annotations

import numpy as np

from omnivmed.pruning.rules.base import Choice, Rule, Tokens, cosine, exactly

SHARE = 0.25  # kept, the published setting
SHARPNESS = 0.01  # temperature of the softmax over frames


def select(tokens: Tokens, count: int | None = None, share: float = SHARE) -> Choice:
    """Frames' quotas are rounded so that they add up to the number exactly."""
    (t, n), x = tokens.shape, tokens.seen
    wanted = max(1, round(share * t * n)) if count is None else count
    centres, whole = x.mean(axis=1), x.reshape(t * n, -1).mean(axis=0)
    apart = 1 - cosine(centres, whole[None])
    odd = np.exp((apart - apart.max()) / SHARPNESS)
    quotas = shared_out(odd / odd.sum(), wanted, n)
    score = (2 - cosine(x, centres[:, None]) - cosine(x, whole[None, None])).astype(np.float32)
    keep = np.stack([exactly(score[i : i + 1], int(quotas[i]))[0] for i in range(t)])
    return Choice(keep, score)


def shared_out(weights: np.ndarray, total: int, most: int) -> np.ndarray:
    """int (t,): `total` split by weights, at most `most` each; what a full frame cannot take goes to the others."""
    quotas = np.zeros(len(weights), dtype=np.int64)
    while (left := total - int(quotas.sum())) > 0:
        open_ = quotas < most
        w = np.where(open_, weights + 1e-9, 0.0)
        exact = left * w / w.sum()
        step = np.minimum(np.floor(exact).astype(np.int64), most - quotas)
        if not step.any():  # fewer than one each: to the largest remainders
            order = np.argsort(-np.where(open_, exact, -1.0), kind="stable")[: min(left, int(open_.sum()))]
            step[order] = 1
        quotas += step
    return quotas


RULE = Rule("frame_share", "features", "after", "none", "VidCom2", select)
