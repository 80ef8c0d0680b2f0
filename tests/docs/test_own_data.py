"""docs/own_data.md as a stranger would follow it: its three rows, its one command, its promise."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from omnivmed import weights
from omnivmed.resources import samples_dir
from tests.docs.pages import ROOT, blocks, commands

PAGE = ROOT / "docs" / "own_data.md"


def rows() -> list[dict[str, object]]:
    (block,) = [block for block in blocks(PAGE) if block.language == "json"]
    return [json.loads(line) for line in block.source.splitlines()]


def test_the_rows_are_a_volume_a_clip_and_a_still_of_the_samples() -> None:
    media = [(kind, row[kind]) for row in rows() for kind in ("volume", "video", "image") if kind in row]
    assert [kind for kind, _ in media] == ["volume", "video", "image"]
    for _, value in media:
        name = value["path"] if isinstance(value, dict) else value
        assert (samples_dir() / str(name)).is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nano_learns_the_three_rows_by_the_command_of_the_page(tmp_path: Path) -> None:
    if not weights.is_cached():
        pytest.skip(f"needs the language backbone: {weights.FETCH_COMMAND}")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    for name in ("ct_abdomen.nii.gz", "echo_cine.dcm", "chest_xray.dcm"):
        shutil.copy(samples_dir() / name, tmp_path / name)
    (block,) = [block for block in blocks(PAGE) if block.language == "console"]
    ((command, _),) = commands(block)
    arguments = command.split()
    assert arguments[:3] == ["python", "-m", "train.own"]
    arguments[arguments.index("rows.jsonl")] = str(tmp_path / "rows.jsonl")
    arguments[arguments.index("my_run")] = str(tmp_path / "my_run")
    done = subprocess.run(
        [sys.executable, *arguments[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "3 rows, 2 of volumes and clips, pruned at 0.1" in done.stdout
    assert "3 of 3 rows it was trained on are answered word for word" in done.stdout
    assert (tmp_path / "my_run/own/final/lora.safetensors").is_file()
    told = [json.loads(line) for line in (tmp_path / "my_run/answers.jsonl").read_text().splitlines()]
    assert all(row["before"] != row["wanted"] == row["after"] for row in told), (
        "nano did not know them before"
    )
