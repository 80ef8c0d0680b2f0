"""What nano may say: scores on unseen patients beside what guessing would reach.

An answer is right when it says the true value and no other (``train/nano/text/grading.py``). All answers are decoded
greedily (``train/nano/measure/many.py``), saved, then read; own answers and guesses are judged alike.

Baselines: ``blank`` (black picture of the same size: nano guessing from the question alone), ``shuffled`` (the
picture of another study, same question), ``majority`` (the commonest true answer). ``probe``: logistic regression
on the frozen, untuned encoder (mean and max pooled), asked about the very same pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from torch import Tensor

from train.nano.data.sampling import Pool
from train.nano.data.store import write_json
from train.nano.data.studies import StudyView, clip, planes_of, still, volume
from train.nano.data.views import Item
from train.nano.fit.recipe import TRAIN_VIEWS, heal_config
from train.nano.fit.tuning import ALONE, Nano
from train.nano.measure.answers import Asking, digest, gathered
from train.nano.measure.behaviour import (
    Language,
    behaviour_cases,
    compare_language,
    disagrees,
    follow_up_cases,
)
from train.nano.measure.many import Many
from train.nano.measure.report import report
from train.nano.measure.score import Answer, Case, Score, majority, ship, silent_of, tally
from train.nano.measure.withheld import gate_scores
from train.nano.parts.features import FeatureSet, build_features, features_of, joined, linear_probe
from train.nano.parts.language_model import switch_lora
from train.nano.parts.processes import Group
from train.nano.parts.vit import Vit
from train.nano.text.questions import SHORT_TASKS, ask
from train.nano.text.texts import in_their_words

PER_SOURCE = 32  # pictures per source, LARGE times that for chest X-rays and brain MR
LARGE = 2
ANSWER_TOKENS = 14
CAPTION_TOKENS = 32
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


def in_human_words(nano: Nano, studies: list[StudyView], seed: int) -> list[Case]:
    """Modality, body part and plane as the people of VQA-Med 2019 asked for them; never trained on."""
    rng = np.random.default_rng(seed)
    cases = [(s, in_their_words(s.labels, nano.texts.unseen_wordings, rng)) for s in studies]
    return [case for case in cases if case[1]]


def described(studies: list[StudyView], unseen: bool, seed: int) -> list[Case]:
    """One description of every study."""
    rng = np.random.default_rng(seed)
    out = []
    for study in studies:
        made = ask("describe", study.labels, study.kind, rng, unseen)
        if made is not None:
            out.append((study, [made]))
    return out


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
    group: Group = ALONE,
) -> None:
    """Writes ``predictions.jsonl``, ``scores.json`` and ``report.md`` into ``out``. ``silent``: types declined.

    Stopped half-way and started again with the same weights, it goes on with the first set that is missing.
    """
    silent = silent or {}
    nano.load(weights)
    switch_lora(nano.lm, True)
    asking = Asking(Many(nano), out, digest(weights), group)
    studies = [still(nano.bank[i.record_id], i, None) for i in chosen_items(nano, "test", per_source)]
    forms = {"seen": ("sentence", False), "unseen": ("sentence", True), "word": ("word", False)}
    forms["yesno"] = ("yesno", True)
    named = {n: with_questions(studies, f, u, 31 + u, silent) for n, (f, u) in forms.items()}
    named["human"] = in_human_words(nano, studies, 39)
    answers = asking.run({k: v for k, v in named.items() if v}, ANSWER_TOKENS)
    wordings: dict[str, list[Answer]] = {name: list(rows) for name, rows in answers.items()}
    wordings["descriptions"] = asking.run({"describe": described(studies, True, 35)}, CAPTION_TOKENS)[
        "describe"
    ]
    scores = {name: tally(rows) for name, rows in answers.items()}
    scores["spoken"] = tally([*answers["seen"], *answers["unseen"]])
    for visual in ("blank", "shuffled"):
        rows = asking.run({visual: named["unseen"]}, ANSWER_TOKENS, visual)[visual]
        scores[visual] = tally(rows)
    scores["majority"] = majority(named["unseen"])
    show(group, scores, "unseen", "blank", "shuffled")
    for threshold in (None, 0.1, 0.3):
        name = "sequences, no pruning" if threshold is None else f"sequences, {threshold}"
        many = sequence_studies(nano, threshold)
        asked = {f: with_questions(many, "sentence", f == "unseen", 34, silent) for f in ("seen", "unseen")}
        said = asking.run(asked, ANSWER_TOKENS, tag=name + ", ")
        kept = Score(sum(int(s.keep.sum()) for s in many), sum(s.keep.size for s in many))
        scores[f"{name}, seen"] = tally(said["seen"])
        scores[name] = tally(said["unseen"]) | {"tokens kept": kept}
        if threshold == 0.1:
            scores["sequences spoken"] = tally([*said["seen"], *said["unseen"]])
            for visual in ("blank", "shuffled"):
                rows = asking.run({f"sequences {visual}": asked["unseen"]}, ANSWER_TOKENS, visual)[
                    f"sequences {visual}"
                ]
                scores[f"sequences {visual}"] = tally(rows)
            scores["sequences majority"] = majority(asked["unseen"])
            others = {f: with_questions(many, f, True, 36, silent) for f in ("word", "yesno")}
            for form, rows in (said | asking.run(others, ANSWER_TOKENS, tag="sequences ")).items():
                wordings[form] += rows
            described_too = {"describe": described(many, True, 37)}
            wordings["descriptions"] += asking.run(described_too, CAPTION_TOKENS, tag="sequences ")[
                "describe"
            ]
        show(group, scores, name)
    scores["behaviour"] = {}
    for name, rows in asking.run(behaviour_cases(nano, studies, silent), ANSWER_TOKENS).items():
        scores["behaviour"][name] = Score(sum(r[2] for r in rows), len(rows))
        if name.startswith("wrong premise"):
            refused = name.replace("corrected", "corrected or declined")
            scores["behaviour"][refused] = Score(sum(disagrees(r[3]) for r in rows), len(rows))
    for name, rows in asking.run(follow_up_cases(named["unseen"]), ANSWER_TOKENS).items():
        scores["behaviour"][name] = Score(sum(r[2] for r in rows), len(rows))
    unseen_rows = answers["unseen"]
    first = [r for r in unseen_rows if r[1] > 0]
    scores["behaviour"]["the same follow-up questions asked first, right"] = Score(
        sum(r[2] for r in first), len(first)
    )
    scores["behaviour"]["in scope, unseen wordings, wrongly declined"] = Score(
        sum("cannot tell" in r[3] for r in unseen_rows), len(unseen_rows)
    )
    language, probe = beside(nano, studies, runs, group)
    scores["behaviour"] |= language.scores()
    scores["probe"] = probe
    table = ship(scores["spoken"], [scores[g] for g in GUESSES])
    table |= ship(scores["sequences spoken"], [scores[f"sequences {g}"] for g in GUESSES])
    now_silent = {kind: sorted({*tasks, *silent.get(kind, ())}) for kind, tasks in silent_of(table).items()}
    scores["behaviour"] |= gate_scores(wordings, now_silent, language.rows)
    if group.first:
        print({k: v.cell() for k, v in scores["behaviour"].items()}, flush=True)
        finish(scores, table, silent, now_silent, language, out)
        (out / "report.md").write_text(report(scores, table, silent, language.rows))


def beside(
    nano: Nano, studies: list[StudyView], runs: Path, group: Group
) -> tuple[Language, dict[str, Score]]:
    """Plain language from the first process, the probe from the last one."""
    own: dict[str, Any] = {}
    if group.first:
        language = compare_language(nano)
        own["language"], own["reading"] = language.rows, language.reading
    if group.rank == group.size - 1:
        probe = probe_scores(nano, healed_encoder(runs), studies, runs)
        own["probe"] = {k: [s.right, s.asked] for k, s in probe.items()}
    parts = gathered(group, own)
    cells = {k: Score(*v) for k, v in parts[-1]["probe"].items()}
    untouched, after, asked = parts[0]["reading"]
    return Language(parts[0]["language"], (untouched, after, asked)), cells


def healed_encoder(runs: Path) -> Vit:
    vit = Vit(pos="rope", theta=heal_config().theta)
    vit.load_state_dict(load_file(runs / "heal/final.safetensors"))
    return vit.eval()


def show(group: Group, scores: dict[str, dict[str, Score]], *names: str) -> None:
    for name in names if group.first else ():
        print(name, {k: v.cell() for k, v in scores[name].items() if "@" not in k}, flush=True)


def finish(
    scores: dict[str, dict[str, Score]],
    table: dict[str, str],
    silent: dict[str, list[str]],
    now_silent: dict[str, list[str]],
    language: Language,
    out: Path,
) -> None:
    """``now_silent``: what is declined from now on: what was already, and what does not pass in this evaluation."""
    plain = {n: {k: [s.right, s.asked] for k, s in row.items()} for n, row in scores.items()}
    value = {"scores": plain, "ship": table, "was_silent": silent, "silent": now_silent}
    write_json(value | {"language": language.rows}, out / "scores.json")


__all__ = ["FORMS", "FeatureSet", "chosen_items", "evaluate"]
