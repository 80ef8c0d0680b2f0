"""The claim on positions, with a random one-layer encoder and drawn pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import Dinov2Model

from train.claims import positions
from train.claims.record import read
from train.claims.setting import Setting
from train.nano.parts.encoder import patch_features
from train.nano.parts.teacher import teacher_config


@pytest.fixture
def teacher() -> Dinov2Model:
    torch.manual_seed(3)
    vit = Dinov2Model(teacher_config(layers=8, mlp_ratio=1))
    torch.nn.init.normal_(vit.embeddings.position_embeddings, std=0.5)
    vit.train(False)
    return vit


@pytest.fixture
def setting(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(positions, "STEPS_PER_MINUTE", 4)
    monkeypatch.setattr(positions, "SAVE_EVERY", 1)
    monkeypatch.setattr(positions, "GRIDS", ((2, 2), (4, 4)))
    return Setting(data_folder, tmp_path, minutes=0.5, small=True)


def test_table_arms_start_from_the_teacher(teacher: Dinov2Model) -> None:
    pixels = torch.randn(1, 3, 84, 84)
    kept, anew, rope = (positions.build(a, teacher) for a in ("table kept", "table anew", "rope"))
    assert torch.equal(kept.state_dict()["table"], teacher.embeddings.position_embeddings[:, 1:])
    assert not anew.state_dict()["table"].any()
    outs = [patch_features(m, pixels)[0] for m in (kept, anew, rope)]
    assert outs[0].shape == outs[1].shape == outs[2].shape == (1, 36, 384)
    # without positions the patches of one colour are all alike; each arm but "anew" tells places apart
    flat = torch.zeros(1, 3, 84, 84)
    assert patch_features(anew, flat)[0].std(1).max() < 1e-4
    assert patch_features(kept, flat)[0].std(1).max() > 1e-2


def test_whole_claim_resumes_and_writes_everything(setting: Setting, teacher: Dinov2Model) -> None:
    text = positions.run(setting, teacher)
    folder = setting.out / "positions"
    assert "| all unseen sizes |" in text
    assert "rope - table anew, all unseen sizes" in text
    assert (folder / "figure.png").stat().st_size > 1000
    numbers = json.loads((folder / "table.json").read_text())
    assert {c["arm"] for c in numbers["cells"]} == set(positions.ARMS)
    rows = read(folder / "predictions/rope-2x2.jsonl")
    assert {r.task for r in rows} <= set(positions.TASKS)
    assert positions.run(setting, teacher) == text, "a second call finds everything done"


def test_healing_interrupted_equals_uninterrupted(
    setting: Setting, teacher: Dinov2Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = positions.Pool(setting.load_bank(), "train")
    budget = positions.Budget(2, batch=2, warmup=1)
    whole = positions.heal("rope", teacher, pool, setting.out / "a", budget)
    real, calls = positions.batch, []

    def stops(*args: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(positions, "batch", stops)
        with pytest.raises(KeyboardInterrupt):
            positions.heal("rope", teacher, pool, setting.out / "b", budget)
    pieces = positions.heal("rope", teacher, pool, setting.out / "b", replace(budget))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, pieces.state_dict()[name]), name
