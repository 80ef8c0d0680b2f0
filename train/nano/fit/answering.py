"""Greedy answers of a nano in training, in batches: its adapter merged, its own frames, the product's prompt.

What ships is asked through the product's own door (``measure/door.py``); this is for weights that are not exported, as
the claims compare them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from omnivmed.model.batch import BatchDecoder, Branches
from omnivmed.model.prompts import build_prompt
from train.data.tree import IMAGE_TOKEN, VIDEO_TOKEN
from train.nano.data.studies import StudyView
from train.nano.fit.tuning import Nano
from train.nano.parts.language_model import decoder_of


class Answering:
    """The nano as it is now; later changes of it are not seen."""

    def __init__(self, nano: Nano) -> None:
        self.nano, self.decoder = nano, BatchDecoder(decoder_of(nano.lm))
        vocabulary = nano.tokenizer.get_added_vocab()
        self.image, self.video, self.stop = (vocabulary[t] for t in (IMAGE_TOKEN, VIDEO_TOKEN, "<|im_end|>"))

    @torch.inference_mode()
    def answers(
        self, cases: Sequence[tuple[StudyView | None, Sequence[str]]], tokens: int
    ) -> list[list[str]]:
        """What is said to every question of every case, at most ``tokens`` tokens of each; None: words alone."""
        placeholders = (self.image, self.video)
        trees = [Branches.of([self.prompt(s, q) for q in asked], placeholders) for s, asked in cases]
        visual = [None if study is None else self.nano.visual([study]) for study, _ in cases]
        said = self.decoder.answers(trees, visual, placeholders, (self.stop,), tokens)
        return [[self.nano.tokenizer.decode(ids).strip() for ids in rows] for rows in said]

    def prompt(self, study: StudyView | None, question: str) -> list[int]:
        """Token ids of a question about a study, or about none, as the product asks it."""
        kind, counts, times = (
            ("image", [], None) if study is None else (study.kind, study.tokens_per_frame, study.times_s)
        )
        return build_prompt(self.nano.tokenizer, question, kind, counts, times, (), self.image, self.video)
