"""Whether a picture is of a kind that the model was trained on: which it lies nearer to, in its encoder's features.

A model asked about a cat answers "an MRI of the head": it has no word for "neither". So the features of a study are
looked at before it speaks: how far they are from those of training pictures, and how far from those of other things
(photographs, pages, screens, noise). The ratio of the two distances, each to the third nearest, decides: a nearest
neighbour test (Sun et al. 2022, "Out-of-Distribution Detection with Deep Nearest Neighbors") with the outliers exposed
(Hendrycks et al. 2019). `python -m train.nano familiar` makes the file; how often it holds back what is known and lets
pass what is not stands in docs/nano.md. It is a sieve, not a proof: a strange picture may pass.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnivmed.errors import ModelError
from omnivmed.study_info import StudyKind

FORMAT = "omnivmed-familiar/1"
FILE = "familiar.safetensors"
PARTS = ("still", "frame")
NEIGHBOUR = 3


@dataclass(frozen=True, eq=False)
class Line:
    """Where known pictures end. mean, deviation: (2·width,) of pooled features; basis: (2·width, K) to K numbers;
    known, other: (N, K) examples; least: the lowest score that passes."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    basis: NDArray[np.float32]
    known: NDArray[np.float32]
    other: NDArray[np.float32]
    least: float

    def scores(self, pooled: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 2·width) pooled features → (N,) log of distance to other things over distance to known ones."""
        at: NDArray[np.float32] = (((pooled - self.mean) / self.deviation) @ self.basis).astype(
            np.float32, copy=False
        )
        found: NDArray[np.float32] = np.log(nearest(self.other, at)) - np.log(nearest(self.known, at))
        return found


def nearest(
    examples: NDArray[np.float32], at: NDArray[np.float32], place: int = NEIGHBOUR
) -> NDArray[np.float32]:
    """(N,) distance from each row of `at` to its `place`-th nearest example."""
    squared = (at**2).sum(1)[:, None] + (examples**2).sum(1)[None] - 2 * at @ examples.T
    found: NDArray[np.float32] = np.sqrt(np.maximum(np.partition(squared, place - 1, 1)[:, place - 1], 1e-6))
    return found


@dataclass(frozen=True)
class Familiar:
    """Lines for stills and for slices or frames, which have fewer tokens; and what was trained on, in words."""

    still: Line
    frame: Line
    words: str = "X-rays, CT, MRI"

    def knows(self, pooled: NDArray[np.float32], kind: StudyKind) -> bool:
        """Whether the study passes: a still by its score, a volume or clip by the median of its frames.

        pooled: (frames, 2·width), mean and deviation of the tokens of each frame.
        """
        line = self.still if kind == "image" else self.frame
        return bool(np.median(line.scores(pooled)) >= line.least)


def load_familiar(path: Path) -> Familiar:
    """Read the statistics. Raises ModelError ("Unsupported") for a file of another form."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    try:
        with safe_open(path, framework="numpy") as opened:
            told = opened.metadata() or {}
        tensors = load_file(path)
        if told.get("format") != FORMAT:
            raise KeyError("format")
        lines = {}
        for part in PARTS:
            mean, deviation, basis, known, other = (
                tensors[f"{part}.{name}"].astype(np.float32)
                for name in ("mean", "deviation", "basis", "known", "other")
            )
            whole = mean.shape == deviation.shape == basis.shape[:1]
            whole &= known.shape[1] == other.shape[1] == basis.shape[1]
            whole &= min(len(known), len(other)) >= NEIGHBOUR and bool((deviation > 0).all())
            if not whole or not all(np.isfinite(t).all() for t in (mean, deviation, basis, known, other)):
                raise ValueError(part)
            lines[part] = Line(mean, deviation, basis, known, other, float(tensors[f"{part}.least"][0]))
        return Familiar(lines["still"], lines["frame"], str(json.loads(told["words"])))
    except (KeyError, ValueError, OSError) as error:
        raise ModelError(
            "Unsupported", f"{FILE} of this model cannot be read; get the model again."
        ) from error
