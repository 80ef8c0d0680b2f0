"""The mask against the rule written out pair by pair, and the two forms of it against each other."""

from __future__ import annotations

import itertools

import pytest
import torch

from omnivmed.generation.masks import Segment, dense, flex, positions

SEQUENCES = [
    [("text", 3), ("noise", 4)],
    [("image", 3), ("text", 4), ("noise", 4), ("text", 2)],
    [("text", 2), ("noise", 4), ("clean", 4), ("text", 3), ("noise", 4)],
    [("clean", 4), ("image", 2), ("text", 3), ("noise", 4), ("clean", 4), ("text", 1)],
]


def brute_force(segments: list[Segment]) -> list[list[bool]]:
    tokens = [(number, s.kind) for number, s in enumerate(segments) for _ in range(s.length)]
    rows = []
    for q, (mine, kind) in enumerate(tokens):
        row = []
        for k, (other, other_kind) in enumerate(tokens):
            if other > mine:
                row.append(False)
            elif other == mine:
                row.append(k <= q if kind == "text" else True)
            else:
                row.append(other_kind != "noise")
        rows.append(row)
    return rows


@pytest.mark.parametrize("spec", SEQUENCES)
def test_mask_is_the_rule(spec: list[tuple[str, int]]) -> None:
    segments = [Segment(kind, length) for kind, length in spec]  # type: ignore[arg-type]
    mask = dense(segments)
    assert mask.tolist() == brute_force(segments)
    asked = flex(segments)
    count, nothing = len(mask), torch.tensor(0)
    for q, k in itertools.product(range(count), repeat=2):
        assert bool(asked(nothing, nothing, torch.tensor(q), torch.tensor(k))) == bool(mask[q, k])


def test_flex_attention_takes_it() -> None:
    from torch.nn.attention.flex_attention import create_mask

    segments = [Segment("text", 3), Segment("clean", 4), Segment("text", 2), Segment("noise", 4)]
    made = create_mask(flex(segments), 1, 1, 13, 13, device="cpu")
    assert torch.equal(made[0, 0], dense(segments))


def test_all_tokens_of_a_picture_share_one_index() -> None:
    segments = [
        Segment("text", 3),
        Segment("image", 2),
        Segment("text", 2),
        Segment("noise", 4),
        Segment("text", 1),
    ]
    assert positions(segments).tolist() == [0, 1, 2, 3, 3, 4, 5, 6, 6, 6, 6, 7]
