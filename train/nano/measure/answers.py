"""Questions put to nano by one or several processes, every answer saved before anything is counted.

Each process answers its share of the studies with one thread; all of them then hold all answers. Sets that the
predictions file of the same weights holds already are read, not asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omnivmed.inference.batch import Batch, Read
from train.loop.processes import Group
from train.nano.measure.door import Opened
from train.nano.measure.score import Answer, Case
from train.nano.text.grading import right
from train.nano.text.questions import QA

OpenedCase = tuple[Opened, list[QA]]
Named = Mapping[str, Sequence[OpenedCase]]
Row = list[Any]  # set, record, kind, task, question, expected, right, said


def digest(folder: Path) -> str:
    """sha256 over the weights of a model folder."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        total.update(file.name.encode() + file.read_bytes())
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


def shown(study: Opened, visual: str, cases: Sequence[OpenedCase], order: list[int], k: int) -> Read:
    """What case ``k`` looks at: its own study, the same in black, or the next one in a fixed disorder.

    The next one of whatever kind: all clips are of one source, where another clip would be no other answer.
    """
    if visual == "own":
        return study.reads[0]
    if visual == "blank":
        return study.reads[1]
    return cases[order[(order.index(k) + 1) % len(order)]][0].reads[0]


def together(named: Named) -> list[OpenedCase]:
    """Several sets of questions on the same studies as one."""
    order: dict[int, OpenedCase] = {}
    for cases in named.values():
        for study, asked in cases:
            order.setdefault(id(study), (study, []))[1].extend(asked)
    return list(order.values())


class Asking:
    """Asks in batches and keeps what was said in ``folder/predictions.jsonl``, one line per answer.

    ``weights``: digest of the model's files.
    """

    def __init__(self, batch: Batch, folder: Path, weights: str, group: Group) -> None:
        self.batch, self.group, self.path = batch, group, folder / "predictions.jsonl"
        mark = folder / "predictions.sha256"
        same = self.path.exists() and mark.exists() and mark.read_text().strip() == weights
        self.rows: dict[str, list[Row]] = read_predictions(self.path) if same else {}
        gathered(group, None)  # all have read before the first one writes
        if group.first:
            folder.mkdir(parents=True, exist_ok=True)
            if not same:
                self.path.unlink(missing_ok=True)
            mark.write_text(weights + "\n")

    def run(self, named: Named, visual: str = "own", tag: str = "") -> dict[str, list[Answer]]:
        """Answers to every named set, whose name on disk is ``tag`` + name."""
        if all(self.has(tag + name, cases) for name, cases in named.items()):
            texts = {name: [str(row[7]) for row in self.rows[tag + name]] for name in named}
        else:
            texts = self.ask(named, visual)
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

    def ask(self, named: Named, visual: str) -> dict[str, list[str]]:
        cases = together(named)
        order = np.random.default_rng(5).permutation(len(cases)).tolist()
        size, rank = self.group.size, self.group.rank
        mine = [
            (shown(cases[k][0], visual, cases, order, k), [(q.question, q.history) for q in cases[k][1]])
            for k in range(rank, len(cases), size)
        ]
        shares = gathered(self.group, self.batch.answers(mine, hold_back=False))
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
