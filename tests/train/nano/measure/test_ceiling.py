"""The probe with one patient left out, and the pictures it learns from."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.train.nano.measure.test_probes import both, made
from train.nano.data.bank import build_bank, load_bank
from train.nano.data.index import build_index
from train.nano.measure.ceiling import Arm, left_out, patients_left_out, pictures_of, table
from train.nano.parts.encoder import student


def test_the_patient_asked_about_is_not_learnt_from() -> None:
    """Patient c shows the opposite of a and b: only a probe that had seen c could be right about it."""
    every = both(both(made(40, "a"), made(40, "b", seed=1)), made(40, "c", flip=True, seed=2))
    found = left_out(every, "plane")
    assert found["plane@c"].right == 0
    assert found["plane"].asked == 120
    assert found["plane"].right == sum(found[f"plane@{p}"].right for p in "abc")


def test_both_encoders_are_asked_about_the_same_pictures(data_folder: Path, tmp_path: Path) -> None:
    records = build_index(data_folder)
    build_bank(data_folder, records, tmp_path / "bank")
    bank = load_bank(tmp_path / "bank", records)
    items = pictures_of(bank, "train", most=3)
    torch.manual_seed(0)
    vit = student(layers=1, mlp=16)
    arms = [Arm("large", vit, 112), Arm("own", vit, None)]
    large, own = (arm.features(bank, items) for arm in arms)
    assert large.labels == own.labels
    assert large.features.shape[:2] == (len(items), 16)
    assert {s: own.sources.count(s) for s in own.sources} == dict.fromkeys(own.sources, 3)
    scores = [{}, patients_left_out(arms[1], bank)]  # one patient: nobody else to learn from
    assert scores[1]["plane"].asked == 0
    assert table("T", arms, [scores[1], scores[0]])[2] == "| asked | n | large | own |"
