"""Sharding settings as data: keys, batch arithmetic, and agreement with the plan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.loop.arguments import LAUNCH, settings
from train.plan.memory import GATHER_BUCKET, LIVE_PARAMETERS, REDUCE_BUCKET
from train.recipes import RECIPES, recipe

ROOT = LAUNCH.parents[1]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_deepspeed_settings(stage: int) -> None:
    values = settings(f"zero{stage}")  # type: ignore[arg-type]
    zero = values["zero_optimization"]
    assert zero["stage"] == stage
    assert zero["reduce_bucket_size"] == REDUCE_BUCKET
    if stage < 3:
        assert zero["allgather_bucket_size"] == GATHER_BUCKET
    else:
        assert zero["stage3_max_live_parameters"] == LIVE_PARAMETERS
        assert zero["stage3_gather_16bit_weights_on_model_save"] is True
    # Sizes and precision come from the recipe: two places would contradict each other one day.
    for key in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
        assert values[key] == "auto"
    assert values["bf16"]["enabled"] == "auto"
    assert values["zero_allow_untested_optimizer"] is True
    assert "optimizer" not in values
    assert "scheduler" not in values


def test_offload_settings() -> None:
    zero = settings("zero3", offload=True)["zero_optimization"]
    assert zero["offload_optimizer"]["device"] == "cpu"
    with pytest.raises(ValueError, match="no settings"):
        settings("zero1", offload=True)


def test_fsdp_wraps_layers_that_exist() -> None:
    from transformers import AutoModel

    from omnivmed.model.encoder import OmniVMedVisionModel
    from train.loop.build import tiny_config

    values = settings("fsdp2")
    assert values["version"] == 2
    language = AutoModel.from_config(tiny_config().text_config)
    names = {OmniVMedVisionModel.__name__, type(language.layers[0]).__name__}
    assert set(values["transformer_layer_cls_to_wrap"]) == names


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("world", [1, 8])
def test_passes_times_cards_times_samples_is_the_global_batch(name: str, world: int) -> None:
    config = recipe(name)
    for stage in config.stages:
        if stage.global_batch % (config.micro_batch * world):
            continue
        assert config.accumulation(stage, world) * world * config.micro_batch == stage.global_batch


@pytest.mark.parametrize("script", ["torchrun.sh", "slurm.sh"])
def test_launch_scripts_are_valid_shell(script: str) -> None:
    path = LAUNCH / script
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=20)
    assert "-m train" in path.read_text()


def launched(folder: Path, sharding: str, processes: int, **extra: str) -> list[float]:
    """Losses of four steps of the tiny recipe's last stage over so many gloo processes."""
    from dataclasses import replace

    from train.data import phantoms
    from train.loop.metrics import losses

    if not (folder / "data").exists():
        phantoms.write(folder / "data" / "phantoms", stills=40, volumes=10, clips=10)
    config = recipe("tiny")
    stages = (replace(config.stage("mixed"), steps=4),)
    config = replace(config, stages=stages, micro_batch=2, save_every=100, validate_every=2)
    file, out = folder / f"{sharding}.json", folder / sharding
    file.write_text(replace(config, sharding=sharding).to_json())  # type: ignore[arg-type]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = ["-m", "train", str(file), "--data", str(folder / "data"), "--out", str(out), "--stage", "mixed"]
    subprocess.run(
        [*launcher, "--nproc_per_node", str(processes), *script],
        check=True,
        cwd=ROOT,
        timeout=1100,
        env={**os.environ, "OMP_NUM_THREADS": "1", **extra},
    )
    saved = json.loads((out / "mixed" / "final" / "config.json").read_text())
    assert saved["format"] == "omnivmed/1"
    return [loss for _, loss in losses(out / "mixed" / "metrics.jsonl")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """Folder with the data, and the losses of one process."""
    folder = tmp_path_factory.mktemp("launch")
    return folder, launched(folder, "none", 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fsdp2_over_two_processes_trains_like_one(alone: tuple[Path, list[float]]) -> None:
    """Two gloo processes, sharded, against one process: the same losses, up to the order of sums."""
    folder, expected = alone
    assert launched(folder, "fsdp2", 2) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sharding", ["zero1", "zero2", "zero3"])
def test_deepspeed_over_two_processes_trains_like_one(alone: tuple[Path, list[float]], sharding: str) -> None:
    """On the CPU. The first run compiles DeepSpeed's shared-memory communication (g++, ninja; minutes).

    The compiled file has a folder of its own: the lock of a build that was killed elsewhere would make every later
    run wait for ever.
    """
    pytest.importorskip("deepspeed", reason="part of the training extra")
    folder, expected = alone
    found = launched(folder, sharding, 2, TORCH_EXTENSIONS_DIR=str(folder / "extensions"))
    assert found == pytest.approx(expected, rel=1e-3)
