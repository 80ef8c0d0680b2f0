"""The tuning loop on a tiny model: batches are arithmetic, and an interrupted run equals an uninterrupted one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from train.loop import fit as fit_module
from train.nano.data.sampling import Pool
from train.nano.fit import tuning as module
from train.nano.fit.tuning import Nano, TuneConfig, forms_of, make_batch, sequence_pool, tune, with_history
from train.nano.text.questions import QA


@dataclass
class Clock:
    """Advances by half a second per batch: schedules that run by wall time become exact."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, _: str) -> str:
        return "00:00:00"


CONFIG = TuneConfig(
    "mixed", 4.0, 1e-3, 1e-3, stills=2, sequences=1, questions=2, word_batch=4, warmup_steps=1, rank=2
)


def test_batches_are_a_function_of_seed_and_step(nano: Nano) -> None:
    pool, sequences = Pool(nano.bank, "train"), sequence_pool(nano.bank)
    one, two, other = (make_batch(nano, pool, sequences, CONFIG, s) for s in (3, 3, 4))
    assert len(one) == 2, "stills with general text, then volumes"
    for (_, a), (_, b) in zip(one, two, strict=True):
        assert torch.equal(a.ids, b.ids)
        assert torch.equal(a.mask, b.mask)
    assert not torch.equal(one[0][1].targets, other[0][1].targets)
    assert one[1][0][0].kind == "volume"
    assert 0 < one[1][0][0].keep.sum() <= one[1][0][0].keep.size


def test_every_form_of_a_fact_stands_side_by_side_without_a_history(nano: Nano) -> None:
    pool, config = (
        Pool(nano.bank, "train"),
        replace(CONFIG, every_form=("view",), follow_ups=1.0, sequences=0),
    )
    config = replace(config, mixture={"cxr_nih": 1.0}, stills=1, general=0)
    plain = make_batch(nano, pool, [], replace(config, every_form=()), 1)
    forms = make_batch(nano, pool, [], config, 1)
    assert [len(set(p.branch_of)) for _, p in (*plain, *forms)] == [2, 6]
    study = forms[0][0][0]
    made = forms_of(study, ("plane", "view"), np.random.default_rng(0))
    assert [q.form for q in made] == ["sentence", "word", "yesno", "yesno"]
    assert all(q.history == () for q in made)


@pytest.mark.parametrize("words", [4, 0], ids=["cached words", "words of the step's own stills"])
def test_interrupted_twice_equals_uninterrupted(
    nano: Nano, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    config = replace(CONFIG, word_batch=words, follow_ups=0.5, general_on_studies=0.5)
    monkeypatch.setattr(module, "dev_set", lambda *_: [])
    start = {k: v.clone() for k, v in nano.state().items()}

    real = module.make_batch

    def run(folder: Path, stop_after: tuple[int, ...]) -> dict[str, torch.Tensor]:
        """Killed after so many steps, then resumed, ..., then left alone."""
        for stop in (*stop_after, 10**6):
            clock = Clock()
            monkeypatch.setattr(fit_module, "time", clock)
            nano.load(start)
            left = iter(range(stop))

            def counted(*args: object, left: Iterator[int] = left, clock: Clock = clock) -> object:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                clock.now += 0.5
                return real(*args)  # type: ignore[arg-type]

            with monkeypatch.context() as patch:
                patch.setattr(module, "make_batch", counted)
                patch.setattr(fit_module, "SAVE_EVERY_S", 0.1)
                with contextlib.suppress(KeyboardInterrupt):
                    return {k: v.clone() for k, v in tune(nano, folder, config, start).items()}
        raise AssertionError("never finished")

    whole, pieces = run(tmp_path / "whole", ()), run(tmp_path / "pieces", (2, 1))
    assert any((whole[k] != start[k]).any() for k in whole if k.endswith("lora_B"))
    for name, value in whole.items():
        assert torch.equal(value, pieces[name]), name


def test_align_leaves_the_language_model_alone(
    nano: Nano, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "dev_set", lambda *_: [])
    start = {k: v.clone() for k, v in nano.state().items()}
    config = replace(CONFIG, name="align", seconds=0.3, lr_lora=None, captions_only=True, sequences=0)
    after = tune(nano, tmp_path / "align", config, start)
    assert all(torch.equal(start[k], after[k]) for k in start if k.startswith("lora."))
    assert not torch.equal(start["projector.fc2.weight"], after["projector.fc2.weight"])


def test_follow_ups_carry_the_turn_before() -> None:
    asked = [QA("text", "text", f"Question {i}?", f"{{Answer}} {i}.") for i in range(3)]
    out = with_history(asked, 1.0, np.random.default_rng(0))
    assert [q.history for q in out] == [(), (("Question 0?", "Answer 0."),), (("Question 1?", "Answer 1."),)]
    assert with_history(asked, 0.0, np.random.default_rng(0)) == asked


def test_a_silent_type_is_never_taught(nano: Nano) -> None:
    config = replace(CONFIG, stills=6, questions=4, refusals=0.0, silent={"image": ("modality",)})
    pool = Pool(nano.bank, "train")
    decode = nano.tokenizer.decode
    said = []
    for step in range(12):
        _, packed = make_batch(nano, pool, [], replace(config, sequences=0, general=0), step)[0]
        by_branch: dict[tuple[int, int], list[int]] = {}
        for owner, target in zip(packed.branch_of, packed.targets.tolist(), strict=True):
            by_branch.setdefault(owner, []).append(target)
        said += [decode(ids) for ids in by_branch.values()]
    assert any("cannot tell the kind of image reliably" in s for s in said)
    assert not any(s.startswith("This is a") and "not" not in s for s in said), said
