"""Training state on disk as safetensors and JSON: nothing is pickled, nothing foreign is unpickled.

optimizer.safetensors   moments, named "<index>.<key>"
trainer.json            parameter groups, scheduler, versions
rng-<rank>.json         generators of Python, NumPy and torch
sums-<rank>.json        sha256 of this process's share of all files, written last
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

OPTIMIZER = "optimizer.safetensors"
STATE = "trainer.json"
SUMS = "sums-"


def save_optimizer(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Write moments, groups and scheduler. Works for any torch optimizer whose state is tensors and numbers."""
    state = optimizer.state_dict()
    tensors, numbers = {}, {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value.detach().cpu().contiguous()
            else:
                numbers[f"{index}.{key}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / OPTIMIZER)
    values = {"groups": state["param_groups"], "numbers": numbers, "scheduler": scheduler.state_dict()}
    (folder / STATE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def load_optimizer(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Put back what `save_optimizer` wrote. Raises ValueError when the groups differ (another recipe)."""
    values = json.loads((folder / STATE).read_text(encoding="utf-8"))
    now = optimizer.state_dict()["param_groups"]
    if [len(g["params"]) for g in values["groups"]] != [len(g["params"]) for g in now]:
        raise ValueError(
            "the checkpoint's optimizer has other parameters: it belongs to another recipe or stage"
        )
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**load_file(folder / OPTIMIZER), **values["numbers"]}.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    groups = [{**g, "betas": tuple(g["betas"])} if "betas" in g else g for g in values["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    scheduler.load_state_dict(values["scheduler"])


def save_rng(folder: Path, rank: int) -> None:
    """Write the generators' states of this process."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    values = {
        "python": [version, list(internal), gauss],
        "numpy": [name, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
        "torch": _text(torch.get_rng_state()),
        "cuda": [_text(state) for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"rng-{rank}.json").write_text(json.dumps(values) + "\n", encoding="utf-8")


def load_rng(folder: Path, rank: int) -> None:
    """Put the generators back. Raises ValueError when this rank wrote none (another number of processes)."""
    path = folder / f"rng-{rank}.json"
    if not path.is_file():
        raise ValueError(
            f"the checkpoint has no generator state for process {rank}: resume with as many processes"
        )
    values = json.loads(path.read_text(encoding="utf-8"))
    version, internal, gauss = values["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = values["numpy"]
    np.random.set_state((name, np.asarray(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(_state(values["torch"]))
    if values["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([_state(text) for text in values["cuda"]])


def seal(folder: Path, rank: int, world: int) -> None:
    """Write the checksums of every `world`-th file of a checkpoint, of which all processes have written theirs."""
    sums = {name: _digest(folder / name) for name in _share(_names(folder), rank, world)}
    draft = folder / f"{SUMS}{rank}.part"
    draft.write_text(json.dumps({"world": world, "files": sums}, indent=1) + "\n", encoding="utf-8")
    draft.replace(folder / f"{SUMS}{rank}.json")


def damage(folder: Path, rank: int, world: int) -> str | None:
    """What is wrong with this process's share of a checkpoint; None: nothing. Every file of it is read."""
    sums: dict[str, str] = {}
    try:
        first = json.loads((folder / f"{SUMS}0.json").read_text(encoding="utf-8"))
        for number in range(first["world"]):
            sums |= json.loads((folder / f"{SUMS}{number}.json").read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return "it was not written to its end"
    for name in _share(sorted(sums), rank, world):
        try:
            if _digest(folder / name) != sums[name]:
                return f"{name} is not what was written"
        except OSError:
            return f"{name} cannot be read"
    return None


def newest(folder: Path) -> list[Path]:
    """Checkpoints below a stage's folder, the newest first, whole or not."""
    found = [p for p in folder.glob("checkpoint-*") if p.name.rpartition("-")[2].isdigit()]
    return sorted(found, key=lambda p: -int(p.name.rpartition("-")[2]))


def latest(folder: Path) -> Path | None:
    """The newest checkpoint that is whole, looked at by this process alone; None when there is none."""
    return next((path for path in newest(folder) if damage(path, 0, 1) is None), None)


def _names(folder: Path) -> list[str]:
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(SUMS))
    return sorted(p.relative_to(folder).as_posix() for p in files)


def _share(names: list[str], rank: int, world: int) -> list[str]:
    return names[rank::world]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _state(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
