"""The first night: real widths against the plan, and in a slow test every fault once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from train.recipes import TrainConfig, recipe
from train.rehearsal import faults, narrow, night, wide
from train.rehearsal.__main__ import main, rehearse


def test_the_recipe_at_its_real_widths() -> None:
    """Parameters, what learns, bytes of states and shards, all counted on real shapes."""
    config = recipe("omnivmed_1p5b_8x24gb")
    align, instruct, mixed = wide.walk(config, 8)
    assert [stage.wrong(8) for stage in (align, instruct, mixed)] == [[], [], []]
    assert align.parameters == mixed.parameters == 1_959_993_584
    assert align.groups == {1e-3: 4_131_840, 1e-5: 412_147_440}
    assert mixed.groups == {1e-5: 1_547_846_144, 2e-6: 412_147_440}
    assert instruct.states == 16 * 1_959_993_584
    assert (align.steps, instruct.steps, mixed.steps) == (5_055, 5_055, 1_969)
    assert all(stage.slots % 8 == 0 for stage in (align, instruct, mixed))
    assert mixed.slots > instruct.slots  # volumes and clips take more passes than stills
    with pytest.raises(ValueError, match="real widths"):
        wide.walk(recipe("tiny"), 8)


def test_what_disagrees_is_said() -> None:
    good = wide.Walked("mixed", 1000, 800, 125, 16_000, 16_000.0, {1e-5: 800}, 10, 8)
    assert good.wrong(8) == []
    assert "planned 20,000" in replace(good, planned=20_000.0).wrong(8)[0]
    assert "800 learn" in replace(good, groups={1e-5: 700}).wrong(8)[0]
    assert "1,000 values in one of 8" in replace(good, sharded=1000).wrong(8)[0]  # every process holds all


def test_the_narrow_recipe_is_the_large_one_but_for_its_size(tmp_path: Path) -> None:
    whole = recipe("omnivmed_1p5b_8x24gb")
    small = narrow.narrow("omnivmed_1p5b_8x24gb", 2_000, "fsdp2")
    assert sum(stage.planned_steps() for stage in small.stages) == 2_000
    kept = ("fill", "precision", "activation_checkpointing", "loss_chunk", "packing", "keep_checkpoints")
    assert all(getattr(small, name) == getattr(whole, name) for name in kept)
    assert [s.threshold for s in small.stages] == [s.threshold for s in whole.stages]
    assert [s.rates.trained() for s in small.stages] == [s.rates.trained() for s in whole.stages]
    assert TrainConfig.from_json(small.to_json()) == small
    narrow.write(tmp_path)
    rows = [
        line
        for name in ("questions", "volumes", "clips")
        for line in (tmp_path / f"phantoms/{name}.jsonl").read_text().splitlines()
    ]
    kinds = {key: sum(f'"{key}"' in row for row in rows) / len(rows) for key in ("image", "volume", "video")}
    assert kinds["volume"] == pytest.approx(wide.SHARES["volume"], abs=0.02)
    assert kinds["video"] == pytest.approx(wide.SHARES["clip"], abs=0.02)


def test_faults_leave_what_they_should(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"ab")
    (tmp_path / "large").write_bytes(bytes(9))
    assert faults.change_a_byte(tmp_path) == "large"
    assert (tmp_path / "large").read_bytes() == bytes(4) + b"\x40" + bytes(4)
    file = tmp_path / "metrics.jsonl"
    assert faults.last_step(file) == 0
    file.write_text('{"step": 3}\n{"step": 4, "lo')
    assert faults.last_step(file) == 3
    env = faults.poisoned(tmp_path / "p", "mixed", 7)
    assert json.loads(env["REHEARSAL_POISON"]) == ["mixed", 7]
    assert (tmp_path / "p" / "sitecustomize.py").is_file()


def test_a_power_cut_reaches_processes_with_sessions_of_their_own() -> None:
    import time

    import psutil

    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)"
    )
    group = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    every: list[psutil.Process] = []
    while len(every) < 2:
        every = psutil.Process(group.pid).children(recursive=True)
        time.sleep(0.02)
    faults.power_cut(group)
    group.wait(10)
    assert psutil.wait_procs(every, timeout=10)[1] == []


def test_curves_and_weights_are_compared_to_the_last_digit(tmp_path: Path) -> None:
    config = narrow.narrow("omnivmed_1p5b_8x24gb", 60, "none")
    for name, loss in (("a", 1.25), ("b", 1.25), ("c", 1.2500000000000002)):
        for stage in config.stages:
            final = tmp_path / name / stage.name / "final"
            final.mkdir(parents=True)
            (final / "model.safetensors").write_bytes(b"same" if name != "c" else b"else")
            (final.parent / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": loss}) + "\n")
    assert all(c and w for _, _, c, w in night.compare(tmp_path / "a", tmp_path / "b", config))
    assert not any(c or w for _, _, c, w in night.compare(tmp_path / "a", tmp_path / "c", config))


def test_mistakes_in_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", "tiny", "--steps", "0"]) == 2
    assert "real widths" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_fault_once(tmp_path: Path) -> None:
    """Eight starts over two gloo processes: each ends in a line that says how to go on, and what is resumed equals the
    run that was left alone."""
    said: list[str] = []
    assert rehearse(tmp_path, "omnivmed_1p5b_8x24gb", 60, 2, "fsdp2", said.append), "\n".join(said)
