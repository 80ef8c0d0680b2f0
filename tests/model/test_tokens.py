"""The keep mask and the placeholders."""

from __future__ import annotations

import pytest
import torch

from omnivmed.model.tokens import place_tokens, select_kept


def test_kept_tokens_stay_in_order() -> None:
    features = torch.arange(12.0).view(6, 2)
    keep = torch.tensor([True, False, True, True, False, False])
    assert select_kept(features, keep)[:, 0].tolist() == [0.0, 4.0, 6.0]


@pytest.mark.parametrize("keep", [torch.ones(5, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)])
def test_mask_must_have_one_entry_per_token(keep: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="6 visual tokens"):
        select_kept(torch.zeros(6, 2), keep)


def test_mask_must_be_bool() -> None:
    with pytest.raises(ValueError, match="bool"):
        select_kept(torch.zeros(6, 2), torch.ones(6))


def test_tokens_go_to_their_placeholders_prompt_by_prompt() -> None:
    places = torch.tensor([[False, True, True], [True, False, False]])
    features = torch.tensor([[1.0], [2.0], [3.0]])
    assert place_tokens(torch.zeros(2, 3, 1), places, features)[..., 0].tolist() == [[0, 1, 2], [3, 0, 0]]


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="2 visual placeholders, but 1 visual tokens"):
        place_tokens(torch.zeros(1, 3, 1), torch.tensor([[True, True, False]]), torch.zeros(1, 1))


def test_gradient_reaches_text_and_picture() -> None:
    text, picture = torch.zeros(1, 3, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    place_tokens(text, torch.tensor([[False, True, False]]), picture).sum().backward()
    assert text.grad is not None
    assert picture.grad is not None
    assert text.grad[0, :, 0].tolist() == [1.0, 0.0, 1.0]
    assert picture.grad.tolist() == [[1.0, 1.0]]
