"""The plug-in inside lmms-eval itself, found by its entry point: five documents, and one that cannot be asked.

Runs in an environment that has lmms-eval (0.7.3 was tried, with filelock 3.19.1 and without torchvision);
everywhere else it is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import omnivmed.eval.lmms
from omnivmed.errors import ModelError
from omnivmed.inference import AskOptions, LocalAssistant, load_model

ROOT = Path(__file__).resolve().parents[2]
TASK = Path(omnivmed.eval.lmms.__file__).parent / "tasks" / "vqa_rad"
QUESTIONS = ("Is there air?", "What organ is shown?", "Is it CT?", "Which plane is it?", "Is this normal?")
ANSWERS = ("yes", "lung", "no", "axial", "yes")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("lmms_eval") is None, reason="lmms-eval is not installed"),
]


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (80, 90), dtype=np.uint8)) for _ in QUESTIONS]


@pytest.fixture(scope="module")
def assistant() -> LocalAssistant:
    """nano; skipped where its language model has not been fetched."""
    try:
        return load_model("nano", offline=True)
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Our task over a file of five drawn documents, and the package as an installation of it would be found."""
    import datasets  # type: ignore[import-not-found,unused-ignore]

    rows = {"image": pictures(), "question": list(QUESTIONS), "answer": list(ANSWERS)}
    table = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    table.to_parquet(str(tmp_path / "rows.parquet"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    shutil.copy(TASK / "utils.py", folder)
    text = (TASK / "omnivmed_vqa_rad.yaml").read_text()
    local = f"dataset_path: parquet\ndataset_kwargs:\n  data_files:\n    test: {tmp_path / 'rows.parquet'}"
    (folder / "omnivmed_vqa_rad.yaml").write_text(re.sub(r"dataset_path: .*", local, text))
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        "lmms_eval.models"
    ]
    found = tmp_path / "installed" / "omnivmed-0.dist-info"
    found.mkdir(parents=True)
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: omnivmed\nVersion: 0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (found / "entry_points.txt").write_text("\n".join(["[lmms_eval.models]", *lines]) + "\n")
    return folder


def evaluate(task: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = task.parent / "out"
    call = [sys.executable, "-m", "lmms_eval", "--model", "omnivmed", "--model_args", "pretrained=nano"]
    call += ["--tasks", "omnivmed_vqa_rad", "--include_path", str(task), "--batch_size", "1"]
    call += ["--output_path", str(out), "--log_samples"]
    paths = [str(task.parent / "installed"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(task.parent / "hub"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(call, env=env, cwd=task.parent, capture_output=True, text=True, timeout=500), out


def test_five_documents_are_answered_as_by_a_direct_call(assistant: LocalAssistant, task: Path) -> None:
    from omnivmed.eval.lmms import models

    done, out = evaluate(task)
    assert done.returncode == 0, done.stderr[-2000:]
    (samples,) = out.rglob("*_samples_omnivmed_vqa_rad.jsonl")
    rows = sorted(
        (json.loads(line) for line in samples.read_text().splitlines()), key=lambda row: row["doc_id"]
    )
    options = AskOptions(alone=True, max_new_tokens=64)
    direct = [
        models.reply(assistant, [picture.convert("RGB")], question, options)
        for picture, question in zip(pictures(), QUESTIONS, strict=True)
    ]
    given = [row["filtered_resps"] for row in rows]
    assert [one if isinstance(one, str) else one[0] for one in given] == direct
    assert all(direct)
    (results,) = out.rglob("*_results.json")
    scores = json.loads(results.read_text())["results"]["omnivmed_vqa_rad"]
    assert {name.partition(",")[0] for name in scores} >= {"open_recall", "closed_accuracy"}


def test_a_document_that_cannot_be_asked_gives_no_score(assistant: LocalAssistant, task: Path) -> None:
    text = (task / "utils.py").read_text()
    (task / "utils.py").write_text(
        text.replace('[doc["image"].convert("RGB")]', '[doc["image"].convert("RGB")] * 2')
    )
    done, out = evaluate(task)
    assert "One study at a time" in done.stderr + done.stdout
    assert not list(out.rglob("*_results.json"))
