"""What nano may say: scores on unseen patients beside what guessing would reach, and the ship rule.

Greedy answers are scored by exact match of the whole sentence. They need not be generated one by one: greedy
decoding yields the target exactly when the argmax at every place of the target is the target (teacher forcing
included), so one packed pass scores several questions of a picture. A sample is generated for real as a check.

Baselines: ``blank`` (black picture of the same size), ``shuffled`` (the picture of another study, same
question), ``majority`` (the commonest true answer of that task and source), ``probe`` (logistic regression on
frozen features; an upper mark rather than a baseline).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnivmed.eval.intervals import wilson
from train.nano.features import build_features, linear_probe
from train.nano.general import HELD_OUT, generate
from train.nano.index import Record
from train.nano.lm import switch_lora
from train.nano.pack import collate, make_tree
from train.nano.questions import (
    QA,
    SHORT_TASKS,
    ask,
    refusal,
    wrong_premise,
)
from train.nano.sampling import Pool
from train.nano.store import write_json
from train.nano.studies import StudyView, clip, planes_of, still, volume
from train.nano.tune import Nano
from train.nano.views import Item
from train.nano.wordings import UNSEEN_OUT_OF_SCOPE

MARGIN = (
    0.10  # the ship rule: this far above every baseline, with the lower end of the interval above them too
)
PER_SOURCE = 24  # pictures per source, twice that for chest X-rays and brain MR
BATCH = 12


@dataclass(frozen=True)
class Score:
    right: int
    asked: int

    @property
    def share(self) -> float:
        return self.right / self.asked if self.asked else 0.0

    def cell(self) -> str:
        low, high = wilson(self.right, self.asked)
        return f"{100 * self.share:.0f} [{100 * low:.0f}-{100 * high:.0f}]"


Case = tuple[StudyView, list[QA]]


def test_items(nano: Nano, split: str) -> list[Item]:
    """PER_SOURCE pictures of every source, drawn evenly over patients. Fixed."""
    pool = Pool(nano.bank, split)
    rng = np.random.default_rng(23)
    by_source: dict[str, list[Item]] = {}
    for item in pool.all_items():
        by_source.setdefault(nano.bank[item.record_id].record.source, []).append(item)
    out = []
    for source in sorted(by_source):
        items = by_source[source]
        most = PER_SOURCE * 2 if source in ("cxr_nih", "mri_open_ms") else PER_SOURCE
        pick = rng.permutation(len(items))[:most]
        out += [items[i] for i in sorted(pick)]
    return out


def with_questions(studies: list[StudyView], form: str, unseen: bool, seed: int) -> list[Case]:
    """One question per labelled task of the wanted form ("sentence", "word", "yesno")."""
    rng = np.random.default_rng(seed)
    out = []
    for study in studies:
        asked = []
        for task in SHORT_TASKS:
            if not study.labels.get(task) or (form == "yesno" and task == "state"):
                continue
            for _ in range(200):
                made = ask(task, study.labels, study.kind, rng, unseen)
                if made is not None and made.form == form:
                    asked.append(made)
                    break
        if asked:
            out.append((study, asked))
    return out


@torch.no_grad()
def run_cases(nano: Nano, cases: list[Case], visual: str = "own") -> list[tuple[Case, int, bool, str]]:
    """(case, question number, exact, first word of the greedy answer) for every question."""
    order = np.random.default_rng(5).permutation(len(cases))
    out = []
    for start in range(0, len(cases), BATCH):
        part = cases[start : start + BATCH]
        trees = [make_tree(nano.tokenizer, s.kind, s.tokens_per_frame, s.times_s, qs) for s, qs in part]
        shown = [s for s, _ in part]
        if visual == "blank":
            shown = [replace(s, frames=np.zeros_like(s.frames)) for s in shown]
        elif visual == "shuffled":
            shown = [other_study(s, cases[order[start + k]][0]) for k, s in enumerate(shown)]
        packed = collate(trees, nano.pad_id)
        guess = nano.logits(packed, nano.visual(shown)).argmax(-1)
        exact: dict[tuple[int, int], bool] = {}
        first: dict[tuple[int, int], str] = {}
        for owner, g, t in zip(packed.branch_of, guess.tolist(), packed.targets.tolist(), strict=True):
            first.setdefault(owner, nano.tokenizer.decode([g]))
            exact[owner] = exact.get(owner, True) and g == t
        out += [(part[r], n, value, first[(r, n)]) for (r, n), value in exact.items()]
    return out


def other_study(own: StudyView, other: StudyView) -> StudyView:
    """The pixels of ``other`` at the size and token count of ``own``."""
    from train.nano.views import resize

    t, h, w = own.frames.shape[:3]
    frames = np.stack([resize(other.frames[i % len(other.frames)], (h, w)) for i in range(t)])
    return replace(own, frames=frames)


def tally(results: Iterable[tuple[Case, int, bool, str]], nano: Nano) -> dict[str, Score]:
    """Scores by ``task`` and ``task@source``."""
    cells: dict[str, list[int]] = {}
    for (study, asked), number, good, _ in results:
        source = nano.bank[study.record_id].record.source
        for key in (asked[number].task, f"{asked[number].task}@{source}"):
            cell = cells.setdefault(key, [0, 0])
            cell[0] += good
            cell[1] += 1
    return {k: Score(*v) for k, v in sorted(cells.items())}


def majority(cases: list[Case], nano: Nano) -> dict[str, Score]:
    """Always the commonest answer of the task; for ``task@source`` of that source, where it has two or more.

    (A source with one value says nothing about guessing: there blank and shuffled pictures are the baselines.)
    """
    keys: dict[str, Counter[str]] = {}
    for study, asked in cases:
        source = nano.bank[study.record_id].record.source
        for qa in asked:
            for key in (qa.task, f"{qa.task}@{source}"):
                keys.setdefault(key, Counter())[qa.key] += 1
    return {k: Score(max(c.values()), sum(c.values())) for k, c in keys.items() if len(c) > 1}


def together(*named: tuple[str, list[Case]]) -> tuple[list[Case], list[list[str]]]:
    """Several sets of questions on the same studies as one: every picture is encoded once."""
    order: dict[int, tuple[StudyView, list[QA], list[str]]] = {}
    for name, cases in named:
        for study, asked in cases:
            _, questions, names = order.setdefault(id(study), (study, [], []))
            questions += asked
            names += [name] * len(asked)
    return [(s, q) for s, q, _ in order.values()], [n for _, _, n in order.values()]


def ship(own: Score, *baselines: Score) -> bool:
    """nano speaks an answer type only if it clears every baseline by MARGIN and the interval does so too."""
    best = max((b.share for b in baselines), default=0.0)
    return own.asked >= 10 and own.share >= best + MARGIN and wilson(own.right, own.asked)[0] > best


def refusals(nano: Nano, studies: list[StudyView], cases: list[Case]) -> dict[str, Score]:
    """Out-of-scope questions declined; in-scope questions (new words) wrongly declined; premises corrected."""
    rng = np.random.default_rng(3)
    out_of_scope, human, premises = [], [], []
    for i, study in enumerate(studies):
        listed = [
            refusal(UNSEEN_OUT_OF_SCOPE[(i + k * 7) % len(UNSEEN_OUT_OF_SCOPE)], study.kind) for k in range(2)
        ]
        out_of_scope.append((study, listed))
        own = [q for q in nano.human.get(study.record_id, []) if q.form == "refusal"]
        if own:
            human.append((study, own[:4]))
        if (made := wrong_premise(study.labels, rng)) is not None:
            premises.append((study, [made]))
    result = {}
    for name, part in (
        ("declined, own list", out_of_scope),
        ("declined, VQA-RAD test pictures", human),
        ("premise corrected", premises),
    ):
        rows = run_cases(nano, part)
        result[name] = Score(sum(r[2] for r in rows), len(rows))
    rows = run_cases(nano, cases)
    result["in scope, new words, wrongly declined"] = Score(sum(r[3].strip() == "I" for r in rows), len(rows))
    return result


def sequence_cases(nano: Nano, threshold: float, frames: int = 16) -> list[StudyView]:
    """Volumes (every plane) and clips of unseen patients."""
    out = []
    for entry in nano.bank.values():
        if entry.record.split != "test" or entry.record.kind == "image":
            continue
        if entry.record.kind == "video":
            out.append(clip(entry, frames, threshold, None))
        else:
            out += [volume(entry, plane, frames, threshold, None) for plane in planes_of(entry)]
    return out


def probes(nano: Nano, runs: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Linear probe on frozen features, per task and source."""
    train = build_features(nano.bank, nano.vit, runs / "features/train.safetensors", "train", None)
    test = build_features(nano.bank, nano.vit, runs / "features/test.safetensors", "test", None)
    return {a: linear_probe(train, test, a, lambda labels, source: True) for a in SHORT_TASKS}


def evaluate(nano: Nano, weights: dict[str, Tensor], out: Path, runs: Path) -> None:
    """Writes ``scores.json``, ``predictions.jsonl`` and ``report.md`` into ``out``."""
    nano.load(weights)
    switch_lora(nano.lm, True)
    out.mkdir(parents=True, exist_ok=True)
    studies = [still(nano.bank[i.record_id], i, None) for i in test_items(nano, "test")]
    scores: dict[str, dict[str, Score]] = {}
    seen, unseen = (with_questions(studies, "sentence", u, 31) for u in (False, True))
    forms = (
        ("seen", seen),
        ("unseen", unseen),
        *((f, with_questions(studies, f, False, 32)) for f in ("word", "yesno")),
    )
    cases, names = together(*forms)
    name_of = {id(asked): n for (_, asked), n in zip(cases, names, strict=True)}
    with (out / "predictions.jsonl").open("w") as file:
        for visual, part in (("own", cases), ("blank", seen), ("shuffled", seen)):
            rows = run_cases(nano, part, visual)
            for name in ("seen", "unseen", "word", "yesno") if visual == "own" else (visual,):
                chosen = [r for r in rows if visual != "own" or name_of[id(r[0][1])][r[1]] == name]
                scores[name] = tally(chosen, nano)
                print(name, {k: v.cell() for k, v in scores[name].items() if "@" not in k}, flush=True)
                for (study, asked), number, good, first in chosen:
                    qa = asked[number]
                    line = [name, study.record_id, qa.task, qa.question, qa.plain, good, first]
                    file.write(json.dumps(line) + "\n")
    scores["majority"] = majority(seen, nano)
    for threshold in (-1.0, 0.1, 0.3):
        many = sequence_cases(nano, max(threshold, 0.0))
        if threshold < 0:
            many = [replace(s, keep=np.ones_like(s.keep)) for s in many]
        name = "sequences, no pruning" if threshold < 0 else f"sequences, {threshold}"
        asked_of = with_questions(many, "sentence", False, 34)
        rows = run_cases(nano, asked_of)
        if threshold == 0.1:
            scores["sequences blank"] = tally(run_cases(nano, asked_of, "blank"), nano)
            scores["sequences majority"] = majority(asked_of, nano)
        kept = sum(int(s.keep.sum()) for s in many), sum(s.keep.size for s in many)
        scores[name] = tally(rows, nano) | {"tokens kept": Score(*kept)}
        print(name, {k: v.cell() for k, v in scores[name].items() if "@" not in k}, flush=True)
    scores["behaviour"] = refusals(nano, studies[::2], unseen)
    print({k: v.cell() for k, v in scores["behaviour"].items()}, flush=True)
    probe = {a: {k: Score(*v) for k, v in row.items()} for a, row in probes(nano, runs).items()}
    scores["probe"] = {a if k == "all" else f"{a}@{k}": s for a, row in probe.items() for k, s in row.items()}
    language = compare_language(nano)
    table = {
        key: ship(own, *(scores[b][key] for b in ("blank", "shuffled", "majority") if key in scores[b]))
        for key, own in scores["unseen"].items()
        if key in scores["blank"]
    }
    table |= {
        f"sequence:{key}": ship(
            own,
            *(
                scores[f"sequences {b}"][key]
                for b in ("blank", "majority")
                if key in scores[f"sequences {b}"]
            ),
        )
        for key, own in scores["sequences, 0.1"].items()
        if key != "tokens kept"
    }
    plain = {n: {k: [s.right, s.asked] for k, s in row.items()} for n, row in scores.items()}
    write_json({"scores": plain, "ship": table, "language": language}, out / "scores.json")
    (out / "report.md").write_text(report(scores, table, language))


def compare_language(nano: Nano) -> list[list[str]]:
    """Held-out plain questions: [question, untouched model, nano]."""
    rows = {}
    for on in (False, True):
        switch_lora(nano.lm, on)
        rows[on] = generate(nano.lm, nano.tokenizer, list(HELD_OUT), tokens=32)
    switch_lora(nano.lm, True)
    return [[q, a, b] for q, a, b in zip(HELD_OUT, rows[False], rows[True], strict=True)]


def report(scores: dict[str, dict[str, Score]], table: dict[str, bool], language: list[list[str]]) -> str:
    """Markdown tables for the model card; % right [95 % Wilson]."""
    columns = ("seen", "unseen", "word", "yesno", "blank", "shuffled", "majority", "probe")
    lines = [
        "| answer type @ source | n | " + " | ".join(columns) + " | speaks |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for key, own in scores["seen"].items():
        cells = [scores[c][key].cell() if key in scores.get(c, {}) else "-" for c in columns]
        lines.append(
            f"| {key} | {own.asked} | " + " | ".join(cells) + f" | {'yes' if table.get(key) else 'no'} |"
        )
    names = [n for n in scores if n.startswith("sequences,")] + ["sequences blank", "sequences majority"]
    lines += ["", "| volumes and clips | n | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for key in scores[names[0]]:
        cells = [scores[n][key].cell() if key in scores[n] else "-" for n in names]
        lines.append(f"| {key} | {scores[names[0]][key].asked} | " + " | ".join(cells) + " |")
    lines += ["", "| behaviour | n | % |", "|---|---|---|"]
    lines += [f"| {k} | {s.asked} | {s.cell()} |" for k, s in scores["behaviour"].items()]
    same = sum(a.strip() == b.strip() for _, a, b in language)
    lines += [
        "",
        f"Held-out plain questions answered word for word as by the untouched model: {same} of {len(language)}.",
        "",
    ]
    lines += ["| question | untouched | nano |", "|---|---|---|"]
    lines += [f"| {q} | {a} | {b} |" for q, a, b in language]
    return "\n".join(lines) + "\n"


__all__ = ["Record", "evaluate", "report", "ship"]
