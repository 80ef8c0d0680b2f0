"""Tree packing: one study prefix, several questions as branches that cannot see each other.

Row layout: prefix (P tokens) | branch 1 | branch 2 | ... Every branch continues at position P and attends to the
prefix and to itself, causally: the loss equals that of separate sequences (tested). The prompt comes from the
product's own ``build_prompt``, so training and answering cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from omnivmed.model.prompts import Kind, Tokenizer, Turn, build_prompt, format_target

IMAGE_TOKEN, VIDEO_TOKEN = "<filename>", "<file_sep>"
KEY_WEIGHT = 3.0


class Asked(Protocol):
    """A question with its answer. answer: informative words in {braces}; plain: the same without them."""

    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def plain(self) -> str: ...
    @property
    def history(self) -> Sequence[Turn]: ...


@dataclass(frozen=True)
class Tree:
    """One packed row. ``labels`` -100 where not supervised; ``weights`` 0 there."""

    ids: list[int]
    positions: list[int]
    branch: list[int]  # -1 for the prefix
    labels: list[int]
    weights: list[float]
    visual: list[int]  # places of visual tokens in the row


def weighted_target(tokenizer, qa: Asked) -> tuple[list[int], list[float]]:  # type: ignore[no-untyped-def]
    """Ids of the plain answer and <|im_end|>, with KEY_WEIGHT on the first token and on those in {braces}."""
    ids = format_target(tokenizer, qa.plain)
    marked, depth = [], 0
    for char in qa.answer:
        if char in "{}":
            depth = int(char == "{")
        else:
            marked.append(depth)
    weights, at = [], 0
    for token in ids[:-1]:
        piece = tokenizer.decode([token])
        weights.append(KEY_WEIGHT if any(marked[at : at + len(piece)]) else 1.0)
        at += len(piece)
    weights[0] = KEY_WEIGHT  # the first word decides whether it is an answer, a correction or a refusal
    return ids, [*weights, 1.0]


def make_tree(
    tokenizer: Tokenizer,
    kind: Kind,
    tokens_per_frame: Sequence[int],
    times_s: Sequence[float] | None,
    questions: Sequence[Asked],
) -> Tree:
    image_id, video_id = (tokenizer.get_added_vocab()[t] for t in (IMAGE_TOKEN, VIDEO_TOKEN))
    ids: list[int] = []
    positions: list[int] = []
    branch: list[int] = []
    labels: list[int] = []
    weights: list[float] = []
    prefix_length = 0
    for number, qa in enumerate(questions):
        prompt = build_prompt(
            tokenizer, qa.question, kind, tokens_per_frame, times_s, qa.history, image_id, video_id
        )
        if number == 0:
            places = [i for i, t in enumerate(prompt) if t in (image_id, video_id)]
            # text-only rows share nothing but the start of the user turn
            prefix_length = places[-1] + 1 if places else 1
            ids, positions = prompt[:prefix_length], list(range(prefix_length))
            branch, labels, weights = [-1] * prefix_length, [-100] * prefix_length, [0.0] * prefix_length
        target, target_weights = weighted_target(tokenizer, qa)
        tail = prompt[prefix_length:]
        ids += tail + target
        positions += range(prefix_length, prefix_length + len(tail) + len(target))
        branch += [number] * (len(tail) + len(target))
        labels += [-100] * len(tail) + target
        weights += [0.0] * len(tail) + target_weights
    visual = [i for i in range(prefix_length) if ids[i] in (image_id, video_id)]
    return Tree(ids, positions, branch, labels, weights, visual)


@dataclass(frozen=True)
class Packed:
    """A batch of trees as tensors: rows of a study and its questions side by side, none of which sees another."""

    ids: Tensor  # (B, L)
    positions: Tensor  # (B, L)
    mask: Tensor  # bool (B, 1, L, L), True where attention is allowed
    select: Tensor  # (S,) flat places whose next token is supervised
    targets: Tensor  # (S,)
    weights: Tensor  # (S,)
    branch_of: list[tuple[int, int]]  # (row, branch) of every supervised place
    visual: Tensor  # (V,) flat places of visual tokens, row after row


def collate(trees: Sequence[Tree], pad_id: int) -> Packed:
    """Pads rows to one length. The last token before an answer is the prompt's; targets shift by one."""
    length = max(len(t.ids) for t in trees)
    b = len(trees)
    ids, positions = torch.full((b, length), pad_id), torch.zeros(b, length, dtype=torch.long)
    branch = torch.full((b, length), -2)
    select, targets, weights, owner, visual = [], [], [], [], []
    for r, t in enumerate(trees):
        n = len(t.ids)
        ids[r, :n], positions[r, :n], branch[r, :n] = (
            torch.tensor(x) for x in (t.ids, t.positions, t.branch)
        )
        visual += [r * length + v for v in t.visual]
        for i in range(1, n):
            if t.labels[i] != -100:
                select.append(r * length + i - 1)
                targets.append(t.labels[i])
                weights.append(t.weights[i])
                owner.append((r, t.branch[i]))
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same = branch[:, :, None] == branch[:, None, :]
    allowed = causal & (same | (branch[:, None, :] == -1))
    allowed |= torch.eye(length, dtype=torch.bool)  # padding sees itself: no empty rows
    return Packed(
        ids,
        positions,
        allowed[:, None],
        torch.tensor(select),
        torch.tensor(targets),
        torch.tensor(weights),
        owner,
        torch.tensor(visual, dtype=torch.long),
    )


def forward_hidden(language_model, packed: Packed, visual_features: Tensor | None) -> Tensor:  # type: ignore[no-untyped-def]
    """Hidden states (S, width) of the places that predict supervised tokens."""
    embeds = language_model.get_input_embeddings()(packed.ids)
    if visual_features is not None and len(packed.visual):
        flat = embeds.reshape(-1, embeds.shape[-1])
        flat = flat.index_copy(0, packed.visual, visual_features.to(flat.dtype))
        embeds = flat.view_as(embeds)
    bias = torch.zeros(packed.mask.shape, dtype=embeds.dtype).masked_fill(
        ~packed.mask, torch.finfo(embeds.dtype).min
    )
    out = language_model.model(
        inputs_embeds=embeds, attention_mask=bias, position_ids=packed.positions, use_cache=False
    )
    return out.last_hidden_state.reshape(-1, embeds.shape[-1])[packed.select]
