"""Run folders: atomic safetensors + JSON checkpoints, JSONL metrics. A kill at any time loses one interval."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


def save_atomic(tensors: dict[str, Tensor], path: Path) -> None:
    """Write safetensors beside the target and move them there: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, part)
    part.replace(path)


def write_json(value: Any, path: Path) -> None:
    """Write JSON, sorted, in the same way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    part.replace(path)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW moments as flat names ``<parameter number>.<moment>``."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{k}": torch.as_tensor(v) for i, s in state.items() for k, v in s.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer back what `optimizer_tensors` took out, its groups as they are now."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, key = name.split(".")
        state.setdefault(int(number), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


class Run:
    """Folder of one stage: ``step.json`` names the newest complete checkpoint."""

    def __init__(self, folder: Path, config: Any, writes: bool = True) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if writes:
            write_json(config, folder / "config.json")
        self.metrics = folder / "metrics.jsonl"

    def log(self, **values: Any) -> None:
        """Append one row to the metrics, with the time of day, and print it."""
        row = {"time": time.strftime("%H:%M:%S"), **values}
        with self.metrics.open("a") as f:
            f.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def save(
        self, step: int, model: dict[str, Tensor], optimizer: torch.optim.Optimizer, **extra: Any
    ) -> None:
        """Two alternating slots, so that the newest complete checkpoint is never being overwritten."""
        slot = "ab"[int((self.state() or {}).get("slot") == "a")]
        save_atomic(model, self.folder / f"model-{slot}.safetensors")
        save_atomic(optimizer_tensors(optimizer), self.folder / f"optimizer-{slot}.safetensors")
        write_json({"step": step, "slot": slot, **extra}, self.folder / "step.json")

    def state(self) -> dict[str, Any] | None:
        """What the newest checkpoint says about itself; None before the first."""
        file = self.folder / "step.json"
        return json.loads(file.read_text()) if file.exists() else None

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]] | None:
        """(state, model, optimizer) of the newest checkpoint; None before the first."""
        state = self.state()
        if state is None:
            return None
        slot = state["slot"]
        model = load_file(self.folder / f"model-{slot}.safetensors")
        return state, model, load_file(self.folder / f"optimizer-{slot}.safetensors")


def finish(folder: Path, model: dict[str, Tensor], **facts: Any) -> None:
    """Final weights of a stage and the mark that it is done."""
    save_atomic(model, folder / "final.safetensors")
    write_json(facts, folder / "done.json")
