"""Answers of a nano in training: in batches, merged, and equal to one full forward pass per token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from omnivmed.model.prompts import build_prompt
from train.nano.data.studies import StudyView, still, volume
from train.nano.data.views import Item
from train.nano.fit.answering import Answering
from train.nano.fit.tuning import Nano

TOKENS = 6


@torch.no_grad()
def alone(nano: Nano, study: StudyView | None, question: str) -> str:
    """One full forward pass of the unmerged model per token."""
    kind = "image" if study is None else study.kind
    counts: Sequence[int] = () if study is None else study.tokens_per_frame
    ids = build_prompt(nano.tokenizer, question, kind, counts, None, (), 6, 5)
    said: list[int] = []
    while len(said) < TOKENS:
        row = torch.tensor([[*ids, *said]])
        embeds = nano.lm.get_input_embeddings()(row)
        if study is not None:
            embeds[0, [i for i, t in enumerate(ids) if t in (5, 6)]] = nano.visual([study])
        bias = torch.zeros(1, 1, row.shape[1], row.shape[1])
        bias.masked_fill_(~torch.ones_like(bias, dtype=torch.bool).tril(), torch.finfo(bias.dtype).min)
        hidden = nano.lm.model(inputs_embeds=embeds, attention_mask=bias).last_hidden_state[:, -1]
        token = int(nano.lm.lm_head(hidden).argmax())
        if token == 2:
            break
        said.append(token)
    return str(nano.tokenizer.decode(said)).strip()


def test_batches_say_what_one_question_alone_says(nano: Nano) -> None:
    torch.manual_seed(3)
    for name, parameter in nano.lm.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3)
    entries = list(nano.bank.values())
    stills = [still(e, Item(e.record.id), None) for e in entries if e.record.kind == "image"][::9]
    volumes = [
        volume(e, p, 4, 0.1, None) for e in entries if e.record.kind == "volume" for p in ("axial", "coronal")
    ]
    cases = [(s, ["Organ?", "Which part is this?"]) for s in (*stills, *volumes, None)]
    expected = [[alone(nano, s, q) for q in asked] for s, asked in cases]
    assert len({t for row in expected for t in row}) > 3
    assert Answering(nano).answers(cases, TOKENS) == expected
