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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.instruct.rows import shards
from train.instruct.rows.record import Record
from train.instruct.select.rules import (
    KEEP,
    WEIGHT,
    Bar,
    Chosen,
    best_candidate,
    oka,
    points_of,
    weighted_kappa,
    within_limits,
)
from train.instruct.services.client import Service
from train.instruct.services.stages import Candidates, Judge, Match, Similarity, Sizes

CAPTION_QUESTION = "Describe the video."


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
        Step("4-similarity", Similarity(embedder)),
        Step("5-match", Match(matcher, data)),
    ]


def caption_steps(data: Path, captioner: Service, judges: Sequence[Service], count: int = 5) -> list[Step]:
    """OmniV-Med's captions up to the judgements. Raises ValueError for judges of equal name."""
    if len({judge.model for judge in judges}) != len(judges):
        raise ValueError("judges are told apart by their models' names: give different ones")
    return [
        Step("1-candidates", Candidates(captioner, data, count)),
        *(Step(f"{place}-judge", Judge(judge, data)) for place, judge in enumerate(judges, start=2)),
    ]


def run(steps: Sequence[Step], folder: Path, say: Callable[[str], None] = print) -> dict[str, shards.Count]:
    """Every step over `folder/checked`, or `records` where nothing was checked, in order. Returns counts by step.

    Finished shards are not done again.
    """
    source, counts = folder / ("checked" if (folder / "checked").is_dir() else "records"), {}
    for step in steps:
        counts[step.name] = shards.run(step.stage, source, folder / step.name)
        count = counts[step.name]
        say(f"{step.name}: {count.kept} of {count.read}")
        for reason, number in shards.reasons(folder / step.name).items():
            say(f"  {number} x {reason}")
        source = folder / step.name
    (folder / "counts.json").write_text(
        json.dumps({name: vars(count) for name, count in counts.items()}, indent=1) + "\n", encoding="utf-8"
    )
    return counts


def last(folder: Path) -> Path:
    """The folder of the last step that was run. Raises ValueError before the first."""
    done = sorted((p for p in folder.iterdir() if p.is_dir() and p.name[0].isdigit()), key=lambda p: p.name)
    if not done:
        raise ValueError(f"nothing to select from in {folder.name}/: run the graph first")
    return done[-1]


def select_oka(folder: Path, keep: float = KEEP, weight: float = WEIGHT) -> Chosen:
    """Write `selected/` from the stored scores: two passes, the first of which holds three values a row."""
    nan = float("nan")
    source = last(folder)
    chosen = oka(
        ((r.id, r.scores.get("S", nan), r.scores.get("M", nan)) for r in shards.records_of(source)),
        keep,
        weight,
    )
    _renew(folder / "selected", (r for r in shards.records_of(source) if r.id in chosen))
    return chosen


def select_captions(folder: Path, bar: Bar | None = None) -> dict[str, int]:
    """Write `selected/` and `captions.jsonl` from the stored judgements; returns {"read", "kept", "rejected"}."""
    bar = bar or Bar()
    counts = {"read": 0, "kept": 0, "rejected": 0}
    rows: list[str] = []

    def chosen() -> Iterator[Record]:
        for record in shards.records_of(last(folder)):
            counts["read"] += 1
            best = best_candidate(record, bar)
            counts["kept" if best else "rejected"] += 1
            if best is not None:
                rows.append(json.dumps(conversation(record, str(record.candidates[best[0]]["text"]))))
                yield record.with_scores(mean=best[1])

    _renew(folder / "selected", chosen())
    (folder / "captions.jsonl").write_text("".join(row + "\n" for row in rows), encoding="utf-8")
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
    talk = [{"from": "human", "value": CAPTION_QUESTION}, {"from": "gpt", "value": text}]
    about = {
        "modality": record.modality,
        "task": "description",
        "source": record.source,
        "licence": record.licence,
    }
    return {"id": record.id, **media, **about, "conversations": talk}


def agreement(folder: Path) -> dict[str, float]:
    """ "first / second" -> weighted kappa over every criterion of every candidate that both judged."""
    given: dict[str, dict[tuple[str, int, int], int]] = {}
    for record in shards.records_of(last(folder)):
        for j in record.judgements:
            for criterion, value in enumerate(points_of(j) or ()):
                given.setdefault(str(j["judge"]), {})[record.id, j["candidate"], criterion] = round(value)
    names = sorted(given)
    out = {}
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            both = sorted(given[first].keys() & given[second].keys())
            out[f"{first} / {second}"] = weighted_kappa(
                [given[first][key] for key in both], [given[second][key] for key in both]
            )
    return out


def _renew(folder: Path, chosen: Iterator[Record]) -> None:
    """Selection is a function of stored scores: made anew each time."""
    if folder.is_dir():
        for path in folder.glob("*.jsonl"):
            path.unlink()
    shards.write_shards(chosen, folder)
