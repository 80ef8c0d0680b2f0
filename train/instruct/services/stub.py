"""Services that are none: a captioner that says what it was told or something else, a judge that counts words.

For tests and `train.instruct.tiny`, where the truth has to be known: a caption that repeats the answer is good, one
about something else is bad, and a judge errs by a stated amount. Nothing here looks at a picture.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NOISE = 0.7
"""Standard deviation of a judge's points."""
GOOD, BAD = 4.7, 2.5
"""What a caption with all, and with none, of the reference's words is worth."""
ELSEWHERE = "The knee joint has a small tear of its inner ligament."


def _text(messages: Sequence[dict[str, Any]]) -> str:
    content = messages[0]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


@dataclass(frozen=True)
class Writer:
    """Says the facts it was given, or, in a share of its captions, something about a knee."""

    model: str = "stub-writer"
    bad: float = 0.5

    def chat(
        self, messages: Sequence[dict[str, Any]], *, temperature: float, seed: int, max_tokens: int
    ) -> str:
        """One sentence; which of the two the seed decides."""
        facts = _text(messages).split("\n\n")[1]
        said = facts.rpartition("?")[2].strip() or facts
        return ELSEWHERE if random.Random(seed).random() < self.bad else f"What is shown here: {said}"

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Counts of hashed words."""
        return [[float(sum(len(w) % 8 == k for w in _words(text))) for k in range(8)] for text in texts]


@dataclass(frozen=True)
class WordOverlap:
    """A judge that counts how many of the reference's words stand in the candidate, and errs by `noise`."""

    model: str = "stub-word-overlap"
    noise: float = NOISE

    def chat(
        self, messages: Sequence[dict[str, Any]], *, temperature: float, seed: int, max_tokens: int
    ) -> str:
        """The three numbers as JSON."""
        parts = _text(messages).split("\n\n")
        reference, candidate = _words(parts[1]), _words(parts[3])
        worth = BAD + (GOOD - BAD) * len(reference & candidate) / max(1, len(reference))
        draw = random.Random(f"{self.model}/{seed}")
        points = (min(5, max(1, round(worth + draw.gauss(0, self.noise)))) for _ in range(3))
        return '{{"relevance": {}, "fluency": {}, "accuracy": {}}}'.format(*points)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """None: a judge."""
        raise NotImplementedError


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
