"""A stage's data as every process sees it: read by the first one, kept beside the checkpoints, shared by memory maps.

RUN/<stage>/rows/<key>/     the table (`train.data.table`); the key is a hash of all that it is made from
RUN/<stage>/rows/facts.json which key this start of the run uses, and what is said of its rows

A resumed run whose data is what it was reads nothing again but the names of the files. A row, a picture's name or an
annotation that changed gives another key, and everything is read anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedTokenizerFast

import omnivmed
from train.data.batches import BatchPlan, fewest_slots, too_large
from train.data.costs import Costs
from train.data.dropped import Told
from train.data.mixture import epoch_order
from train.data.samples import held_out
from train.data.table import (
    DROPPED,
    FACTS,
    HELPERS,
    Rows,
    apart,
    arrays,
    can_fork,
    open_costs,
    wait_for,
    write_table,
)
from train.loop.world import rank, start_token, world_size
from train.recipes.config import Source, Stage, TrainConfig

FORMAT = 1
"""Of the table; another number reads everything anew."""
ANNOTATIONS = frozenset((".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet"))
"""Files whose content is in the key; of all others the names are."""
SMALL_BYTES = 16_000_000
"""Annotations up to this size are read in the process itself: beginning another one would take longer."""


@dataclass(frozen=True)
class StageData:
    """training, validation: samples of all sources end to end. costs: of training. sizes: of training, by source.
    hashes: by "reader:path:split". told: what is said of the rows that no reader could use."""

    training: Rows
    validation: Rows
    costs: Costs
    sizes: list[int]
    hashes: dict[str, str]
    told: Told


def open_stage(
    config: TrainConfig, stage: Stage, data: Path, folder: Path, tokenizer: PreTrainedTokenizerFast
) -> StageData:
    """The rows of a stage, from `folder/rows` or read into it by the first process, for which the others wait.

    Raises LayoutError for a source without a usable sample; ValueError in the other processes then.
    """
    kept, token = folder / "rows", start_token()
    if rank() == 0:
        kept.mkdir(parents=True, exist_ok=True)
        work = partial(_table, config, stage, data, kept, tokenizer)
        try:
            facts = work() if all(_small(data / source.path) for source in stage.sources) else apart(work)
        except Exception as error:
            if world_size() > 1:  # the others would wait for ever
                _save(kept / FACTS, {"token": token, "error": str(error)})
            raise
        shutil.copyfile(kept / facts["key"] / DROPPED, folder / DROPPED)
        _save(kept / FACTS, {**facts, "token": token})
    else:
        facts = wait_for(kept / FACTS, token)
    table = kept / facts["key"]
    told = {**facts["told"], "lines": tuple(facts["told"]["lines"])}
    return StageData(
        Rows(table, "training"),
        Rows(table, "validation"),
        open_costs(table),
        facts["sizes"],
        facts["hashes"],
        Told(**told),
    )


def plan_of(
    config: TrainConfig, stage: Stage, found: StageData, packed: bool = False
) -> tuple[BatchPlan, int, dict[int, str]]:
    """(batch plan, steps, place -> reason of the samples that fit into no pass). Raises BudgetError."""
    large = too_large(found.costs, config.token_budget, config.patch_budget)
    weights = [source.weight for source in stage.sources]
    order = partial(epoch_order, found.sizes, weights, config.seed, left_out=[*large])
    steps = stage.planned_steps(len(order(0)))
    plan = BatchPlan(
        order=order,
        costs=found.costs,
        global_batch=stage.global_batch,
        slots=1 if config.fill else config.accumulation(stage, world_size()) * world_size(),
        token_budget=config.token_budget,
        patch_budget=config.patch_budget,
        packed=packed,
    )
    if config.fill:
        plan = replace(plan, slots=fewest_slots(plan, steps, world_size()))
    return plan, steps, large


def _table(
    config: TrainConfig, stage: Stage, data: Path, kept: Path, tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    """Facts of the table with the key of today's data, written where it is not there or not whole."""
    key = _key(config, stage, data, tokenizer)
    table = kept / key
    if (facts := _whole(table)) is None:
        for old in kept.iterdir():
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink()
        draft = kept / f"{key}.part"
        helpers = 0
        if can_fork() and not all(_small(data / source.path) for source in stage.sources):
            helpers = max(1, min(HELPERS, (os.cpu_count() or 1) - 1))
        facts = write_table(
            stage.sources,
            data,
            config.seed,
            partial(held_out, share=config.validate),
            tokenizer,
            stage.vision,
            draft,
            helpers,
        )
        _save(draft / FACTS, facts)
        draft.replace(table)
    return {**facts, "key": key}


def _whole(table: Path) -> dict[str, Any] | None:
    """Facts of a table all of whose files are there in their length."""
    try:
        facts: dict[str, Any] = json.loads((table / FACTS).read_text(encoding="utf-8"))
        for name in ("training", "validation"):
            if arrays(table, name)["starts"][-1] != (table / f"{name}.json").stat().st_size:
                return None
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    return facts if (table / DROPPED).is_file() else None


def _key(config: TrainConfig, stage: Stage, data: Path, tokenizer: PreTrainedTokenizerFast) -> str:
    """16 hex digits over settings, tokenizer, names of files, and content of annotations."""
    settings = {
        "format": [FORMAT, omnivmed.__version__],
        "sources": [dataclasses.asdict(source) for source in stage.sources],
        "seed": config.seed,
        "validate": config.validate,
        "vision": dataclasses.asdict(stage.vision),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).digest())
    for base in dict.fromkeys(_base(data, source) for source in stage.sources):
        digest.update(os.fsencode(base.resolve()))
        for place, names in _listing(base):
            digest.update(b"\0".join(os.fsencode(name) for name in (place, *names)) + b"\1")
            for name in names:
                if os.path.splitext(name)[1].lower() in ANNOTATIONS:
                    digest.update(_content(os.path.join(base, place, name)))
    return digest.hexdigest()[:16]


def _base(data: Path, source: Source) -> Path:
    path = data / source.path
    return path.parent if path.is_file() else path


def _listing(base: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder relative to `base`, names in it, sorted) of all folders below, linked ones once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(base, followlinks=True):
        here = os.stat(place)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders.sort()
        names.sort()
        yield os.path.relpath(place, base), names


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b"unreadable"


def _small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= SMALL_BYTES


def _save(path: Path, values: dict[str, Any]) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(values) + "\n", encoding="utf-8")
    draft.replace(path)
