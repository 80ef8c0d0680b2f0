"""The whole recipe in miniature: phantoms → three stages, one of them interrupted → evaluation → an answer.

It shows that every joint holds, and nothing about medicine: 180,000 random weights learn to see how bright a shape is,
and little else. The scores say so, next to the commonest answer and to the commonest answer of each question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from omnivmed.eval import baselines, predictions
from omnivmed.eval.media import open_media
from omnivmed.eval.predictions import Header, Reply
from omnivmed.eval.protocol import RULE_ONLY
from omnivmed.eval.report import Row, markdown
from omnivmed.records import Item, Sample
from train.data.dataset import Encoder
from train.loop import generations
from train.loop.build import load
from train.loop.run import read_data, run
from train.recipes.config import TrainConfig

INTERRUPT_AT = 20
"""Step of the last stage at which the run is stopped and started again."""
SCORED = 72
"""Held-out samples that are scored."""


@dataclass(frozen=True)
class Result:
    """model: folder of format omnivmed/1. scores: markdown. question, answer: what the engine was asked and said."""

    model: Path
    scores: str
    question: str
    answer: str


def whole(config: TrainConfig, data: Path, out: Path, say: Callable[[str], None] = print) -> Result:
    """Train, interrupt, resume, evaluate, ask. Everything lands in `out`; a finished part is not done again."""
    names = tuple(stage.name for stage in config.stages)
    run(config, data, out, stages=names[:-1], say=say)
    run(config, data, out, stop_after=INTERRUPT_AT, say=say)
    model = run(config, data, out, say=say)
    scores = evaluate(config, data, model, out)
    (out / "scores.md").write_text(scores, encoding="utf-8")
    question, answer = ask(config, data, model)
    return Result(model, scores, question, answer)


def evaluate(config: TrainConfig, data: Path, model: Path, out: Path) -> str:
    """Held-out questions of the last stage, model beside majority and question-only; markdown."""
    stage = config.stages[-1]
    found = read_data(config, stage, data)
    training, held_out = found.training, found.validation
    shown = {item.id: sample for sample in held_out for item in [_item(sample)]}
    items = [_item(sample) for sample in held_out][:SCORED]
    built = load(model, torch.float32)
    encoder = Encoder(built.tokenizer, built.placeholders, built.pad_id, stage)
    known = [_item(sample) for sample in training]

    def answer(item: Item, prompt: str) -> Reply:
        return Reply(generations.answer(built, encoder, shown[item.id]))

    systems = {
        "tiny": answer,
        "majority": baselines.majority(known),
        "question-only": baselines.question_only(known),
    }
    rows = []
    for name, answerer in systems.items():
        threshold = stage.threshold if name == "tiny" else None
        header = Header(
            "phantoms",
            "held out",
            RULE_ONLY.name,
            RULE_ONLY.prompt_hash(items),
            name,
            threshold,
            "drawn by code",
            len(items),
        )
        replies = predictions.run(items, RULE_ONLY, header, answerer, out / "predictions" / f"{name}.jsonl")
        rows.append(Row(header, tuple(RULE_ONLY.score(items, predictions.texts(replies)))))
    return markdown("The tiny recipe on phantoms it has not seen", rows, "python -m train tiny")


def ask(config: TrainConfig, data: Path, model: Path) -> tuple[str, str]:
    """A question to the trained folder through the engine that the app uses."""
    from omnivmed.inference import load_model

    assistant = load_model(str(model), offline=True)
    held_out = read_data(config, config.stages[-1], data).validation
    sample = next(s for s in held_out if s.media.kind == "image" and len(s.media.paths) == 1)
    question = sample.turns[0][0]
    with open_media(sample.media)[0] as study:
        return question, assistant.answer(study, question, max_new_tokens=12, alone=True).text


def _item(sample: Sample) -> Item:
    question, answer = sample.turns[0]
    return Item(sample.id, sample.media, question, answer, False, sample.media.kind, sample.id)
