"""Stages 1 to 3 on the language side: align (projector), instruct (projector + LoRA), mixed (volumes and clips).

The encoder is frozen and reads fresh random views at every step. Loss: cross-entropy on answers, informative
words weighted KEY_WEIGHT, plus the word loss of the warm start on cached features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.data.tree import Packed, collate, forward_hidden, make_tree
from train.loop.fit import Every, Learner, Loss, Schedule, fit
from train.loop.processes import Group
from train.nano.data.bank import Entry
from train.nano.data.sampling import MIXTURE, Pool
from train.nano.data.studies import StudyView, sequence_study, still
from train.nano.data.views import items_of
from train.nano.parts.encoder import Vit
from train.nano.parts.features import FeatureSet, encode
from train.nano.parts.language_model import add_lora, lora_state, switch_lora
from train.nano.parts.words import Projector, targets, word_loss, word_loss_of, word_table
from train.nano.text.careless import loosely
from train.nano.text.questions import QA, answer_sentence, ask, every_form, questions_for
from train.nano.text.texts import Texts, reworded
from train.nano.text.wordings import OUT_OF_SCOPE

ALONE = Group()
DEV_EVERY_S = 900.0


@dataclass(frozen=True)
class TuneConfig:
    """``lr_lora`` None leaves the language model untouched (stage 1)."""

    name: str
    seconds: float  # wall time of the cosine schedule
    lr_projector: float
    lr_lora: float | None
    stills: int = 6  # pictures per step
    sequences: int = 0  # volumes and clips per step
    questions: int = 4  # per study
    captions_only: bool = False
    general: int = 2  # general questions per step
    refusals: float = 0.02  # share of questions nano is to decline, besides VQA-RAD's own
    follow_ups: float = 0.0  # share of questions that come after another one about the same study
    general_on_studies: float = (
        0.0  # general questions per still: with a picture open, plain answers stay plain
    )
    loose: float = 0.0  # share of questions typed carelessly (``train/nano/text/careless.py``)
    every_form: tuple[str, ...] = ()  # tasks asked in all their forms side by side, one of them per study
    reworded: float = (
        0.0  # share of sentence questions put in the words of SLAKE (``train/nano/text/texts.py``)
    )
    captions: int = 0  # captions to read per step, without a picture
    sequences_every: int = 1  # volumes and clips only in every so-many-th step
    silent: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # by kind: tasks that failed the ship rule
    word_weight: float = 0.3
    word_batch: int = (
        32  # cached pictures per step for the word loss; 0: the step's own stills, at no extra cost
    )
    warmup_steps: int = 20
    floor: float = 0.05  # learning rate at the end, share of the start
    rank: int = 16
    alpha: float = 32.0
    seed: int = 42
    mixture: dict[str, float] = field(default_factory=lambda: dict(MIXTURE))


class Nano:
    """The parts in training. ``human``, ``general`` and ``texts``: prepared questions."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        bank: dict[str, Entry],
        vit: Vit,
        projector: Projector,
        language_model,
        tokenizer,
        features: FeatureSet | None,
        human: dict[str, list[QA]],
        general: list[tuple[str, str]],
        rank: int = 16,
        alpha: float = 32.0,
        seed: int = 42,
        texts: Texts | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.bank, self.vit, self.projector = bank, vit.eval().requires_grad_(False), projector
        self.lm, self.tokenizer, self.features = language_model, tokenizer, features
        self.general = [QA("text", "text", q, a) for q, a in general]
        self.human, self.texts = human, texts or Texts()
        train_human = [q for r, qs in human.items() if bank[r].record.split == "train" for q in qs]
        self.declined = (
            *OUT_OF_SCOPE * 6,
            *sorted({q.question for q in train_human if q.form == "refusal"})[::3],
        )
        self.table = word_table(tokenizer, language_model.get_input_embeddings().weight)
        add_lora(language_model, rank, alpha / rank)
        self.pad_id = tokenizer.get_added_vocab()["<|im_end|>"]

    def state(self) -> dict[str, Tensor]:
        """What is trained: projector and LoRA, by name."""
        own = {f"projector.{k}": v for k, v in self.projector.state_dict().items()}
        return own | {f"lora.{k}": v for k, v in lora_state(self.lm).items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` took out."""
        self.projector.load_state_dict({k[10:]: v for k, v in tensors.items() if k.startswith("projector.")})
        for name, parameter in lora_state(self.lm).items():
            parameter.data.copy_(tensors[f"lora.{name}"])

    def visual(self, studies: list[StudyView]) -> Tensor | None:
        """Projected kept tokens of all studies, in order (V, width)."""
        if not studies:
            return None
        features = encode(self.vit, [f for s in studies for f in s.frames])
        kept, at = [], 0
        for s in studies:
            for row in s.keep:
                kept.append(features[at][torch.from_numpy(row)])
                at += 1
        return self.projector(torch.cat(kept))

    def logits(self, packed: Packed, visual: Tensor | None) -> Tensor:
        """(S, vocabulary) float32 at supervised places."""
        hidden = forward_hidden(self.lm, packed, visual)
        return self.lm.lm_head(hidden).float()


def sequence_pool(bank: dict[str, Entry]) -> list[list[Entry]]:
    """Training volumes and clips by kind of study, each list drawn from equally often."""
    groups: dict[str, list[Entry]] = {}
    for entry in bank.values():
        if entry.record.split == "train" and entry.record.kind != "image":
            if entry.record.kind == "volume" and entry.array.shape[0] < 8:
                continue
            r = entry.record
            name = r.labels["modality"] + (
                "" if r.labels["modality"] != "MRI" else str(r.source == "mri_open_ms")
            )
            groups.setdefault(name + r.labels.get("state", ""), []).append(entry)
    return list(groups.values())


def with_history(asked: list[QA], share: float, rng: np.random.Generator) -> list[QA]:
    """Some questions become follow-ups: the one before them in the list stands in an earlier turn."""
    out = list(asked)
    for i in range(1, len(asked)):
        if share and rng.random() < share:
            before = asked[i - 1]
            out[i] = replace(asked[i], history=((before.question, before.plain),))
    return out


def forms_of(study: StudyView, tasks: tuple[str, ...], rng: np.random.Generator) -> list[QA]:
    """One of ``tasks`` that is labelled here, in every form; without a history, which would give the answer away."""
    fits = [t for t in tasks if study.labels.get(t)]
    return every_form(fits[rng.integers(len(fits))], study.labels, study.kind, rng) if fits else []


def make_batch(
    nano: Nano, pool: Pool, sequences: list[list[Entry]], config: TuneConfig, step: int, group: Group = ALONE
) -> list[tuple[list[StudyView], Packed]]:
    """Micro-batches of one step: stills with general text, then volumes and clips. Pure in (seed, name, step, rank)."""
    rng = np.random.default_rng((config.seed, sum(config.name.encode()), step, group.rank))
    out: list[tuple[list[StudyView], Packed]] = []
    sequences_now = 0 if step % config.sequences_every else config.sequences
    for is_sequence, count in ((False, group.part(config.stills)), (True, group.part(sequences_now))):
        studies, trees = [], []
        for _ in range(count):
            if is_sequence:
                alike = sequences[rng.integers(len(sequences))]
                study = sequence_study(alike[rng.integers(len(alike))], rng)
            else:
                item = pool.draw(config.mixture, rng)
                study = still(nano.bank[item.record_id], item, rng)
            if config.captions_only:
                asked = [q for _ in range(4) if (q := ask("describe", study.labels, study.kind, rng))][:2]
                asked += [
                    q for q in questions_for(study.labels, study.kind, 2, rng, refusals=0.0) if q not in asked
                ]
            else:
                extra = tuple(nano.human.get(study.record_id, ()))
                asked = questions_for(
                    study.labels,
                    study.kind,
                    config.questions,
                    rng,
                    extra,
                    nano.declined,
                    config.refusals,
                    config.silent.get(study.kind, ()),
                )
                if config.loose:
                    asked = [loosely(q, rng) if rng.random() < config.loose else q for q in asked]
                if config.reworded and study.kind != "video":
                    words = nano.texts.wordings
                    asked = [
                        reworded(q, study.labels, words, rng) if rng.random() < config.reworded else q
                        for q in asked
                    ]
                forms = forms_of(study, config.every_form, rng)
                if config.loose:
                    forms = [loosely(q, rng) if rng.random() < config.loose else q for q in forms]
                asked = with_history(asked[: 2 if forms else None], config.follow_ups, rng) + forms
                if not is_sequence and nano.general and rng.random() < config.general_on_studies:
                    asked.append(nano.general[rng.integers(len(nano.general))])
            if asked:
                studies.append(study)
                trees.append(
                    make_tree(nano.tokenizer, study.kind, study.tokens_per_frame, study.times_s, asked)
                )
        if not is_sequence and (general := group.part(config.general)) and nano.general:
            rows = rng.choice(len(nano.general), general, replace=False)
            trees.append(make_tree(nano.tokenizer, "image", (), None, [nano.general[i] for i in rows]))
        captions = nano.texts.captions
        if not is_sequence and (reading := group.part(config.captions)) and captions:
            rows = rng.choice(len(captions), reading, replace=False)
            trees.append(make_tree(nano.tokenizer, "image", (), None, [captions[i] for i in rows]))
        if trees:
            out.append((studies, collate(trees, nano.pad_id)))
    return out


def dev_set(
    nano: Nano, forms: tuple[str, ...] = (), per_group: int = 16, split: str = "dev"
) -> list[tuple[StudyView, list[QA]]]:
    """Clean pictures of patients not trained on, one sentence question per labelled task, and one word, yes and no
    for the tasks in ``forms``. Fixed."""
    rng = np.random.default_rng(11)
    pool = Pool(nano.bank, split)
    out: list[tuple[StudyView, list[QA]]] = []
    for group in sorted(pool.groups):
        for _ in range(per_group):
            item = pool.draw({group: 1.0}, rng)
            study = still(nano.bank[item.record_id], item, None)
            asked = []
            for task in ("modality", "organ", "plane", "sequence", "view", "state"):
                if study.labels.get(task):
                    made = None
                    while made is None or made.form != "sentence":
                        made = ask(task, study.labels, "image", rng)
                    asked.append(made)
            for task in forms:
                asked += every_form(task, study.labels, "image", np.random.default_rng((11, len(out))))[1:]
            out.append((study, asked))
    return out


@torch.no_grad()
def exact(
    nano: Nano, studies: list[tuple[StudyView, list[QA]]], batch: int = 8
) -> dict[str, tuple[int, int]]:
    """Greedy exact match per ``task`` (sentences), ``task:form`` (other forms) and ``task@source``: argmax equals the
    target at every supervised place."""
    score: dict[str, list[int]] = {}
    for start in range(0, len(studies), batch):
        part = studies[start : start + batch]
        trees = [make_tree(nano.tokenizer, s.kind, s.tokens_per_frame, s.times_s, qs) for s, qs in part]
        packed = collate(trees, nano.pad_id)
        right = nano.logits(packed, nano.visual([s for s, _ in part])).argmax(-1) == packed.targets
        good: dict[tuple[int, int], bool] = {}
        for owner, r in zip(packed.branch_of, right.tolist(), strict=True):
            good[owner] = good.get(owner, True) and r
        for (row, number), value in good.items():
            study, asked = part[row]
            source = nano.bank[study.record_id].record.source
            qa = asked[number]
            name = qa.task if qa.form == "sentence" else f"{qa.task}:{qa.form}"
            for key in (name, f"{name}@{source}"):
                cell = score.setdefault(key, [0, 0])
                cell[0] += value
                cell[1] += 1
    return {k: (a, b) for k, (a, b) in sorted(score.items())}


def word_values(words: Tensor, right: dict[str, tuple[int, int]]) -> dict[str, float]:
    """What is logged of the word loss."""
    shares = {
        f"word_{k}": right[k][0] / right[k][1] for k in ("state", "sequence") if k in right and right[k][1]
    }
    return {"words": float(words.detach())} | shares


def tune(
    nano: Nano, folder: Path, config: TuneConfig, start: dict[str, Tensor] | None, group: Group = ALONE
) -> dict[str, Tensor]:
    """Runs or resumes one stage from ``start`` (the stage before); returns its weights."""
    if start is not None:
        nano.load(start)
    switch_lora(nano.lm, config.lr_lora is not None)
    groups: list[dict[str, Any]] = [
        {"params": list(nano.projector.parameters()), "base": config.lr_projector}
    ]
    if config.lr_lora is not None:
        groups.append({"params": list(lora_state(nano.lm).values()), "base": config.lr_lora})
    pool, sequences = Pool(nano.bank, "train"), sequence_pool(nano.bank)
    dev = dev_set(nano, config.every_form)

    def losses(step: int) -> Iterator[Loss]:
        parts = make_batch(nano, pool, sequences, config, step, group)
        total = sum(float(p.weights.sum()) for _, p in parts)
        for studies, packed in parts:
            yield answer_loss(nano, studies, packed, total, 0.0 if config.word_batch else config.word_weight)
        if config.word_weight and config.word_batch:
            assert nano.features is not None
            rng = np.random.default_rng((config.seed, 99, step, group.rank))
            rows = rng.integers(len(nano.features.labels), size=group.part(config.word_batch))
            words, right = word_loss(nano.projector, nano.features.batch(rows), nano.table)
            yield config.word_weight * words, word_values(words, right)

    def check() -> dict[str, Any]:
        return {"dev": {k: f"{good}/{asked}" for k, (good, asked) in exact(nano, dev).items()}}

    return fit(
        Learner(groups, nano.state, nano.load, losses, check=check),
        Schedule(seconds=config.seconds, warmup=config.warmup_steps, floor=config.floor),
        folder,
        asdict(config),
        every=Every(early=(1, 5), check_s=DEV_EVERY_S),
        group=group,
    )


def answer_loss(
    nano: Nano, studies: list[StudyView], packed: Packed, total: float, word_weight: float = 0.0
) -> Loss:
    """Weighted cross-entropy of one micro-batch over the ``total`` weight of its step; of stills also the word loss."""
    visual = nano.visual(studies)
    logits = nano.logits(packed, visual)
    loss = (F.cross_entropy(logits, packed.targets, reduction="none") * packed.weights).sum() / total
    values = {"loss": float(loss.detach()), "asked": float(len(set(packed.branch_of)))}
    if word_weight and studies and studies[0].kind == "image":
        assert visual is not None
        tokens = visual.split([sum(s.tokens_per_frame) for s in studies])
        words, right = word_loss_of(list(tokens), [targets(s.labels) for s in studies], nano.table)
        loss = loss + word_weight * words
        values |= word_values(words, right)
    return loss, values


__all__ = ["Nano", "TuneConfig", "answer_sentence", "dev_set", "exact", "items_of", "make_batch", "tune"]
