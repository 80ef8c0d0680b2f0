"""Probes beyond nano's tasks, on made-up features: what is left out is left out, and majority is what it says."""

from __future__ import annotations

import torch

from train.nano.measure.probes import chosen, further_findings, leave_one_source_out, relabelled, row, table
from train.nano.measure.score import Score
from train.nano.parts.features import FeatureSet


def made(count: int, source: str, flip: bool = False, seed: int = 0) -> FeatureSet:
    """Features whose first channel is the sign of the plane; with ``flip`` it says the opposite."""
    generator = torch.Generator().manual_seed(seed)
    labels = [{"plane": "axial" if i % 2 else "coronal"} for i in range(count)]
    x = torch.randn(count, 4, 8, generator=generator) * 0.1
    sign = torch.tensor([1.0 if i % 2 else -1.0 for i in range(count)]) * (-1 if flip else 1)
    x[:, :, 0] += sign[:, None]
    return FeatureSet(x.half(), torch.full((count,), 4), labels, [source] * count)


def both(first: FeatureSet, second: FeatureSet) -> FeatureSet:
    from train.nano.parts.features import joined

    return joined(first, second)


def test_the_source_asked_about_is_not_learnt_from() -> None:
    """Source b shows the opposite of a: only a probe that had seen b could be right about it."""
    parts = both(made(60, "a"), made(60, "b", flip=True, seed=1))
    found = leave_one_source_out(parts, parts)
    probe, majority = found["plane@b"]
    assert probe.right == 0
    assert (majority.right, majority.asked) == (30, 60)


def test_few_pictures_say_nothing() -> None:
    assert row(made(60, "a"), made(8, "b"), "plane") is None


def test_a_finding_is_asked_among_abnormal_films_only() -> None:
    features = made(80, "cxr_nih")
    labels = [
        {"state": "abnormal" if i < 60 else "normal", "findings": "edema" if i % 2 else ""} for i in range(80)
    ]
    features = FeatureSet(features.features, features.counts, labels, features.sources)
    probe, majority = further_findings(features, features)["edema among abnormal chest films"]
    assert (probe.right, probe.asked, majority.right) == (60, 60, 30)


def test_choosing_and_relabelling_keep_rows_together() -> None:
    features = both(made(4, "a"), made(6, "b"))
    part = chosen(features, lambda labels, source: source == "b")
    assert part.features.shape[0] == len(part.labels) == 6
    assert torch.equal(part.features, features.features[4:])
    named = relabelled(part, "x", lambda labels: labels["plane"] if labels["plane"] == "axial" else None)
    assert [la.get("x") for la in named.labels] == [None, "axial"] * 3


def test_the_table_says_what_is_above_the_majority() -> None:
    good, poor = (Score(95, 100), Score(50, 100)), (Score(52, 100), Score(50, 100))
    lines = table("T", {"good": good, "poor": poor, "one": (Score(90, 100), Score(100, 100))})
    assert [line.split("|")[-2].strip() for line in lines[-4:-1]] == ["yes", "no", "-"]
