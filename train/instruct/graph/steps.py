"""The two published pipelines as one graph: records -> candidates -> scores -> selection.

OUT/<graph>/records     shards as they came
OUT/<graph>/checked     without rows that are there twice or in a test set (`train.instruct.select.repeats`)
OUT/<graph>/<stage>/    shards after each stage, with rejects
OUT/<graph>/selected    what stays                   OUT/<graph>/counts.json  rows in, kept and dropped, by stage
OUT/<graph>/captions.jsonl (captions only)           the chosen captions as conversations, for the data folder itself

Selection reads stored scores alone: another rule is another call of `select`, and asks nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, compress
from pathlib import Path
from typing import Any

import numpy as np

from train.instruct.rows import shards
from train.instruct.rows.record import Record
from train.instruct.select.rules import (
    KEEP,
    WEIGHT,
    Bar,
    Chosen,
    best_candidate,
    kappa_of,
    oka,
    points_of,
    within_limits,
)
from train.instruct.select.sound import marked
from train.instruct.services.client import Service
from train.instruct.services.stages import Candidates, Judge, Match, Similarity, Sizes

CAPTION_QUESTIONS = {
    "image": "Describe what is shown.",
    "volume": "Describe the volume.",
    "video": "Describe the video.",
}
"""What a chosen caption answers, by kind of media; a row without a picture keeps its own question."""


@dataclass(frozen=True)
class Step:
    """One stage of a graph, by the name of its folder."""

    name: str
    stage: shards.Stage


def oka_steps(
    data: Path, captioner: Service, embedder: Service, matcher: Service, count: int = 5
) -> list[Step]:
    """O-K-A's quality control up to the scores."""
    return [
        Step("1-sizes", Sizes(data)),
        Step("2-limits", within_limits),
        Step("3-candidates", Candidates(captioner, data, count)),
        Step("4-sound", marked),
        Step("5-similarity", Similarity(embedder)),
        Step("6-match", Match(matcher, data)),
    ]


def caption_steps(data: Path, captioner: Service, judges: Sequence[Service], count: int = 5) -> list[Step]:
    """OmniV-Med's captions up to the judgements. Raises ValueError for judges of equal name."""
    if len({judge.model for judge in judges}) != len(judges):
        raise ValueError("judges are told apart by their models' names: give different ones")
    return [
        Step("1-candidates", Candidates(captioner, data, count)),
        Step("2-sound", marked),
        *(Step(f"{place}-judge", Judge(judge, data)) for place, judge in enumerate(judges, start=3)),
    ]


def run(
    steps: Sequence[Step],
    folder: Path,
    say: Callable[[str], None] = print,
    *,
    processes: int = 1,
    at_once: int = 1,
    done: Callable[[int, int], None] | None = None,
) -> dict[str, shards.Count]:
    """Every step over `folder/checked`, or `records` where nothing was checked, in order. Returns counts by step.

    Finished shards are not done again. processes, at_once, done: `shards.run_all`.
    """
    counts = shards.run_all(
        [(step.name, step.stage) for step in steps], begin(folder), folder, processes, at_once, done
    )
    account(counts, folder, say)
    return counts


def begin(folder: Path) -> Path:
    """The folder that the first step reads."""
    return folder / ("checked" if (folder / "checked").is_dir() else "records")


def account(counts: Mapping[str, shards.Count], folder: Path, say: Callable[[str], None]) -> None:
    """Say and write down (`counts.json`) what became of the rows, step by step."""
    for name, count in counts.items():
        say(f"{name}: {count.kept} of {count.read}")
        for reason, number in shards.reasons(folder / name).items():
            say(f"  {number} x {reason}")
    text = json.dumps({name: vars(count) for name, count in counts.items()}, indent=1)
    (folder / "counts.json").write_text(text + "\n", encoding="utf-8")


def last(folder: Path) -> Path:
    """The folder of the last step that was run. Raises ValueError before the first."""
    done = sorted((p for p in folder.iterdir() if p.is_dir() and p.name[0].isdigit()), key=lambda p: p.name)
    if not done:
        raise ValueError(f"nothing to select from in {folder.name}/: run the graph first")
    return done[-1]


def select_oka(folder: Path, keep: float = KEEP, weight: float = WEIGHT) -> Chosen:
    """Write `selected/` from the stored scores: two passes, the first of which holds three values a row."""
    source = last(folder)
    chosen = oka(((r.id, r.score("S"), r.score("M")) for r in shards.records_of(source)), keep, weight)
    _renew(folder / "selected", compress(shards.lines_of(source), chosen.taken))
    return chosen


def select_captions(folder: Path, bar: Bar | None = None) -> dict[str, int]:
    """Write `selected/` and `captions.jsonl` from the stored judgements; returns {"read", "kept", "rejected"}."""
    bar = bar or Bar()
    counts = {"read": 0, "kept": 0, "rejected": 0}
    draft = folder / "captions.part"
    with draft.open("w", encoding="utf-8") as file:

        def chosen() -> Iterator[bytes]:
            for record in shards.records_of(last(folder)):
                counts["read"] += 1
                best = best_candidate(record, bar)
                counts["kept" if best else "rejected"] += 1
                if best is not None:
                    text = str(record.candidates[best[0]]["text"])
                    file.write(json.dumps(conversation(record, text)) + "\n")
                    yield record.with_scores(mean=best[1], candidate=float(best[0])).to_bytes()

        _renew(folder / "selected", chosen())
    draft.replace(folder / "captions.jsonl")
    return counts


def conversation(record: Record, text: str) -> dict[str, Any]:
    """A row that `train.data.conversations` reads, in a file that stands in the data folder itself."""
    names = list(record.paths)
    media: dict[str, Any] = {}
    if record.kind == "video":
        media = {"video": names} | ({} if record.fps is None else {"fps": record.fps})
    elif record.kind == "volume":
        window = None if record.window is None else list(record.window)
        path = names[0] if len(names) == 1 else names
        media = {"volume": {"path": path, "window": window, "num_slices": record.num_slices}}
    elif record.kind == "image":
        media = {"image": names}
    talk = [
        {"from": "human", "value": CAPTION_QUESTIONS.get(record.kind, record.question)},
        {"from": "gpt", "value": text},
    ]
    about = {
        "modality": record.modality,
        "task": "description",
        "source": record.source,
        "licence": record.licence,
    }
    return {"id": record.id, **media, **about, "conversations": talk}


def agreement(folder: Path) -> dict[str, float]:
    """ "first / second" -> weighted kappa over every criterion of every candidate that both judged."""
    tables: dict[tuple[str, str], np.ndarray] = {}
    for record in shards.records_of(last(folder)):
        given: dict[int, dict[str, tuple[float, ...]]] = {}
        for j in record.judgements:
            if points := points_of(j):
                given.setdefault(j["candidate"], {})[str(j["judge"])] = points
        for of_candidate in given.values():
            for first, second in combinations(sorted(of_candidate), 2):
                table = tables.setdefault((first, second), np.zeros((5, 5), dtype=np.int64))
                for a, b in zip(of_candidate[first], of_candidate[second], strict=True):
                    table[round(a) - 1, round(b) - 1] += 1
    return {f"{a} / {b}": kappa_of(table) for (a, b), table in sorted(tables.items())}


def drift(folder: Path) -> dict[str, list[float]]:
    """Judge -> mean of its points in each tenth of the rows, in their order: level, unless the judge drifts (a service
    that was changed midway, or rows that differ)."""
    total = sum(1 for _ in shards.lines_of(last(folder)))
    sums: dict[str, np.ndarray] = {}
    for place, record in enumerate(shards.records_of(last(folder))):
        for j in record.judgements:
            if points := points_of(j):
                table = sums.setdefault(str(j["judge"]), np.zeros((10, 2)))
                table[place * 10 // total] += (sum(points), len(points))
    return {
        judge: [float(s / n) if n else float("nan") for s, n in table]
        for judge, table in sorted(sums.items())
    }


def _renew(folder: Path, chosen: Iterable[bytes]) -> None:
    """Selection is a function of stored scores: made anew each time."""
    if folder.is_dir():
        for path in folder.glob("*.jsonl"):
            path.unlink()
    shards.write_lines(chosen, folder)
