"""What the trained arms are asked: pictures, volumes and clips of unseen patients, one question per known fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnivmed.defaults import DEFAULT_THRESHOLD
from train.claims.parts import Parts
from train.claims.positions import pictures
from train.claims.record import Said, read, write
from train.claims.steps import prune_at
from train.data.tree import collate, make_tree
from train.nano.data.studies import StudyView, clip, planes_of, still, volume
from train.nano.fit.tuning import Nano
from train.nano.parts.language_model import switch_lora
from train.nano.text.questions import QA, ask

TASKS = ("modality", "organ", "plane", "sequence", "view", "state")
FRAMES = 16
BATCH = 8
Case = tuple[StudyView, str, list[QA]]
"""(study, its name, questions)"""


def questions(labels: dict[str, str], kind: str, rng: np.random.Generator) -> list[QA]:
    """One whole-sentence question for every task that the labels answer."""
    out = []
    for task in TASKS:
        if not labels.get(task):
            continue
        for _ in range(100):
            made = ask(task, labels, kind, rng)
            if made is not None and made.form == "sentence":
                out.append(made)
                break
    return out


def stills(nano: Nano, count: int) -> list[Case]:
    rng = np.random.default_rng(31)
    out = []
    for item in pictures(nano.bank, "test", count, 5):
        study = still(nano.bank[item.record_id], item, None)
        asked = questions(study.labels, study.kind, rng)
        if asked:
            out.append((study, f"{item.record_id}:{item.plane}:{item.index}", asked))
    return out


def sequences(nano: Nano, threshold: float | None = DEFAULT_THRESHOLD) -> list[Case]:
    """Every plane of every test volume and every test clip, FRAMES slices or frames each."""
    rng = np.random.default_rng(32)
    out = []
    for entry in nano.bank.values():
        if entry.record.split != "test" or entry.record.kind == "image":
            continue
        if entry.record.kind == "video":
            views = [("clip", clip(entry, FRAMES, 0.1, None))]
        else:
            views = [(p, volume(entry, p, FRAMES, 0.1, None)) for p in planes_of(entry)]
        for name, view in views:
            study = prune_at(view, threshold)
            asked = questions(study.labels, study.kind, rng)
            if asked:
                out.append((study, f"{entry.record.id}:{name}", asked))
    return out


def blank(cases: Sequence[Case]) -> list[Case]:
    """The same questions over black frames (and the same tokens)."""
    return [(replace(s, frames=np.zeros_like(s.frames)), n, q) for s, n, q in cases]


@torch.no_grad()
def answers(nano: Nano, cases: Sequence[Case]) -> list[Said]:
    """Greedy tokens at every place of the answer, all questions of a study in one pass.

    Greedy decoding gives the target exactly when every one of these tokens is the target's.
    """
    out = []
    for start in range(0, len(cases), BATCH):
        part = cases[start : start + BATCH]
        trees = [make_tree(nano.tokenizer, s.kind, s.tokens_per_frame, s.times_s, q) for s, _, q in part]
        packed = collate(trees, nano.pad_id)
        guess = nano.logits(packed, nano.visual([s for s, _, _ in part])).argmax(-1)
        said: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
        for owner, g, t in zip(packed.branch_of, guess.tolist(), packed.targets.tolist(), strict=True):
            pair = said.setdefault(owner, ([], []))
            pair[0].append(g)
            pair[1].append(t)
        for (row, number), (ours, theirs) in said.items():
            study, name, asked = part[row]
            patient = nano.bank[study.record_id].record.patient
            out.append(
                Said(
                    name,
                    patient,
                    asked[number].task,
                    asked[number].question,
                    _text(nano, theirs),
                    _text(nano, ours),
                    study.kind,
                    int(study.keep.sum()),
                )
            )
    return out


def _text(nano: Nano, ids: list[int]) -> str:
    return nano.tokenizer.decode(ids).replace("<|im_end|>", "").strip()


def majority(rows: Sequence[Said]) -> list[Said]:
    """Always the commonest true answer of the task: what knowing the test set's habits alone would reach."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for r in rows:
        counts.setdefault((r.kind, r.task), Counter())[r.target] += 1
    best = {k: min(t for t, n in c.items() if n == max(c.values())) for k, c in counts.items()}
    return [replace(r, said=best[r.kind, r.task], tokens=0) for r in rows]


def ask_arm(parts: Parts, weights: dict[str, Tensor], cases: Sequence[Case], file: Path) -> list[Said]:
    """Answers of an arm: from ``file`` when it was asked before, else asked, written, and read back."""
    if not file.exists():
        parts.nano.load(weights)
        switch_lora(parts.nano.lm, True)
        write(file, answers(parts.nano, cases))
    return read(file)


def by_task(rows: Sequence[Said]) -> dict[str, list[Said]]:
    """ "all" first, then every task in the usual order."""
    out = {"all": list(rows)}
    for task in TASKS:
        if chosen := [r for r in rows if r.task == task]:
            out[task] = chosen
    return out
