"""Answers of the model in training to held-out samples, for people to look at beside the loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from omnivmed.records import Sample
from train.data.collate import collate
from train.data.dataset import Encoder
from train.data.encode import IGNORE, BadSample, Encoded, encode
from train.loop.build import Built

FILE = "generations.jsonl"


@torch.no_grad()
def answer(built: Built, encoder: Encoder, sample: Sample, max_new_tokens: int = 32) -> str:
    """Greedy answer to the first question of a sample, with the stage's pruning. Raises BadSample."""
    encoded = encode(
        Sample(sample.id, sample.media, sample.turns[:1]),
        encoder.tokenizer,
        encoder.placeholders,
        encoder.stage.vision,
        threshold=encoder.stage.threshold,
        max_length=encoder.stage.max_length,
    )
    length = int((encoded.labels == IGNORE).sum())
    prompt = Encoded(
        encoded.id,
        encoded.input_ids[:length],
        encoded.labels[:length],
        encoded.patches,
        encoded.keep,
        encoded.video,
    )
    batch = collate([prompt], encoder.pad_id)
    batch.pop("labels")
    if not prompt.patches:
        batch = {k: v for k, v in batch.items() if k in ("input_ids", "attention_mask")}
    device = next(built.model.parameters()).device
    was_training = built.model.training
    built.model.train(False)
    out = built.model.generate(
        **{k: v.to(device) for k, v in batch.items()},
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=built.tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=built.pad_id,
    )
    built.model.train(was_training)
    text = built.tokenizer.decode(out[0, length:].tolist(), skip_special_tokens=True)
    return str(text).strip()


def write(
    built: Built, encoder: Encoder, samples: Sequence[Sample], folder: Path, step: int
) -> tuple[float, list[tuple[str, str]]]:
    """Append question, reference and answer of each sample; returns (share answered word for word, (id, reason) of
    the samples that could not be opened)."""
    right = 0
    bad: list[tuple[str, str]] = []
    with (folder / FILE).open("a", encoding="utf-8") as file:
        for sample in samples:
            question, reference = sample.turns[0]
            try:
                said = answer(built, encoder, sample)
            except BadSample as error:
                bad.append((error.sample_id, error.reason))
                continue
            right += said == reference
            row = {
                "step": step,
                "id": sample.id,
                "question": question,
                "reference": reference,
                "answer": said,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return right / max(1, len(samples) - len(bad)), bad
