"""Options of the recipe: pruning phased in, a CT under three windows; and their trial on phantoms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omnivmed as ov
from omnivmed.errors import ModelError
from omnivmed.model.schema import vision_budget
from omnivmed.pruning import keep_mask
from omnivmed.study import Study
from omnivmed.vision import VisionBudget, prepare
from train import options
from train.data.dataset import threshold_at
from train.recipes import TrainConfig, recipe


def test_three_windows_stand_in_the_channels() -> None:
    hu = np.repeat(np.array([[-1000.0, -600.0, 40.0, 400.0, 2000.0]], np.float32), 28, axis=0).repeat(
        28, axis=1
    )
    study = Study.from_array(np.stack([hu, hu]), "volume", modality="CT", window=(40, 400))
    budget = VisionBudget(ct_windows=options.THREE, min_tokens=1)
    patches = prepare(study, budget)
    assert (patches.unit, patches.window) == ("rgb", None)
    rgb = (patches.patches.reshape(-1, 3, 14, 14) + 1) * 127.5
    lung = np.clip((hu - (-600)) / 1500 + 0.5, 0, 1) * 255
    assert np.abs(rgb[0, 0, 0, 0] - lung[0, 0]) <= 1
    assert not np.allclose(rgb[:, 0], rgb[:, 1])
    assert not np.allclose(rgb[:, 1], rgb[:, 2])
    assert "grey levels" in keep_mask(patches).threshold_meaning
    seen: list[Any] = []

    def noted(indices: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        seen.append(indices)
        return study.take(indices)

    prepare(study, budget, take=noted)
    assert seen == []


def test_only_studies_in_hu_are_shown_so() -> None:
    values = np.random.default_rng(0).normal(300, 100, (3, 28, 28)).astype(np.float32)
    mr = Study.from_array(values, "volume", window=(300, 600))
    grey = prepare(mr, VisionBudget(min_tokens=1))
    assert np.array_equal(
        prepare(mr, VisionBudget(ct_windows=options.THREE, min_tokens=1)).patches, grey.patches
    )


def test_windows_that_are_none() -> None:
    for wrong in (((0, 1), (0, 1)), ((0, 1), (0, 1), (0, 0)), ((0, 1), (0, 1), (float("nan"), 1))):
        with pytest.raises(ValueError, match="three"):
            VisionBudget(ct_windows=wrong)
    listed = {
        "ct_windows": [[-600, 1500], [40, 400], [400, 1800]],
        "image_merge_size": 1,
        "video_merge_size": 2,
    }
    given = {"budget": listed, "image_merge_size": 1, "video_merge_size": 2}
    assert vision_budget(given) == VisionBudget(ct_windows=options.THREE)
    for bad in ("rgb", [[1, 2]], [[1], [2], [3]], [["a", "b"]] * 3):
        with pytest.raises(ModelError, match="ct_windows"):
            vision_budget({**given, "budget": {"ct_windows": bad}})


def test_a_recipe_keeps_its_options() -> None:
    config = recipe("omnivmed_1p5b_8x24gb")
    mixed = replace(
        config.stages[-1],
        phase_in=(0.1, 0.5),
        vision=replace(config.stages[-1].vision, ct_windows=options.THREE),
    )
    changed = replace(config, stages=(mixed,))
    assert TrainConfig.from_json(changed.to_json()) == changed
    for stage, wrong in ((mixed, (0.6, 0.5)), (mixed, (0.0, 1.5)), (config.stages[0], (0.1, 0.5))):
        with pytest.raises(ValueError, match="phase_in"):
            replace(stage, phase_in=wrong)


def test_off_soft_hard() -> None:
    stage = replace(recipe("tiny").stages[-1], phase_in=(0.2, 0.6))
    assert threshold_at(stage, 0.0, "a") is None
    assert threshold_at(stage, 0.6, "a") == threshold_at(stage, 1.0, "a") == stage.threshold == 0.1
    soft = [threshold_at(stage, 0.2 + 0.4 * k / 500, "a") for k in range(500)]
    assert all(value is not None and 0 <= value < 0.1 for value in soft)
    assert np.mean(soft) == pytest.approx(0.05, abs=0.005)  # type: ignore[arg-type]
    assert threshold_at(stage, 0.3, "a") == threshold_at(stage, 0.3, "a") != threshold_at(stage, 0.3, "b")
    assert threshold_at(replace(stage, phase_in=None), 0.0, "a") == 0.1


@pytest.mark.parametrize("option", sorted(options.OPTIONS))
def test_the_trial_runs_whole(option: str, tmp_path: Path) -> None:
    said: list[str] = []
    text = options.measure(option, tmp_path, seeds=1, steps=1, size=24, say=said.append)
    arms = options.OPTIONS[option](2)[1]
    assert len(said) == len(arms)
    assert all(f"| {name} |" in text for name in (*arms, "commonest answer"))
    hits = json.loads((tmp_path / f"{option}.json").read_text())
    assert (
        len({tuple(key for key, _ in rows) for rows in hits.values()}) == 1
    )  # the same questions for every arm
    folders = sorted((tmp_path / option).glob("*-0/*/final/config.json"))
    budgets = [json.loads(path.read_text())["budget"]["ct_windows"] for path in folders]
    assert any(budgets) == (option == "ct_windows")


def test_ct_phantoms_hide_lung_and_bone_from_one_window(tmp_path: Path) -> None:
    options.write_ct(tmp_path, 0, 12)
    rows = [json.loads(line) for line in (tmp_path / "phantoms" / "ct.jsonl").read_text().splitlines()]
    for row in rows:
        with ov.open_study(tmp_path / "phantoms" / row["volume"]) as study:
            assert study.unit == "HU"
            shown = study.frames(1, 2)[0, :, :, 0].astype(int)
            spot = _spot(shown)
        assert spot == (row["conversations"][1]["value"] == "In the soft tissue.")


def _spot(shown: np.ndarray) -> bool:
    """Whether any row of pixels has a bright run on it under the file's own window."""
    return bool(((shown - np.median(shown, axis=1, keepdims=True)) > 60).any())
