"""Greedy answers to many questions about many studies side by side.

All questions about a study share its beginning: they are read as branches that cannot see each other (as in training,
`train.data.tree`), without padding; then the answers of all questions grow together, and a finished one leaves the
batch. The layers are those of `omnivmed.model.decode.Decoder`; each answer is the one that the decoder gives alone, up
to ties of rounding in bfloat16.

Legend: ``N`` positions of all studies in a batch, ``R`` questions, ``M`` positions a question holds, ``H`` query
heads, ``G`` key-value heads, ``D`` head size, ``W`` width.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from omnivmed.model.decode import Decoder

POSITIONS = 6000
"""Positions of all studies that are read together; bounds the memory of reading."""

HELD = 40_000
"""Positions that all questions of a batch hold together, their answers included; bounds the cache."""


@dataclass(frozen=True)
class Branches:
    """One study and its questions as ids. Question k sees the first ``shared`` ids and ``spans[k]`` (start, end)."""

    ids: list[int]
    positions: list[int]
    shared: int
    spans: list[tuple[int, int]]

    @classmethod
    def of(cls, prompts: Sequence[Sequence[int]], placeholders: Collection[int]) -> Branches:
        """From whole prompts about one study, which begin alike up to their last placeholder.

        Raises ValueError when they do not.
        """
        places = [i for i, token in enumerate(prompts[0]) if token in placeholders]
        shared = places[-1] + 1 if places else 0
        ids, positions, spans = list(prompts[0][:shared]), list(range(shared)), []
        for prompt in prompts:
            if list(prompt[:shared]) != ids[:shared]:
                raise ValueError("these prompts are not about one study: they begin otherwise")
            spans.append((len(ids), len(ids) + len(prompt) - shared))
            ids += prompt[shared:]
            positions += range(shared, len(prompt))
        return cls(ids, positions, shared, spans)

    def sees(self) -> Tensor:
        """Bool (n, n): which earlier ids each one sees."""
        n = len(self.ids)
        allowed = torch.ones(n, n, dtype=torch.bool).tril()
        for start, end in self.spans:
            allowed[start:end, self.shared : start] = False
        return allowed


def fits(trees: Sequence[Branches], most: int) -> bool:
    """Whether these studies with their questions stay within `POSITIONS` and `HELD`."""
    spans = [(t.shared + end - start) for t in trees for start, end in t.spans]
    return sum(len(t.ids) for t in trees) <= POSITIONS and len(spans) * (max(spans) + most) <= HELD


class BatchDecoder:
    """Answers of one `Decoder` in batches; shares its weights, copies none."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.heads, self.groups, self.size = decoder.heads, decoder.groups, decoder.head_dim

    @torch.inference_mode()
    def answers(
        self,
        trees: Sequence[Branches],
        visual: Sequence[Tensor | None],
        placeholders: Collection[int],
        stop_ids: Collection[int],
        most: int,
    ) -> list[list[list[int]]]:
        """Ids said to every question of every study, without the stop token, at most ``most`` of each.

        visual: per study the rows ``(K, W)`` for its placeholders in order; None without any.
        """
        out: list[list[list[int]]] = [[] for _ in trees]
        batch: list[int] = []
        for study in sorted(range(len(trees)), key=lambda k: len(trees[k].ids)):
            if batch and not fits([trees[k] for k in [*batch, study]], most):
                self._batch(trees, visual, placeholders, stop_ids, most, batch, out)
                batch = []
            batch.append(study)
        if batch:
            self._batch(trees, visual, placeholders, stop_ids, most, batch, out)
        return out

    def _batch(
        self,
        trees: Sequence[Branches],
        visual: Sequence[Tensor | None],
        placeholders: Collection[int],
        stop_ids: Collection[int],
        most: int,
        chosen: Sequence[int],
        out: list[list[list[int]]],
    ) -> None:
        own = [trees[k] for k in chosen]
        embeds = self.decoder.embed(torch.tensor([i for t in own for i in t.ids])).float()
        marked = torch.tensor([i in placeholders for t in own for i in t.ids])
        rows = [v for k in chosen if (v := visual[k]) is not None]
        if rows:
            embeds[marked] = torch.cat(rows).float()
        said = iter(self._grow(own, embeds, stop_ids, most))
        for k in chosen:
            out[k] = [next(said) for _ in trees[k].spans]

    def _grow(
        self, trees: Sequence[Branches], embeds_NW: Tensor, stop_ids: Collection[int], most: int
    ) -> list[list[int]]:
        starts = [sum(len(t.ids) for t in trees[:k]) for k in range(len(trees) + 1)]
        lengths = torch.tensor([t.shared + end - start for t in trees for start, end in t.spans])
        rows, held = len(lengths), int(lengths.max())
        places = torch.zeros(
            rows, held, dtype=torch.long
        )  # of what each question holds, among the N positions
        spans = [(t, base, span) for t, base in zip(trees, starts, strict=False) for span in t.spans]
        for row, (tree, base, (start, end)) in enumerate(spans):
            own = [*range(base, base + tree.shared), *range(base + start, base + end)]
            places[row, : len(own)] = torch.tensor(own)
        keys: list[Tensor] = [torch.empty(0)] * self.decoder.depth
        values = list(keys)
        masks = [t.sees().repeat(self.heads // self.groups, 1) for t in trees]

        def read(number: int, qkv_NXD: Tensor) -> Tensor:
            """Study by study; what every question will see is put aside, with room for its answer."""
            qkv = qkv_NXD.to(self.decoder.dtype)
            gathered = qkv[:, self.heads :][places].transpose(1, 2)  # (R, 2G, M, D)
            wide = gathered.new_zeros(rows, 2 * self.groups, held + most, self.size)
            wide[:, :, :held] = gathered
            keys[number], values[number] = wide[:, : self.groups], wide[:, self.groups :]
            parts = []
            for k, mask in enumerate(masks):
                part = qkv[starts[k] : starts[k + 1]].transpose(0, 1)  # (H + 2G, n, D)
                n = part.shape[1]
                query = part[: self.heads].reshape(1, self.groups, -1, self.size)
                key, value = part[None, self.heads :].chunk(2, 1)
                seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
                parts.append(seen.reshape(self.heads, n, self.size).transpose(0, 1))
            return torch.cat(parts).flatten(1)

        positions = torch.tensor([p for t in trees for p in t.positions])
        hidden = self.decoder.layers(embeds_NW, self.decoder.turns(positions), read)
        token = self.decoder.likeliest(hidden[torch.tensor([base + end - 1 for _, base, (_, end) in spans])])

        said: list[list[int]] = [[] for _ in range(rows)]
        alive = torch.arange(rows)  # questions still being answered
        slots = torch.arange(held + most)
        for step in range(most):
            going = []
            for k, (row, t) in enumerate(zip(alive.tolist(), token.tolist(), strict=True)):
                if t not in stop_ids:
                    said[row].append(t)
                    going.append(k)
            if not going or step + 1 == most:
                break
            if len(going) < len(alive):
                pick = torch.tensor(going)
                alive, token = alive[pick], token[pick]
                keys, values = [k[pick] for k in keys], [v[pick] for v in values]
            length, at = lengths[alive], held + step
            seen = (slots < length[:, None]) | ((slots >= held) & (slots <= at))
            attend = partial(self._continued, keys, values, seen[:, None, None, : at + 1])
            turns = self.decoder.turns(length + step)
            hidden = self.decoder.layers(self.decoder.embed(token).float(), turns, attend)
            token = self.decoder.likeliest(hidden)
        return said

    def _continued(
        self, keys: list[Tensor], values: list[Tensor], mask: Tensor, number: int, qkv_RXD: Tensor
    ) -> Tensor:
        """Attention of one new position of every question, which goes to the last place of ``mask``."""
        end = mask.shape[-1]
        query, key, value = qkv_RXD.to(self.decoder.dtype).split([self.heads, self.groups, self.groups], 1)
        keys[number][:, :, end - 1], values[number][:, :, end - 1] = key, value
        query = query.reshape(len(query), self.groups, -1, self.size)
        held = keys[number][:, :, :end], values[number][:, :, :end]
        return F.scaled_dot_product_attention(query, *held, attn_mask=mask).flatten(1)
