"""What a sample will cost, without decoding it: file headers and text only. Always an upper bound."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omnivmed.model.prompts import Tokenizer, encode_text
from omnivmed.records import Sample
from omnivmed.vision import VisionBudget, target_size
from train.data.batches import Cost

FRAME_TEXT = ",Time 99999.9s:"
"""The longest text before a frame."""
TURN_TEXT = ("\n", "user\n", "\n", "\n", "assistant\n")
CONTROL_TOKENS = 4
"""<|im_start|> and <|im_end|>, twice, of one turn."""
PROBES = 64
"""Texts that are counted both ways before the quick one is trusted."""
KNOWN_WORDS = 200_000
"""Words whose tokens are remembered at one time, about 20 MB."""


class Words:
    """Tokens of plain texts as `encode_text` makes them, counted word by word: ten times as fast.

    The tokenizers of language models cut a text at a blank between two words before anything else, so that a text's
    tokens are those of its words, each with its blank. Whether this one does is tried on the first `PROBES` texts; one
    that differs, and every text is encoded whole. A text with other blanks than single ones is encoded whole anyway.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.whole = any(" " in content for content in tokenizer.get_added_vocab())
        self.probed = 0
        self._first: dict[str, int] = _Counted(tokenizer, "")
        self._later: dict[str, int] = _Counted(tokenizer, " ")

    def count(self, text: str) -> int:
        """Tokens of `text`. Raises ValueError as `encode_text`."""
        words = text.split(" ")
        if self.whole or len(words) != len(text.split()):
            return len(encode_text(self.tokenizer, text))
        quick = self._first[words[0]] + sum(map(self._later.__getitem__, words[1:]))
        if self.probed < PROBES:
            self.probed += 1
            exact = len(encode_text(self.tokenizer, text))
            self.whole = exact != quick
            return exact
        return quick


class _Counted(dict[str, int]):
    """Word -> tokens, counted when first asked for."""

    def __init__(self, tokenizer: Tokenizer, before: str) -> None:
        super().__init__()
        self.tokenizer, self.before = tokenizer, before

    def __missing__(self, word: str) -> int:
        if len(self) >= KNOWN_WORDS:
            self.clear()
        self[word] = count = len(encode_text(self.tokenizer, self.before + word))
        return count


class Measure:
    """Costs of many samples under one tokenizer and budget."""

    def __init__(self, tokenizer: Tokenizer, budget: VisionBudget) -> None:
        self.words, self.budget = Words(tokenizer), budget
        self.per_turn = CONTROL_TOKENS + sum(len(encode_text(tokenizer, text)) for text in TURN_TEXT)
        self.per_frame = len(encode_text(tokenizer, FRAME_TEXT))

    def __call__(self, sample: Sample) -> Cost:
        """Positions and patches of a sample, before pruning. Exact for stills whose header Pillow reads; a volume, a
        video or another file may take the whole budget."""
        budget, count = self.budget, self.words.count
        positions = sum(self.per_turn + count(question) + count(answer) for question, answer in sample.turns)
        kind, paths = sample.media.kind, sample.media.paths
        if kind == "text":
            return Cost(positions, 0)
        merge = budget.merge_size(kind)
        if kind == "image":
            most = still_budget(budget, len(paths))
            visual = sum(_still_tokens(path, budget, most) for path in paths)
        else:
            frames = budget.max_frames
            if len(paths) > 1:
                frames = min(frames, len(paths))
            visual = budget.study_tokens(kind, frames)
            positions += frames * self.per_frame
        return Cost(positions + visual, visual * merge**2)


def cost_of(sample: Sample, tokenizer: Tokenizer, budget: VisionBudget) -> Cost:
    """`Measure` of one sample."""
    return Measure(tokenizer, budget)(sample)


def still_budget(budget: VisionBudget, stills: int) -> int:
    """Merged tokens each of several stills may take."""
    return max(1, budget.study_tokens("image", 1) // stills)


def _still_tokens(path: Path, budget: VisionBudget, most: int) -> int:
    size = picture_size(path)
    return most if size is None else _tokens(size, budget, most)


def picture_size(path: Path) -> tuple[int, int] | None:
    """(height, width) from a picture's header; None where Pillow does not read it."""
    # The two usual formats alone first: Pillow asks ten others before them, which takes as long again.
    for formats in (("JPEG", "PNG"), None):
        try:
            with Image.open(path, formats=formats) as image:  # reads the header only
                return image.height, image.width
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
    return None


@lru_cache(maxsize=65_536)
def _tokens(size: tuple[int, int], budget: VisionBudget, most: int) -> int:
    merge = budget.merge_size("image")
    height, width = target_size(
        *size, merge_size=merge, max_tokens=most, min_tokens=budget.min_tokens, patch_size=budget.patch_size
    )
    side = budget.patch_size * merge
    return (height // side) * (width // side)


class Costs(Sequence[Cost]):
    """Costs of a stage's samples behind two arrays (n,), which may be memory maps: a `Cost` exists while it is read."""

    def __init__(self, positions: np.ndarray, patches: np.ndarray) -> None:
        self.positions, self.patches = positions, patches

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, place: Any) -> Any:
        return Cost(int(self.positions[place]), int(self.patches[place]))
