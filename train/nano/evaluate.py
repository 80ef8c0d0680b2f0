"""What nano may say: scores on unseen patients beside what guessing would reach.

An answer is right when it says the true value and no other (``train/nano/content.py``). One packed pass finds the
answers that are the expected sentence word for word: greedy decoding yields the target exactly when the argmax at
every place of the target is the target (held against decoding in ``tests/train/test_evaluate.py``). All others are
decoded token by token and read. Own answers and guesses are judged alike.

Baselines: ``blank`` (black picture of the same size: nano guessing from the question alone), ``shuffled`` (the
picture of another study, same question), ``majority`` (the commonest true answer). ``probe``: logistic regression
on the frozen, untuned encoder (mean and max pooled), asked about the very same pictures.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from train.nano.behaviour import Language, behaviour_cases, compare_language
from train.nano.content import right
from train.nano.features import FeatureSet, build_features, features_of, joined, linear_probe
from train.nano.lm import switch_lora
from train.nano.pack import collate, make_tree
from train.nano.questions import QA, SHORT_TASKS, ask
from train.nano.recipe import TRAIN_VIEWS, heal_config
from train.nano.report import report
from train.nano.sampling import Pool
from train.nano.score import Answer, Case, Score, majority, ship, silent_of, tally
from train.nano.speak import speak
from train.nano.store import write_json
from train.nano.studies import StudyView, clip, planes_of, still, volume
from train.nano.tune import Nano
from train.nano.views import Item
from train.nano.vit import Vit

PER_SOURCE = 32  # pictures per source, LARGE times that for chest X-rays and brain MR
LARGE = 2
BATCH = 12
ANSWER_TOKENS = 14
SPEAK_BATCH = 128  # a decoding step reads every weight once, whatever the number of rows
SEQUENCE_FRAMES = 16
FORMS = ("seen", "unseen", "word", "yesno")
GUESSES = ("blank", "shuffled", "majority")


def chosen_items(nano: Nano, split: str, per_source: int) -> list[Item]:
    """``per_source`` pictures of every source, drawn over its patients. Fixed."""
    rng = np.random.default_rng(23)
    by_source: dict[str, list[Item]] = {}
    for item in Pool(nano.bank, split).all_items():
        by_source.setdefault(nano.bank[item.record_id].record.source, []).append(item)
    out = []
    for source in sorted(by_source):
        items = by_source[source]
        most = per_source * LARGE if source in ("cxr_nih", "mri_open_ms") else per_source
        pick = rng.permutation(len(items))[:most]
        out += [items[i] for i in sorted(pick)]
    return out


def sequence_studies(nano: Nano, threshold: float | None) -> list[StudyView]:
    """Volumes (every plane) and clips of unseen patients; threshold None: nothing pruned."""
    out = []
    for entry in nano.bank.values():
        if entry.record.split != "test" or entry.record.kind == "image":
            continue
        if entry.record.kind == "video":
            out.append(clip(entry, SEQUENCE_FRAMES, threshold or 0.0, None))
        else:
            out += [volume(entry, p, SEQUENCE_FRAMES, threshold or 0.0, None) for p in planes_of(entry)]
    if threshold is None:
        out = [replace(s, keep=np.ones_like(s.keep)) for s in out]
    return out


def with_questions(
    studies: list[StudyView], form: str, unseen: bool, seed: int, silent: dict[str, list[str]]
) -> list[Case]:
    """One question per labelled task of the wanted form ("sentence", "word", "yesno"), silent tasks left out."""
    rng = np.random.default_rng(seed)
    out = []
    for study in studies:
        asked = []
        for task in SHORT_TASKS:
            if not study.labels.get(task) or task in silent.get(study.kind, ()):
                continue
            if form == "yesno" and task == "state":
                continue
            for _ in range(200):
                made = ask(task, study.labels, study.kind, rng, unseen)
                if made is not None and made.form == form:
                    asked.append(made)
                    break
        if asked:
            out.append((study, asked))
    return out


def other_study(own: StudyView, other: StudyView) -> StudyView:
    """The pixels of ``other`` at the size and token count of ``own``."""
    from train.nano.views import resize

    t, h, w = own.frames.shape[:3]
    frames = np.stack([resize(other.frames[i % len(other.frames)], (h, w)) for i in range(t)])
    return replace(own, frames=frames)


def run_cases(nano: Nano, cases: list[Case], visual: str = "own") -> list[Answer]:
    """(case, question number, right, what was said) for every question."""
    shown = with_visual(cases, visual)
    exact = word_for_word(nano, shown)
    asked = [(r, n) for r, (_, qs) in enumerate(shown) for n in range(len(qs)) if not exact[(r, n)]]
    said = speak(nano, [(shown[r][0], shown[r][1][n].question) for r, n in asked], ANSWER_TOKENS, SPEAK_BATCH)
    texts = dict(zip(asked, said, strict=True))
    out: list[Answer] = []
    for r, case in enumerate(cases):
        for n, qa in enumerate(case[1]):
            text = texts.get((r, n), qa.plain)
            out.append((case, n, right(qa, text), text))
    return out


def with_visual(cases: list[Case], visual: str) -> list[Case]:
    """The same questions about the own picture, a black one, or that of another study."""
    order = np.random.default_rng(5).permutation(len(cases))
    if visual == "blank":
        return [(replace(s, frames=np.zeros_like(s.frames)), q) for s, q in cases]
    if visual == "shuffled":
        return [(other_study(s, cases[order[k]][0]), q) for k, (s, q) in enumerate(cases)]
    return cases


@torch.no_grad()
def word_for_word(nano: Nano, cases: list[Case]) -> dict[tuple[int, int], bool]:
    """(case number, question number) → the greedy answer is the expected sentence."""
    out: dict[tuple[int, int], bool] = {}
    for start in range(0, len(cases), BATCH):
        part = cases[start : start + BATCH]
        trees = [make_tree(nano.tokenizer, s.kind, s.tokens_per_frame, s.times_s, qs) for s, qs in part]
        packed = collate(trees, nano.pad_id)
        guess = nano.logits(packed, nano.visual([s for s, _ in part])).argmax(-1)
        for (row, number), good in zip(packed.branch_of, (guess == packed.targets).tolist(), strict=True):
            key = (start + row, number)
            out[key] = out.get(key, True) and good
    return out


def together(named: dict[str, list[Case]]) -> tuple[list[Case], dict[int, str]]:
    """Several sets of questions on the same studies as one, every picture encoded once; set name by question id."""
    order: dict[int, tuple[StudyView, list[QA]]] = {}
    names: dict[int, str] = {}
    for name, cases in named.items():
        for study, asked in cases:
            order.setdefault(id(study), (study, []))[1].extend(asked)
            names |= {id(qa): name for qa in asked}
    return list(order.values()), names


def run_named(
    nano: Nano, named: dict[str, list[Case]], file: TextIO, tag: str = ""
) -> dict[str, list[Answer]]:
    """Answers to every named set; each goes to ``file`` before anything is counted."""
    cases, names = together(named)
    rows = run_cases(nano, cases)
    by_name: dict[str, list[Answer]] = {name: [] for name in named}
    for row in rows:
        by_name[names[id(row[0][1][row[1]])]].append(row)
    for name, chosen in by_name.items():
        write_predictions(file, tag + name, chosen)
    return by_name


def write_predictions(file: TextIO, name: str, rows: list[Answer]) -> None:
    for (study, asked), number, good, said in rows:
        qa = asked[number]
        fields = [name, study.record_id, study.kind, qa.task, qa.question, qa.plain, good, said]
        file.write(json.dumps(fields) + "\n")
    file.flush()


def probe_scores(nano: Nano, untuned: Vit, studies: list[StudyView], runs: Path) -> dict[str, Score]:
    """The linear probe, trained on clean and augmented pictures of training patients, on ``studies``' pictures."""
    train = build_features(nano.bank, untuned, runs / "features/train.safetensors", "train", TRAIN_VIEWS)
    clean = build_features(nano.bank, untuned, runs / "features/train_clean.safetensors", "train", None)
    pictures = [s.frames[0] for s in studies]
    test = features_of(untuned, pictures, [s.labels for s in studies], [s.source for s in studies])
    out = {}
    for task in SHORT_TASKS:
        cells = linear_probe(joined(train, clean), test, task, lambda labels, source: True)
        for key, cell in cells.items():
            out[f"image:{task}" if key == "all" else f"image:{task}@{key}"] = Score(*cell)
    return out


def evaluate(
    nano: Nano,
    weights: dict[str, Tensor],
    out: Path,
    runs: Path,
    silent: dict[str, list[str]] | None = None,
    per_source: int = PER_SOURCE,
) -> None:
    """Writes ``predictions.jsonl``, ``scores.json`` and ``report.md`` into ``out``. ``silent``: types declined."""
    silent = silent or {}
    nano.load(weights)
    switch_lora(nano.lm, True)
    out.mkdir(parents=True, exist_ok=True)
    studies = [still(nano.bank[i.record_id], i, None) for i in chosen_items(nano, "test", per_source)]
    scores: dict[str, dict[str, Score]] = {}
    with (out / "predictions.jsonl").open("w") as file:
        forms = {"seen": ("sentence", False), "unseen": ("sentence", True), "word": ("word", False)}
        forms["yesno"] = ("yesno", True)
        named = {n: with_questions(studies, f, u, 31 + u, silent) for n, (f, u) in forms.items()}
        answers = run_named(nano, named, file)
        scores |= {name: tally(rows) for name, rows in answers.items()}
        scores["spoken"] = tally([*answers["seen"], *answers["unseen"]])
        unseen_rows = answers["unseen"]
        for visual in ("blank", "shuffled"):
            rows = run_cases(nano, named["unseen"], visual)
            write_predictions(file, visual, rows)
            scores[visual] = tally(rows)
        scores["majority"] = majority(named["unseen"])
        show(scores, "unseen", "blank", "shuffled")
        for threshold in (None, 0.1, 0.3):
            name = "sequences, no pruning" if threshold is None else f"sequences, {threshold}"
            many = sequence_studies(nano, threshold)
            asked = {
                f: with_questions(many, "sentence", f == "unseen", 34, silent) for f in ("seen", "unseen")
            }
            said = run_named(nano, asked, file, name + ", ")
            result = {k: tally(v) for k, v in said.items()}
            kept = Score(sum(int(s.keep.sum()) for s in many), sum(s.keep.size for s in many))
            scores |= {f"{name}, seen": result["seen"], name: result["unseen"] | {"tokens kept": kept}}
            if threshold == 0.1:
                scores["sequences spoken"] = tally([*said["seen"], *said["unseen"]])
                for visual in ("blank", "shuffled"):
                    rows = run_cases(nano, asked["unseen"], visual)
                    write_predictions(file, f"sequences {visual}", rows)
                    scores[f"sequences {visual}"] = tally(rows)
                scores["sequences majority"] = majority(asked["unseen"])
            show(scores, name)
        scores["behaviour"] = {}
        for name, cases in behaviour_cases(nano, studies, silent).items():
            rows = run_cases(nano, cases)
            write_predictions(file, name, rows)
            scores["behaviour"][name] = Score(sum(r[2] for r in rows), len(rows))
        scores["behaviour"]["in scope, unseen wordings, wrongly declined"] = Score(
            sum("cannot tell" in r[3] for r in unseen_rows), len(unseen_rows)
        )
    language = compare_language(nano)
    scores["behaviour"] |= language.scores()
    print({k: v.cell() for k, v in scores["behaviour"].items()}, flush=True)
    scores["probe"] = probe_scores(nano, healed_encoder(runs), studies, runs)
    table = ship(scores["spoken"], [scores[g] for g in GUESSES])
    table |= ship(scores["sequences spoken"], [scores[f"sequences {g}"] for g in GUESSES])
    finish(scores, table, silent, language, out)
    (out / "report.md").write_text(report(scores, table, silent, language.rows))


def healed_encoder(runs: Path) -> Vit:
    vit = Vit(pos="rope", theta=heal_config().theta)
    vit.load_state_dict(load_file(runs / "heal/final.safetensors"))
    return vit.eval()


def show(scores: dict[str, dict[str, Score]], *names: str) -> None:
    for name in names:
        print(name, {k: v.cell() for k, v in scores[name].items() if "@" not in k}, flush=True)


def finish(
    scores: dict[str, dict[str, Score]],
    table: dict[str, str],
    silent: dict[str, list[str]],
    language: Language,
    out: Path,
) -> None:
    """``silent``: what is declined from now on: what was already, and what fails the rule in this evaluation."""
    failed = silent_of(table)
    now_silent = {kind: sorted({*failed[kind], *silent.get(kind, ())}) for kind in failed}
    plain = {n: {k: [s.right, s.asked] for k, s in row.items()} for n, row in scores.items()}
    value = {"scores": plain, "ship": table, "was_silent": silent, "silent": now_silent}
    write_json(value | {"language": language.rows}, out / "scores.json")


__all__ = ["FORMS", "FeatureSet", "chosen_items", "evaluate", "run_cases"]
