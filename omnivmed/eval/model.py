"""An `Assistant` as the one who answers: each study is opened once, asked its question, closed and forgotten."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from omnivmed.errors import OmniVMedError
from omnivmed.eval.media import open_media
from omnivmed.eval.predictions import Answerer, Reply
from omnivmed.inference import AskOptions, Assistant
from omnivmed.records import Item
from omnivmed.study import Study
from omnivmed.vision import sample_frames

SHORT = AskOptions(max_new_tokens=64, alone=True)
"""Benchmarks are answered in a few words, by the model alone: neither the file nor a fixed reply may help it."""


def ask(assistant: Assistant, options: AskOptions = SHORT, blank: bool = False) -> Answerer:
    """An answerer by a loaded model. Errors of the study or the model become `Reply.error`, the run goes on.

    A clip whose frame in question the model's budget would leave out is an error too ("FrameNotShown").
    blank: show a grey picture of the same size instead, to see what the words alone bring.
    """

    def answer(item: Item, prompt: str) -> Reply:
        start = time.perf_counter()
        try:
            studies = open_media(item.media)
            if len(studies) != 1:
                return Reply("", error=f"{len(studies)} studies in one question")
            with _blank(studies[0]) if blank else studies[0] as study:
                if not _shown(item, study, assistant, options):
                    return Reply("", error="FrameNotShown")
                given = assistant.answer(study, prompt, options=replace(options, alone=True))
                assistant.forget(study)
        except OmniVMedError as error:
            return Reply("", time.perf_counter() - start, error=error.code)
        return Reply(
            given.text,
            time.perf_counter() - start,
            given.usage.visual_tokens_before,
            given.usage.visual_tokens_after,
        )

    return answer


def _shown(item: Item, study: Study, assistant: Assistant, options: AskOptions) -> bool:
    """Whether the frame that a question is about is among those the model is given."""
    focus = item.media.focus
    if focus is None or study.shape[0] != len(item.media.paths):
        return True
    return focus in sample_frames(study, assistant.budget, options.max_frames)


def _blank(study: Study) -> Study:
    with study:
        grey = np.full((*study.shape, 3), 127, dtype=np.uint8)
        return Study.from_array(grey, study.kind, times_s=study.times_s, spacing_mm=study.spacing_mm)
