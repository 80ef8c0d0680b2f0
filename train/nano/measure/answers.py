"""Questions put to nano by one or several processes, every answer saved before anything is counted.

Each process answers its share of the studies with one thread; all of them then hold all answers. Sets that the
predictions file of the same weights holds already are read, not asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.nano.data.studies import StudyView
from train.nano.data.views import resize
from train.nano.measure.many import Many
from train.nano.measure.score import Answer, Case
from train.nano.parts.processes import Group
from train.nano.text.grading import right
from train.nano.text.questions import QA

Named = dict[str, list[Case]]
Row = list[Any]  # set, record, kind, task, question, expected, right, said


def digest(weights: dict[str, Tensor]) -> str:
    """sha256 over names and values, whatever the order."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode() + weights[name].detach().float().contiguous().numpy().tobytes())
    return total.hexdigest()


def gathered(group: Group, own: Any) -> list[Any]:
    """What every process has, in order of rank, as JSON; all wait for each other."""
    if group.size == 1:
        return [own]
    data = torch.frombuffer(bytearray(json.dumps(own).encode()), dtype=torch.uint8)
    sizes = [torch.zeros(1, dtype=torch.long) for _ in range(group.size)]
    torch.distributed.all_gather(sizes, torch.tensor([len(data)]))
    most = max(int(s) for s in sizes)
    rows = [torch.zeros(most, dtype=torch.uint8) for _ in range(group.size)]
    torch.distributed.all_gather(rows, torch.cat([data, torch.zeros(most - len(data), dtype=torch.uint8)]))
    return [json.loads(bytes(r[: int(s)].tolist())) for r, s in zip(rows, sizes, strict=True)]


def other_study(own: StudyView, other: StudyView) -> StudyView:
    """The pixels of ``other`` at the size and token count of ``own``."""
    t, h, w = own.frames.shape[:3]
    frames = np.stack([resize(other.frames[i % len(other.frames)], (h, w)) for i in range(t)])
    return replace(own, frames=frames)


def with_visual(cases: Sequence[Case], visual: str, chosen: Sequence[int]) -> list[Case]:
    """The ``chosen`` cases with the own picture, a black one, or that of another study."""
    order = np.random.default_rng(5).permutation(len(cases))
    out: list[Case] = []
    for k in chosen:
        study, questions = cases[k]
        if visual == "blank":
            study = replace(study, frames=np.zeros_like(study.frames))
        elif visual == "shuffled":
            study = other_study(study, cases[order[k]][0])
        out.append((study, questions))
    return out


def together(named: Named) -> list[Case]:
    """Several sets of questions on the same studies as one."""
    order: dict[int, tuple[StudyView, list[QA]]] = {}
    for cases in named.values():
        for study, asked in cases:
            order.setdefault(id(study), (study, []))[1].extend(asked)
    return list(order.values())


class Asking:
    """Asks ``many`` and keeps what was said in ``folder/predictions.jsonl``, one line per answer."""

    def __init__(self, many: Many, folder: Path, weights: str, group: Group) -> None:
        self.many, self.group, self.path = many, group, folder / "predictions.jsonl"
        mark = folder / "predictions.sha256"
        same = self.path.exists() and mark.exists() and mark.read_text().strip() == weights
        self.rows: dict[str, list[Row]] = read_predictions(self.path) if same else {}
        gathered(group, None)  # all have read before the first one writes
        if group.first:
            folder.mkdir(parents=True, exist_ok=True)
            if not same:
                self.path.unlink(missing_ok=True)
            mark.write_text(weights + "\n")

    def run(self, named: Named, tokens: int, visual: str = "own", tag: str = "") -> dict[str, list[Answer]]:
        """Answers to every named set, whose name on disk is ``tag`` + name."""
        if all(self.has(tag + name, cases) for name, cases in named.items()):
            texts = {name: [str(row[7]) for row in self.rows[tag + name]] for name in named}
        else:
            texts = self.ask(named, tokens, visual)
        out: dict[str, list[Answer]] = {}
        for name, cases in named.items():
            asked = [(case, number, qa) for case in cases for number, qa in enumerate(case[1])]
            out[name] = [
                (case, number, right(qa, text), text)
                for (case, number, qa), text in zip(asked, texts[name], strict=True)
            ]
            self.rows[tag + name] = [row_of(tag + name, answer) for answer in out[name]]
        if self.group.first:
            write_predictions(self.path, self.rows)
        return out

    def has(self, name: str, cases: Sequence[Case]) -> bool:
        """Whether these very questions were answered before."""
        asked = [[s.record_id, s.kind, qa.task, qa.question, qa.plain] for s, qs in cases for qa in qs]
        return asked == [row[1:6] for row in self.rows.get(name, [])]

    def ask(self, named: Named, tokens: int, visual: str) -> dict[str, list[str]]:
        cases = together(named)
        size, rank = self.group.size, self.group.rank
        mine = with_visual(cases, visual, range(rank, len(cases), size))
        shares = gathered(self.group, self.many.answers(mine, tokens))
        said: dict[int, str] = {}
        for k, (_, questions) in enumerate(cases):
            texts = shares[k % size][k // size]
            said |= {id(qa): text for qa, text in zip(questions, texts, strict=True)}
        return {name: [said[id(qa)] for _, qs in chosen for qa in qs] for name, chosen in named.items()}


def row_of(name: str, answer: Answer) -> Row:
    (study, asked), number, good, said = answer
    qa = asked[number]
    return [name, study.record_id, study.kind, qa.task, qa.question, qa.plain, good, said]


def write_predictions(path: Path, rows: dict[str, list[Row]]) -> None:
    """All sets at once, so that no set is ever there in part."""
    text = "".join(json.dumps(row) + "\n" for part in rows.values() for row in part)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def read_predictions(path: Path) -> dict[str, list[Row]]:
    out: dict[str, list[Row]] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        out.setdefault(row[0], []).append(row)
    return out
