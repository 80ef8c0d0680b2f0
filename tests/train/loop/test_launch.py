"""Sharding settings as data: keys, batch arithmetic, and agreement with the plan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from train.loop.arguments import LAUNCH, settings
from train.plan.memory import GATHER_BUCKET, LIVE_PARAMETERS, REDUCE_BUCKET
from train.recipes import RECIPES, recipe
from train.rehearsal.faults import power_cut

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
        if config.fill or stage.global_batch % (config.micro_batch * world):
            continue
        assert config.accumulation(stage, world) * world * config.micro_batch == stage.global_batch


@pytest.mark.parametrize("script", ["torchrun.sh", "slurm.sh"])
def test_launch_scripts_are_valid_shell(script: str) -> None:
    path = LAUNCH / script
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=20)
    assert "-m train" in path.read_text()


def launched(
    folder: Path,
    sharding: str,
    processes: int,
    *,
    kill_at: int | None = None,
    half: bool = False,
    **extra: str,
) -> Path:
    """The last stage's folder of three stages of four steps of the tiny recipe, over so many gloo processes.

    kill_at: the whole group is killed when the last stage has a checkpoint at that step, and started again. half:
    bf16 with activation checkpointing, as the large recipes.
    """
    from train.data import phantoms

    if not (folder / "data").exists():
        phantoms.write(folder / "data" / "phantoms", stills=40, volumes=10, clips=10)
    config = recipe("tiny")
    stages = tuple(replace(stage, steps=4) for stage in config.stages)
    config = replace(config, stages=stages, micro_batch=2, save_every=2, validate_every=2)
    if half:
        config = replace(config, precision="bf16", activation_checkpointing=True)
    name = f"{sharding}{'-bf16' if half else ''}{'-killed' if kill_at else ''}"
    file, out = folder / f"{name}.json", folder / name
    file.write_text(replace(config, sharding=sharding).to_json())  # type: ignore[arg-type]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        str(processes),
    ]
    script = [*launcher, "-m", "train", str(file), "--data", str(folder / "data"), "--out", str(out)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **extra}
    for stage in config.stages:
        call = [*script, "--stage", stage.name]
        if kill_at is not None and stage is config.stages[-1]:
            _killed(call, out / stage.name / f"checkpoint-{kill_at}" / f"sums-{processes - 1}.json", env)
        subprocess.run(call, check=True, cwd=ROOT, timeout=1100, env=env)
    saved = json.loads((out / "mixed" / "final" / "config.json").read_text())
    assert saved["format"] == "omnivmed/1"
    return out / "mixed"


def _killed(call: list[str], mark: Path, env: dict[str, str]) -> None:
    """Start a run and kill all of its processes, without a signal they could answer, when the file is there."""
    running = subprocess.Popen(call, cwd=ROOT, env=env, start_new_session=True)
    try:
        while not mark.is_file():
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
    finally:
        power_cut(running)
        running.wait()


def sharded(stage: Path) -> dict[str, int]:
    """What the run counted before its first step."""
    found: dict[str, int] = json.loads((stage / "run.json").read_text())["sharding"]
    return found


def curve(stage: Path) -> list[float]:
    from train.loop.metrics import losses

    return [loss for _, loss in losses(stage / "metrics.jsonl")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder with the data, and the stage's folder of one process."""
    folder = tmp_path_factory.mktemp("launch")
    return folder, launched(folder, "none", 1)


def same_weights(one: Path, other: Path, tolerance: float) -> bool:
    a, b = (load_file(stage / "final" / "model.safetensors") for stage in (one, other))
    return a.keys() == b.keys() and all(torch.allclose(a[k], b[k].to(a[k].dtype), atol=tolerance) for k in a)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fsdp2_over_two_processes_trains_like_one(alone: tuple[Path, Path]) -> None:
    """torch's `fully_shard` over two gloo processes: every parameter sharded, losses and weights those of one; killed
    and resumed, the same again."""
    folder, one = alone
    two = launched(folder, "fsdp2", 2)
    found = sharded(two)
    assert found["parameters"] == 66
    assert 2 * found["states"] == found["learning"]
    assert sharded(one)["parameters"] == 0
    assert curve(two) == pytest.approx(curve(one), rel=1e-3)
    assert same_weights(one, two, 1e-3)
    again = launched(folder, "fsdp2", 2, kill_at=2)
    assert curve(again) == pytest.approx(curve(two), rel=1e-5)
    assert same_weights(two, again, 1e-5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("sharding", ["zero1", "zero2", "zero3"])
def test_deepspeed_over_two_processes_trains_like_one(
    alone: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, sharding: str, half: bool
) -> None:
    """On the CPU, all three stages, the last one killed and resumed; bf16 is what the large recipes run.

    The first run compiles DeepSpeed's shared-memory communication (g++, ninja; minutes). The compiled file has a
    folder of its own: the lock of a build that was killed elsewhere would make every later run wait for ever.
    """
    pytest.importorskip("deepspeed", reason="part of the training extra")
    folder, one = alone
    extensions = {"TORCH_EXTENSIONS_DIR": os.environ.get("TORCH_EXTENSIONS_DIR", str(folder / "extensions"))}
    two = launched(folder, sharding, 2, half=half, kill_at=None, **extensions)
    found = sharded(two)
    assert found["stage"] == int(sharding[-1])
    assert 2 * found["states"] == pytest.approx(found["learning"], rel=0.01)
    assert (found["parameters"] > 0) is (sharding == "zero3")
    assert curve(two) == pytest.approx(curve(one), rel=0.03 if half else 1e-3)
    again = launched(folder, sharding, 2, kill_at=2, half=half, **extensions)
    assert curve(again) == pytest.approx(curve(two), rel=1e-4)
    assert same_weights(two, again, 1e-4)
