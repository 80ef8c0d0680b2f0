"""Who sees whom in one sequence of text, pictures, clean latents and latents under noise.

The rule of BAGEL, split by split: text is causal; a picture (encoder tokens or clean latents) sees itself whole and
everything before it; latents under noise likewise, but nothing that follows sees them. One rule gives the dense mask
and the function that flex attention asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["text", "image", "clean", "noise"]
"""text; tokens of the understanding encoder; latents of a picture that is a condition; latents being denoised."""


@dataclass(frozen=True)
class Segment:
    """A run of tokens of one kind."""

    kind: Kind
    length: int


def rule(segments: Sequence[Segment]) -> Callable[[Tensor, Tensor], Tensor]:
    """(query places, key places) → bool tensor of their broadcast shape, True where the query sees the key."""
    number = torch.cat([torch.full((s.length,), i) for i, s in enumerate(segments)])
    causal = torch.tensor([s.kind == "text" for s in segments])
    noisy = torch.tensor([s.kind == "noise" for s in segments])

    def sees(query: Tensor, key: Tensor) -> Tensor:
        q, k = number[query], number[key]
        same = q == k
        before = (k < q) & ~noisy[k]
        return before | (same & (~causal[q] | (key <= query)))

    return sees


def dense(segments: Sequence[Segment]) -> Tensor:
    """Bool (S, S), row = query."""
    places = torch.arange(sum(s.length for s in segments))
    return rule(segments)(places[:, None], places[None, :])


def flex(segments: Sequence[Segment]) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The same as a ``mask_mod`` of `torch.nn.attention.flex_attention` (batch, head, query, key)."""
    sees = rule(segments)
    return lambda batch, head, query, key: sees(query, key)


def positions(segments: Sequence[Segment]) -> Tensor:
    """Rotary index of every token, (S,): text counts on, all tokens of a picture share one index."""
    out, at = [], 0
    for segment in segments:
        if segment.kind == "text":
            out.append(torch.arange(at, at + segment.length))
            at += segment.length
        else:
            out.append(torch.full((segment.length,), at))
            at += 1
    return torch.cat(out) if out else torch.zeros(0, dtype=torch.long)
