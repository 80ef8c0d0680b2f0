"""What any rule has to beat: tokens drawn at random, and whole frames at equal distances.

Both look at nothing. `random` draws by the seed of the tokens; `whole_frames` takes frames from first to last.
"""

from __future__ import annotations

import numpy as np

from omnivmed.pruning.rules.base import Choice, Rule, Tokens, exactly

SHARE = 0.25


def select_random(tokens: Tokens, count: int | None = None, share: float = SHARE) -> Choice:
    """A quarter, or the count, each token as likely as any other."""
    score = np.random.default_rng(tokens.seed).random(tokens.shape, dtype=np.float32)
    return Choice(exactly(score, round(share * score.size) if count is None else count), score)


def select_frames(tokens: Tokens, count: int | None = None, share: float = SHARE) -> Choice:
    """A quarter of the frames, whole; with a count, one more is cut where it is reached."""
    t, n = tokens.shape
    wanted = max(n, round(share * t) * n) if count is None else count
    frames = min(t, -(-wanted // n))
    chosen = np.unique(np.round(np.linspace(0, t - 1, max(frames, 1))).astype(int))
    score = np.zeros((t, n), dtype=np.float32)
    score[chosen] = 1 + np.linspace(1, 0, len(chosen))[:, None]
    return Choice(exactly(score, wanted), score)


RANDOM = Rule("random", "nothing", "before", "none", "baseline", select_random)
FRAMES = Rule("whole_frames", "nothing", "before", "none", "baseline", select_frames)
