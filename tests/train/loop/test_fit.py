"""The one loop: schedule, accumulation, frozen steps, resuming; on a parabola that can be checked by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from train.loop.fit import Every, Learner, Loss, Schedule, fit
from train.loop.world import NotFinite


class Parabola(nn.Module):
    """Loss (x - 3)² + y² in two passes."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = nn.Parameter(torch.zeros(())), nn.Parameter(torch.ones(()))

    def losses(self, step: int) -> Iterator[Loss]:
        for loss in ((self.x - 3) ** 2, self.y**2):
            yield loss, {"loss": float(loss.detach()), "asked": 1.0, "at": float(step)}


def learner(model: Parabola, stop: int = 10**6, **more: object) -> Learner:
    def losses(step: int) -> Iterator[Loss]:
        if step == stop:
            raise KeyboardInterrupt
        return model.losses(step)

    groups = [{"params": [model.x], "base": 0.1}, {"params": [model.y], "base": 0.01}]
    return Learner(groups, model.state_dict, model.load_state_dict, losses, **more)  # type: ignore[arg-type]


def test_schedule() -> None:
    steps = Schedule(steps=10, warmup=4, floor=0.2)
    assert steps.rate(0, 0) == pytest.approx(0.25)
    assert steps.rate(5, 0) == pytest.approx(0.2 + 0.8 * 0.5)
    assert steps.rate(10, 0) == pytest.approx(0.2)
    seconds = Schedule(seconds=8.0)
    assert seconds.rate(7, 2.0) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert seconds.done(0, 9.0) == 1.0
    for wrong in ({}, {"steps": 1, "seconds": 1.0}):
        with pytest.raises(ValueError, match="give one"):
            Schedule(**wrong)  # type: ignore[arg-type]


def test_both_passes_learn_at_their_own_rate(tmp_path: Path) -> None:
    state = fit(learner(Parabola()), Schedule(steps=1), tmp_path, {"a": 1}, clip=None)
    assert float(state["x"]) == pytest.approx(0.1, abs=1e-4), "AdamW's first step is the rate"
    assert float(state["y"]) == pytest.approx(0.99, abs=1e-4)
    assert json.loads((tmp_path / "done.json").read_text())["asked"] == 2
    assert json.loads((tmp_path / "config.json").read_text()) == {"a": 1}


def test_a_frozen_parameter_stays(tmp_path: Path) -> None:
    model = Parabola()
    state = fit(learner(model, frozen=lambda step: [model.x]), Schedule(steps=3), tmp_path, {})
    assert float(state["x"]) == 0.0
    assert float(state["y"]) < 1.0


def test_interrupted_twice_equals_uninterrupted(tmp_path: Path) -> None:
    schedule, every = Schedule(steps=9, warmup=2, floor=0.1), Every(log=1, save=1)
    whole = fit(learner(Parabola()), schedule, tmp_path / "whole", {}, every=every)
    for stop in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            fit(learner(Parabola(), stop), schedule, tmp_path / "parts", {}, every=every)
    pieces = fit(learner(Parabola()), schedule, tmp_path / "parts", {}, every=every)
    assert all(torch.equal(whole[k], pieces[k]) for k in whole)
    again = fit(learner(Parabola(), 0), schedule, tmp_path / "parts", {})
    assert all(torch.equal(whole[k], again[k]) for k in whole), "a finished run is read, not repeated"


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    model = Parabola()
    model.x.data.fill_(math.inf)
    with pytest.raises(NotFinite, match="at step 0"):
        fit(learner(model), Schedule(steps=2), tmp_path, {})
    assert not (tmp_path / "done.json").exists()
