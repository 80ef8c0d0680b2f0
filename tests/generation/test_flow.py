"""Rectified flow: its formulas by hand, and that Euler's method lands on the picture when the velocity is right."""

from __future__ import annotations

import itertools

import pytest
import torch

from omnivmed.generation import flow


def test_times_are_shifted_as_published() -> None:
    t = torch.tensor([0.0, 0.25, 0.5, 1.0])
    assert torch.allclose(flow.shift_times(t, 3.0), torch.tensor([0.0, 0.5, 0.75, 1.0]))
    assert torch.equal(flow.shift_times(t, 1.0), t)
    assert flow.schedule(4, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    with pytest.raises(ValueError, match="at least one step"):
        flow.schedule(0, 1.0)


def test_training_times_are_a_sigmoid_of_a_normal() -> None:
    t = flow.sample_times(20_000, torch.Generator().manual_seed(0), mean=0.3, spread=1.1)
    z = torch.logit(t)
    assert float(z.mean()) == pytest.approx(0.3, abs=0.03)
    assert float(z.std()) == pytest.approx(1.1, abs=0.03)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_true_velocity_leads_back_to_the_picture(steps: int) -> None:
    x0, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    v = flow.velocity(x0, noise)
    half = torch.full((2,), 0.5)
    assert torch.allclose(flow.mix(x0, noise, half), (x0 + noise) / 2)
    x, times = noise, flow.schedule(steps, 3.0)
    for t, to in itertools.pairwise(times):
        assert torch.allclose(flow.estimate(x, v, t), x0, atol=1e-5)
        x = x + (to - t) * v
    assert torch.allclose(x, x0, atol=1e-5)


def test_guidance_in_the_published_order_and_no_longer_than_the_conditional_estimate() -> None:
    full, text, image = (
        torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(i)) for i in range(3)
    )
    first = text + 4 * (full - text)
    by_hand = image + 2 * (first - image)
    assert torch.allclose(flow.guide(full, text, image, 4, 2, "none"), by_hand)
    assert torch.equal(flow.guide(full, None, None, 4, 2), full)
    assert torch.equal(flow.guide(full, text, image, 1, 1), full)
    for kind, over in (("global", (1, 2, 3)), ("channel", (2, 3))):
        guided = flow.guide(full, text, image, 4, 2, kind)  # type: ignore[arg-type]
        assert bool(
            (
                torch.linalg.vector_norm(guided, dim=over)
                <= 1.0001 * torch.linalg.vector_norm(full, dim=over)
            ).all()
        )
        ratio = guided / by_hand
        assert torch.allclose(
            ratio, ratio.mean(over, keepdim=True).expand_as(ratio), atol=1e-4
        )  # direction kept
