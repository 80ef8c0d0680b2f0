"""What a pruning rule is: a function of a study's tokens that scores each and says which it keeps.

Shapes: ``t`` frames of ``n`` merged tokens, raster order. Scores rank tokens within one rule: the higher, the sooner
it is kept; +inf is kept whatever the budget, as long as the budget allows. No rule here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnivmed.vision.patches import Patches

Looks = Literal["pixels", "features", "nothing"]


@dataclass(frozen=True, eq=False)
class Tokens:
    """What rules look at. pixels: float32 (t, n, d), all values of a token, in [-1, 1] after windowing. features:
    float32 (t, n, c), outputs of an encoder and projector, or None without a model. seed: of rules that draw."""

    pixels: np.ndarray
    features: np.ndarray | None = None
    seed: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(t, n)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def seen(self) -> np.ndarray:
        """(t, n, c): features where there are some, else pixels, for the rules that compare directions."""
        return self.pixels if self.features is None else self.features


@dataclass(frozen=True, eq=False)
class Choice:
    """keep: bool (t, n). score: float32 (t, n), higher is kept sooner, +inf always."""

    keep: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Rule:
    """One rule. select(tokens, count): its own choice, or with a count the one that keeps exactly so many tokens.

    looks: what it compares. where: before the encoder (saves its work, too) or after it. floor: what is kept at least.
    source: where the rule is described. comparison: for comparison only, no setting anybody should use.
    """

    name: str
    looks: Looks
    where: Literal["before", "after"]
    floor: str
    source: str
    select: Callable[[Tokens, int | None], Choice]
    comparison: bool = False


def tokens_of(patches: Patches, features: np.ndarray | None = None, seed: int = 0) -> Tokens:
    """The tokens of a prepared study. Raises ValueError for features of another number of tokens."""
    t, h, w = patches.token_grid
    if features is not None:
        if features.size == 0 or features.shape[0] != t * h * w:
            raise ValueError(f"{t * h * w} tokens need as many features, got {features.shape}")
        features = np.asarray(features, dtype=np.float32).reshape(t, h * w, -1)
    return Tokens(patches.patches.reshape(t, h * w, -1), features, seed)


def exactly(score: np.ndarray, count: int) -> np.ndarray:
    """bool (t, n) that keeps exactly `count` tokens of the highest score; equal ones in raster order.

    Raises ValueError when there are not so many tokens, or a count below 0.
    """
    if not 0 <= count <= score.size:
        raise ValueError(f"{score.size} tokens cannot keep {count}")
    keep = np.zeros(score.size, dtype=bool)
    keep[np.argsort(-score.reshape(-1), kind="stable")[:count]] = True
    return keep.reshape(score.shape)


def moved(tokens: Tokens) -> np.ndarray:
    """float32 (t, n): mean |x - x before| of every token against the frame before; +inf in the first frame."""
    distance = np.full(tokens.shape, np.inf, dtype=np.float32)
    for i in range(1, len(distance)):
        distance[i] = np.abs(tokens.pixels[i] - tokens.pixels[i - 1]).mean(axis=1)
    return distance


def with_floor(keep: np.ndarray, least: int = 1) -> np.ndarray:
    """A frame that would keep fewer than `least` tokens keeps its first ones, from the top left."""
    keep[keep.sum(axis=1) < least, :least] = True
    return keep


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the last axis; 1 where both are zero."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.where(norms > 0, (a * b).sum(axis=-1) / np.maximum(norms, 1e-12), 1.0).astype(np.float32)
