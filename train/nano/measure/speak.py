"""Greedy answers in batches: the same prompt and tokens as the product's engine, many questions at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from omnivmed.inference.prompts import build_prompt
from train.nano.data.studies import StudyView
from train.nano.fit.pack import IMAGE_TOKEN, VIDEO_TOKEN
from train.nano.fit.tuning import Nano

BATCH = 32


@torch.no_grad()
def speak(
    nano: Nano, asked: Sequence[tuple[StudyView | None, str]], tokens: int = 24, batch: int = BATCH
) -> list[str]:
    """(study or None, question) -> text. None: the question alone, no picture in the prompt.

    Questions about one study should stand side by side: it is encoded once per batch.
    """
    out: list[str] = []
    for start in range(0, len(asked), batch):
        out += _some(nano, asked[start : start + batch], tokens)
    return out


def _some(nano: Nano, asked: Sequence[tuple[StudyView | None, str]], tokens: int) -> list[str]:
    vocabulary = nano.tokenizer.get_added_vocab()
    image_id, video_id, stop = (vocabulary[t] for t in (IMAGE_TOKEN, VIDEO_TOKEN, "<|im_end|>"))
    seen: dict[int, Tensor] = {}
    for study, _ in asked:
        if study is not None and id(study) not in seen:
            features = nano.visual([study])
            assert features is not None
            seen[id(study)] = features
    rows, visual = [], []
    for study, question in asked:
        kind = "image" if study is None else study.kind
        counts = [] if study is None else study.tokens_per_frame
        times = None if study is None else study.times_s
        rows.append(build_prompt(nano.tokenizer, question, kind, counts, times, (), image_id, video_id))
        visual.append(None if study is None else seen[id(study)])
    length = max(map(len, rows))
    ids = torch.tensor([[stop] * (length - len(r)) + r for r in rows])
    mask = torch.tensor([[0] * (length - len(r)) + [1] * len(r) for r in rows])
    embeds = nano.lm.get_input_embeddings()(ids).clone()
    for row, prompt, features in zip(embeds, rows, visual, strict=True):
        if features is not None:
            pad = length - len(prompt)
            places = [pad + i for i, t in enumerate(prompt) if t in (image_id, video_id)]
            row[places] = features.to(row.dtype)
    config = nano.lm.config
    training_attention, config._attn_implementation = config._attn_implementation, "sdpa"
    try:
        made = nano.lm.generate(
            inputs_embeds=embeds,
            attention_mask=mask,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=stop,
        )
    finally:
        config._attn_implementation = training_attention
    texts = []
    for row in made.tolist():
        texts.append(nano.tokenizer.decode(row[: row.index(stop)] if stop in row else row).strip())
    return texts
