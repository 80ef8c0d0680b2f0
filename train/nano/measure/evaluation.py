"""What nano may say: scores on unseen patients beside what guessing would reach, asked through the product's own door.

Every study is opened by ``open_study`` and goes the way of a person's question (``measure/door.py``): the app's window,
slices, size, pruning and prompt, the shipped weights, the engine's decoding. Only the ship rule at the answer is left
out, because this is what it is made from; what it does to these answers is counted apart (``measure/withheld.py``).

An answer is right when it says the true value and no other (``text/grading.py``). All answers are saved, then read; own
answers and guesses are judged alike.

Baselines: ``blank`` (the same study in black: nano guessing from the question alone), ``shuffled`` (another study,
same question), ``majority`` (the commonest true answer). ``probe``: logistic regression on the frozen,
untuned encoder (mean and max pooled), asked about the same pictures; only where the healed encoder is among the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors.torch import load_file

from train.loop.processes import Group
from train.loop.store import write_json
from train.nano.data.bank import Entry
from train.nano.data.sampling import Pool
from train.nano.data.studies import planes_of
from train.nano.data.views import Item, fit, labels_of, picture, token_cap
from train.nano.fit.recipe import TRAIN_VIEWS, heal_config
from train.nano.measure.answers import Asking, digest, gathered
from train.nano.measure.behaviour import (
    Language,
    behaviour_cases,
    compare_language,
    disagrees,
    follow_up_cases,
)
from train.nano.measure.door import Door, Opened
from train.nano.measure.report import report
from train.nano.measure.score import Answer, Score, Subject, majority, ship, silent_of, tally
from train.nano.measure.withheld import gate_scores
from train.nano.parts.encoder import student
from train.nano.parts.features import build_features, features_of, joined, linear_probe
from train.nano.text.questions import QA, SHORT_TASKS, ask
from train.nano.text.texts import Texts, in_their_words

PER_SOURCE = 32  # pictures per source, LARGE times that for chest X-rays and brain MR
LARGE = 2
FORMS = {
    "seen": ("sentence", False),
    "unseen": ("sentence", True),
    "word": ("word", False),
    "yesno": ("yesno", True),
}
GUESSES = ("blank", "shuffled", "majority")
THRESHOLDS = (None, 0.1, 0.3)  # of pruning; None: nothing pruned
ALONE = Group()
S = TypeVar("S", bound=Subject)


@dataclass(frozen=True)
class Exam:
    """What is asked with. ``model``, ``backbone``: folders of what ships and of its untouched language model."""

    bank: dict[str, Entry]
    human: dict[str, list[QA]]
    texts: Texts
    door: Door
    model: Path
    backbone: Path
    runs: Path


def chosen_items(bank: dict[str, Entry], split: str, per_source: int) -> list[Item]:
    """``per_source`` pictures of every source, drawn over its patients. Fixed."""
    rng = np.random.default_rng(23)
    by_source: dict[str, list[Item]] = {}
    for item in Pool(bank, split).all_items():
        by_source.setdefault(bank[item.record_id].record.source, []).append(item)
    out = []
    for source in sorted(by_source):
        items = by_source[source]
        most = per_source * LARGE if source in ("cxr_nih", "mri_open_ms") else per_source
        pick = rng.permutation(len(items))[:most]
        out += [items[i] for i in sorted(pick)]
    return out


def sequence_studies(exam: Exam, threshold: float | None) -> list[Opened]:
    """Volumes (every plane) and clips of unseen patients; threshold None: nothing pruned."""
    out = []
    for entry in exam.bank.values():
        if entry.record.split == "test" and entry.record.kind != "image":
            planes = [None] if entry.record.kind == "video" else planes_of(entry)
            out += [exam.door.sequence(entry, plane, threshold) for plane in planes]
    return out


def with_questions(
    studies: Sequence[S], form: str, unseen: bool, seed: int, silent: dict[str, list[str]]
) -> list[tuple[S, list[QA]]]:
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


def in_human_words(texts: Texts, studies: Sequence[S], seed: int) -> list[tuple[S, list[QA]]]:
    """Modality, body part and plane as the people of VQA-Med 2019 asked for them; never trained on."""
    rng = np.random.default_rng(seed)
    cases = [(s, in_their_words(s.labels, texts.unseen_wordings, rng)) for s in studies]
    return [case for case in cases if case[1]]


def described(studies: Sequence[S], unseen: bool, seed: int) -> list[tuple[S, list[QA]]]:
    """One description of every study."""
    rng = np.random.default_rng(seed)
    made = [(study, ask("describe", study.labels, study.kind, rng, unseen)) for study in studies]
    return [(study, [qa]) for study, qa in made if qa is not None]


def probe_scores(exam: Exam, items: Sequence[Item]) -> dict[str, Score]:
    """The linear probe, trained on clean and augmented pictures of training patients, on these pictures."""
    bank, runs = exam.bank, exam.runs
    untuned = student(heal_config().theta)
    untuned.load_state_dict(load_file(runs / "heal/final.safetensors"))
    train = build_features(bank, untuned, runs / "features/train.safetensors", "train", TRAIN_VIEWS)
    clean = build_features(bank, untuned, runs / "features/train_clean.safetensors", "train", None)
    entries = [bank[i.record_id] for i in items]
    pictures = [fit(picture(e, i), token_cap(e)) for e, i in zip(entries, items, strict=True)]
    labels = [labels_of(e, i) for e, i in zip(entries, items, strict=True)]
    test = features_of(untuned, pictures, labels, [e.record.source for e in entries])
    out = {}
    for task in SHORT_TASKS:
        cells = linear_probe(joined(train, clean), test, task, lambda labels, source: True)
        for key, cell in cells.items():
            out[f"image:{task}" if key == "all" else f"image:{task}@{key}"] = Score(*cell)
    return out


class Evaluation:
    """One run of the exam. ``scores``: by column of the report, then by ``kind:task[@source]``.

    ``wordings``: every answer by form of question, for counting what the ship rule does to them.
    """

    def __init__(
        self, exam: Exam, out: Path, silent: dict[str, list[str]], per_source: int, group: Group
    ) -> None:
        self.exam, self.out, self.silent, self.group = exam, out, silent, group
        self.asking = Asking(exam.door.batch, out, digest(exam.model), group)
        self.items = chosen_items(exam.bank, "test", per_source)
        self.studies = [exam.door.still(exam.bank[i.record_id], i) for i in self.items]
        self.scores: dict[str, dict[str, Score]] = {}
        self.wordings: dict[str, list[Answer]] = {}

    def one(self, name: str, cases: Sequence[tuple[Opened, list[QA]]], visual: str = "own") -> list[Answer]:
        return self.asking.run({name: cases}, visual)[name]

    def stills(self) -> None:
        named = {n: with_questions(self.studies, f, u, 31 + u, self.silent) for n, (f, u) in FORMS.items()}
        named["human"] = in_human_words(self.exam.texts, self.studies, 39)
        answers = self.asking.run({k: v for k, v in named.items() if v})
        self.wordings = {name: list(rows) for name, rows in answers.items()}
        self.wordings["descriptions"] = list(self.one("describe", described(self.studies, True, 35)))
        self.scores |= {name: tally(rows) for name, rows in answers.items()}
        self.scores["spoken"] = tally([*answers["seen"], *answers["unseen"]])
        for visual in ("blank", "shuffled"):
            self.scores[visual] = tally(self.one(visual, named["unseen"], visual))
        self.scores["majority"] = majority(named["unseen"])
        self.show("unseen", "blank", "shuffled")
        self.follow_ups(named["unseen"], answers["unseen"])

    def follow_ups(self, cases: list[tuple[Opened, list[QA]]], first: list[Answer]) -> None:
        behaviour: dict[str, Score] = {}
        for name, rows in self.asking.run(
            behaviour_cases(self.exam.human, self.studies, self.silent)
        ).items():
            behaviour[name] = Score(sum(r[2] for r in rows), len(rows))
            if name.startswith("wrong premise"):
                refused = name.replace("corrected", "corrected or declined")
                behaviour[refused] = Score(sum(disagrees(r[3]) for r in rows), len(rows))
        for name, rows in self.asking.run(follow_up_cases(cases)).items():
            behaviour[name] = Score(sum(r[2] for r in rows), len(rows))
        later = [r for r in first if r[1] > 0]
        behaviour["the same follow-up questions asked first, right"] = Score(
            sum(r[2] for r in later), len(later)
        )
        behaviour["in scope, unseen wordings, wrongly declined"] = Score(
            sum("cannot tell" in r[3] for r in first), len(first)
        )
        self.scores["behaviour"] = behaviour

    def sequences(self, threshold: float | None) -> None:
        name = "sequences, no pruning" if threshold is None else f"sequences, {threshold}"
        many = sequence_studies(self.exam, threshold)
        asked = {
            f: with_questions(many, "sentence", f == "unseen", 34, self.silent) for f in ("seen", "unseen")
        }
        said = self.asking.run(asked, tag=name + ", ")
        kept = Score(sum(s.kept[0] for s in many), sum(s.kept[1] for s in many))
        self.scores[f"{name}, seen"] = tally(said["seen"])
        self.scores[name] = tally(said["unseen"]) | {"tokens kept": kept}
        if threshold == 0.1:
            self.scores["sequences spoken"] = tally([*said["seen"], *said["unseen"]])
            for visual in ("blank", "shuffled"):
                key = f"sequences {visual}"
                self.scores[key] = tally(self.one(key, asked["unseen"], visual))
            self.scores["sequences majority"] = majority(asked["unseen"])
            others = {f: with_questions(many, f, True, 36, self.silent) for f in ("word", "yesno")}
            for form, rows in (said | self.asking.run(others, tag="sequences ")).items():
                self.wordings[form] += rows
            self.wordings["descriptions"] += self.one("sequences describe", described(many, True, 37))
        self.show(name)

    def beside(self) -> Language:
        """Plain language from the first process, the probe from the last one."""
        own: dict[str, Any] = {}
        if self.group.first:
            exam = self.exam
            language = compare_language(exam.door.batch, exam.backbone, exam.texts.unseen_captions)
            own["language"], own["reading"] = language.rows, language.reading
        if self.group.rank == self.group.size - 1 and (self.exam.runs / "heal/final.safetensors").exists():
            probe = probe_scores(self.exam, self.items)
            own["probe"] = {k: [s.right, s.asked] for k, s in probe.items()}
        parts = gathered(self.group, own)
        self.scores["probe"] = {k: Score(*v) for k, v in parts[-1].get("probe", {}).items()}
        untouched, after, asked = parts[0]["reading"]
        return Language(parts[0]["language"], (untouched, after, asked))

    def finish(self) -> None:
        """The ship rule, and everything on disk."""
        scores, language = self.scores, self.beside()
        scores["behaviour"] |= language.scores()
        table = ship(scores["spoken"], [scores[g] for g in GUESSES])
        table |= ship(scores["sequences spoken"], [scores[f"sequences {g}"] for g in GUESSES])
        # declined from now on: what was already, and what does not pass in this evaluation
        silent = {k: sorted({*tasks, *self.silent.get(k, ())}) for k, tasks in silent_of(table).items()}
        scores["behaviour"] |= gate_scores(self.wordings, silent, language.rows)
        if self.group.first:
            print({k: v.cell() for k, v in scores["behaviour"].items()}, flush=True)
            plain = {n: {k: [s.right, s.asked] for k, s in row.items()} for n, row in scores.items()}
            value = {"scores": plain, "ship": table, "was_silent": self.silent, "silent": silent}
            write_json(value | {"language": language.rows}, self.out / "scores.json")
            (self.out / "report.md").write_text(report(scores, table, self.silent, language.rows))

    def show(self, *names: str) -> None:
        for name in names if self.group.first else ():
            print(name, {k: v.cell() for k, v in self.scores[name].items() if "@" not in k}, flush=True)


def evaluate(
    exam: Exam,
    out: Path,
    silent: dict[str, list[str]] | None = None,
    per_source: int = PER_SOURCE,
    group: Group = ALONE,
) -> None:
    """Writes ``predictions.jsonl``, ``scores.json`` and ``report.md`` into ``out``. ``silent``: types declined.

    Stopped half-way and started again with the same weights, it goes on with the first set that is missing.
    """
    run = Evaluation(exam, out, silent or {}, per_source, group)
    run.stills()
    for threshold in THRESHOLDS:
        run.sequences(threshold)
    run.finish()
