"""The supervised-only loss against the stock loss over all positions."""

from __future__ import annotations

import pytest
import torch

from omnivmed.model.loss import supervised_loss
from tests.model.tiny import inputs, sample, stock_twin, tiny_model


def batch_with_labels() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    studies = [
        sample((1, 4, 6), 1, video=False, pruned=False, seed=1),
        sample((4, 4, 4), 2, video=True, pruned=True, seed=2),
    ]
    batch = inputs(studies)
    labels = batch["input_ids"].clone()
    labels[:, :-5] = -100
    labels[0, -2] = -100
    return batch, labels


@pytest.mark.parametrize("chunk", [1024, 4])
@pytest.mark.parametrize("items", [None, 20])
def test_equals_stock_in_value_and_gradient(chunk: int, items: int | None) -> None:
    ours = tiny_model("qwen2")
    stock = stock_twin(ours)
    ours.loss_chunk_tokens = chunk
    batch, labels = batch_with_labels()
    losses = []
    for model in (ours, stock):
        loss = model(**batch, labels=labels, num_items_in_batch=items and torch.tensor(items)).loss
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    expected = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name
        other = expected[name].grad
        assert other is not None
        assert (parameter.grad - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max())), name


def test_only_supervised_positions_meet_the_head() -> None:
    model = tiny_model("qwen2")
    batch, labels = batch_with_labels()
    rows = []
    handle = model.lm_head.register_forward_hook(lambda _, args, out: rows.append(out.shape[0]))
    assert model(**batch, labels=labels).logits is None
    handle.remove()
    assert rows == [9]


def test_four_batches_of_one_equal_one_batch_of_four() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 6, 8, generator=generator)
    labels = torch.randint(0, 11, (4, 6), generator=generator)
    labels[0, :4] = -100  # samples of unequal length
    head = torch.nn.Linear(8, 11)
    items = int((labels[:, 1:] != -100).sum())
    whole = supervised_loss(hidden, labels, head)
    parts = [supervised_loss(hidden[i : i + 1], labels[i : i + 1], head, items) for i in range(4)]
    assert torch.stack(parts).sum().item() == pytest.approx(whole.item(), abs=1e-6)


def test_nothing_supervised_is_zero_and_still_has_a_gradient() -> None:
    hidden = torch.randn(1, 3, 8, requires_grad=True)
    loss = supervised_loss(hidden, torch.full((1, 3), -100), torch.nn.Linear(8, 11))
    loss.backward()
    assert loss.item() == 0.0
    assert hidden.grad is not None
    assert hidden.grad.abs().max() == 0
