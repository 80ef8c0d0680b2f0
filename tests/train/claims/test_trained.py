"""The four claims that train, on a random tiny language model: arms, predictions, tables, figures, resuming."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from train.claims import cases, progressive, pruning_stage, scaling, steps, transfer
from train.claims.parts import Parts
from train.claims.record import read
from train.claims.setting import Setting


def cells(folder: Path) -> dict[tuple[str, str], dict[str, object]]:
    return {(c["arm"], c["measure"]): c for c in json.loads((folder / "table.json").read_text())["cells"]}


def check_folder(folder: Path) -> None:
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "95 % intervals" in (folder / "table.md").read_text()
    for cell in cells(folder).values():
        assert cell["low"] <= cell["value"] <= cell["high"] or cell["n"] == 0  # type: ignore[operator]


def test_progressive_and_joint_see_the_same_batches(setting: Setting, parts: Parts) -> None:
    plans = progressive.plans(10, 1)
    seen = [sorted((s.kind.name, s.number) for s in plan) for plan in plans.values()]
    assert seen[0] == seen[1]
    assert not plans["progressive"][0].kind.llm
    assert all(s.kind.llm for s in plans["joint"])
    text = progressive.run(setting, parts)
    check_folder(setting.out / "progressive")
    facts = json.loads((setting.out / "progressive/table.json").read_text())["facts"]
    assert facts["asked"]["progressive"] == facts["asked"]["joint"] > 0
    assert "progressive - joint, all" in text
    assert progressive.run(setting, parts) == text, "everything was done before"


def test_scaling(setting: Setting, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "FRACTIONS", (0.25, 1.0))
    scaling.run(setting, parts)
    check_folder(setting.out / "scaling")
    asked = json.loads((setting.out / "scaling/table.json").read_text())["facts"]["asked"]
    assert sorted(asked.values())[0] * 3 < sorted(asked.values())[1]
    assert ("majority", "all") in cells(setting.out / "scaling")


def test_transfer_asks_volumes_of_unseen_patients(setting: Setting, parts: Parts) -> None:
    transfer.run(setting, parts)
    folder = setting.out / "transfer"
    check_folder(folder)
    rows = read(folder / "predictions/2D-only-4.jsonl")
    assert {r.group for r in rows if r.kind == "volume"} == {"other"}
    assert ("2D only, black frames", "volumes and clips") in cells(folder)
    shown = (folder / "examples/examples.md").read_text()
    pictures = sorted((folder / "examples").glob("*.png"))
    assert len(pictures) == shown.count("Truth:") == shown.count("- 2D only:") > 0
    assert "not asked" not in shown


def test_pruning_arms_differ_in_tokens_alone(setting: Setting, parts: Parts) -> None:
    pruning_stage.run(setting, parts)
    folder = setting.out / "pruning_stage"
    check_folder(folder)
    numbers = cells(folder)
    tokens = {a: numbers[a, "visual tokens a study"]["value"] for a in pruning_stage.NAMES.values()}
    assert tokens["neither"] == tokens["training only"] > tokens["both"] == tokens["inference only"]  # type: ignore[operator]
    asked = [read(p) for p in sorted((folder / "predictions").glob("*.jsonl"))]
    assert len({tuple(r.key for r in rows) for rows in asked}) == 1, "the same questions for every arm"


def test_same_questions_with_and_without_pruning(parts: Parts) -> None:
    step = steps.Step(steps.MIXED, 0)
    whole = steps.Step(steps.replace(steps.MIXED, threshold=None), 0)
    from train.nano.data.sampling import Pool
    from train.nano.fit.tuning import sequence_pool

    pool, moving = Pool(parts.nano.bank, "train"), sequence_pool(parts.nano.bank)
    (_, a), (_, b) = (steps.batch(parts.nano, pool, moving, s, 7)[1] for s in (step, whole))
    assert torch.equal(a.targets, b.targets)
    assert len(a.visual) < len(b.visual)


def test_interrupted_equals_uninterrupted(
    setting: Setting, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "SAVE_EVERY", 1)
    plan = steps.stage(steps.INSTRUCT, 3)
    whole = steps.train(parts, setting.out / "whole", plan, 5)
    real, calls = steps.batch, []

    def stops(*args: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(steps, "batch", stops)
        with pytest.raises(KeyboardInterrupt):
            steps.train(parts, setting.out / "pieces", plan, 5)
    pieces = steps.train(parts, setting.out / "pieces", plan, 5)
    assert any((whole[k] != parts.start[k]).any() for k in whole if k.endswith("lora_B"))
    for name, value in whole.items():
        assert torch.equal(value, pieces[name]), name


def test_align_steps_leave_the_language_model_alone(setting: Setting, parts: Parts) -> None:
    after = steps.train(parts, setting.out / "align", steps.stage(steps.ALIGN, 2), 5)
    assert all(torch.equal(parts.start[k], after[k]) for k in after if k.startswith("lora."))
    assert not torch.equal(parts.start["projector.fc2.weight"], after["projector.fc2.weight"])


def test_majority_is_the_commonest_truth_of_each_task(parts: Parts) -> None:
    rows = cases.answers(parts.nano, cases.sequences(parts.nano))
    assert rows
    best = cases.majority(rows)
    for task in {r.task for r in rows}:
        assert len({r.said for r in best if r.task == task}) == 1
    assert all(r.right for r in best if len({x.target for x in rows if x.task == r.task}) == 1)
